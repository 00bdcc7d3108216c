//! Names the columns of a result as they were typed.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query, Select, SelectItem, SetExpr, Statement as Sql};
use datafusion::sql::sqlparser::tokenizer::Token;
use futures::StreamExt;

use super::tokens::{Placed, is_keyword, tokens};
use crate::output::UNITS;

/// What a query specifies about the names of its columns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Headers(Vec<Header>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Header {
    /// All columns of a table, or of all tables.
    Wildcard,
    /// One column.
    Typed(String),
}

impl Headers {
    /// The headers of a statement; empty if it is not a query.
    pub(crate) fn of(text: &str, statement: &Statement) -> Self {
        let Statement::Statement(sql) = statement else { return Self::default() };
        let Sql::Query(query) = sql.as_ref() else { return Self::default() };
        let Some(select) = first_select(query) else { return Self::default() };
        if !query.pipe_operators.is_empty() {
            return Self::default();
        }
        let items = items(text).filter(|items| items.len() == select.projection.len());
        let typed = |i: usize| {
            let item = items.as_ref().and_then(|items| text.get(items.get(i)?.clone()));
            item.map(|item| item.split_whitespace().collect::<Vec<_>>().join(" "))
        };
        let header = |(i, item): (usize, &SelectItem)| match item {
            SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => Header::Wildcard,
            SelectItem::ExprWithAlias { alias, .. } => Header::Typed(alias.value.clone()),
            SelectItem::UnnamedExpr(Expr::Identifier(Ident { value, .. })) => Header::Typed(value.clone()),
            SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
                Header::Typed(parts.last().map(|part| part.value.clone()).unwrap_or_default())
            }
            // `unnest` of a structure becomes several columns.
            SelectItem::UnnamedExpr(Expr::Function(call)) if call.name.to_string().starts_with("unnest") => {
                Header::Wildcard
            }
            other => Header::Typed(typed(i).unwrap_or_else(|| other.to_string())),
        };
        Self(select.projection.iter().enumerate().map(header).collect())
    }

    /// A schema with these names instead of its own.
    fn on(&self, schema: &SchemaRef) -> SchemaRef {
        let fields = schema.fields();
        let wildcards = self.0.iter().filter(|header| **header == Header::Wildcard).count();
        if self.0.is_empty()
            || wildcards == 0 && self.0.len() != fields.len()
            || self.0.len() - wildcards > fields.len()
        {
            return Arc::clone(schema);
        }
        let mut names: Vec<Option<&str>> = vec![None; fields.len()];
        let typed = |header: &'_ Header| match header {
            Header::Typed(name) => Some(name.clone()),
            Header::Wildcard => None,
        };
        let before: Vec<String> = self.0.iter().map_while(typed).collect();
        let after: Vec<String> = self.0.iter().rev().map_while(typed).collect();
        for (slot, name) in names.iter_mut().zip(&before) {
            *slot = Some(name);
        }
        for (slot, name) in names.iter_mut().rev().zip(&after) {
            *slot = Some(name);
        }
        let renamed = fields.iter().zip(names).map(|(field, name)| match name {
            Some(name) if name != field.name() => Arc::new(Field::clone(field).with_name(name)),
            _ => Arc::clone(field),
        });
        Arc::new(Schema::new_with_metadata(renamed.collect::<Vec<_>>(), schema.metadata().clone()))
    }

    /// Renames the columns of rows, and adds their units.
    pub(crate) fn rename(
        &self,
        rows: SendableRecordBatchStream,
        units: &[Option<String>],
    ) -> SendableRecordBatchStream {
        let schema = with_units(&self.on(&rows.schema()), units);
        let to = Arc::clone(&schema);
        let renamed = rows.map(move |batch| {
            let batch = batch?;
            Ok(RecordBatch::try_new_with_options(
                Arc::clone(&to),
                batch.columns().to_vec(),
                &arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows())),
            )?)
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, renamed))
    }
}

/// A query whose columns all have names, if some have none. The names are for the planner, which
/// names columns by its own expressions: it rejects two of one name, and does not find an
/// expression that ORDER BY refers to by its position. [`Headers`] replace them.
pub(super) fn with_names(statement: &Statement) -> Option<Statement> {
    let Statement::Statement(sql) = statement else { return None };
    let Sql::Query(query) = sql.as_ref() else { return None };
    let SetExpr::Select(_) = query.body.as_ref() else { return None };
    let mut query = query.clone();
    let SetExpr::Select(select) = query.body.as_mut() else { return None };
    let mut is_changed = false;
    for (i, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::UnnamedExpr(expr) = item else { continue };
        let keeps_name = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        if keeps_name || expr.to_string().starts_with("unnest") {
            continue;
        }
        let alias = Ident::with_quote('"', format!("{expr} (column {})", i + 1));
        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias };
        is_changed = true;
    }
    is_changed.then(|| Statement::Statement(Box::new(Sql::Query(query))))
}

/// Adds units to the metadata of a schema's fields.
fn with_units(schema: &SchemaRef, units: &[Option<String>]) -> SchemaRef {
    if units.iter().all(Option::is_none) || units.len() != schema.fields().len() {
        return Arc::clone(schema);
    }
    let fields = schema.fields().iter().zip(units).map(|(field, units)| {
        let mut metadata = field.metadata().clone();
        metadata.extend(units.iter().map(|units| (UNITS.to_owned(), units.clone())));
        Field::clone(field).with_metadata(metadata)
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// The SELECT that names the columns of a query.
fn first_select(query: &Query) -> Option<&Select> {
    let mut body = query.body.as_ref();
    loop {
        match body {
            SetExpr::Select(select) => return Some(select),
            SetExpr::Query(query) => body = query.body.as_ref(),
            SetExpr::SetOperation { left, .. } => body = left.as_ref(),
            _ => return None,
        }
    }
}

/// The ranges of the items in a text's first SELECT outside parentheses.
fn items(text: &str) -> Option<Vec<Range<usize>>> {
    let all = tokens(text)?;
    let mut depth = 0usize;
    let mut outer: Vec<(&Placed, usize)> = Vec::new();
    for placed in &all {
        match placed.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            _ => {}
        }
        outer.push((placed, depth));
    }
    let begin =
        outer.iter().position(|(placed, depth)| *depth == 0 && is_keyword(&placed.token, "SELECT"))?;
    let mut rest = outer.get(begin + 1..)?;
    if let Some((first, _)) = rest.first()
        && ["DISTINCT", "ALL"].iter().any(|word| is_keyword(&first.token, word))
    {
        rest = rest.get(1..)?;
        if rest.first().is_some_and(|(placed, _)| is_keyword(&placed.token, "ON")) {
            let end = rest.iter().position(|(placed, depth)| *depth == 0 && placed.token == Token::RParen)?;
            rest = rest.get(end + 1..)?;
        }
    }
    let ends = [
        "FROM",
        "INTO",
        "WHERE",
        "GROUP",
        "HAVING",
        "QUALIFY",
        "WINDOW",
        "ORDER",
        "LIMIT",
        "OFFSET",
        "FETCH",
        "UNION",
        "EXCEPT",
        "INTERSECT",
    ];
    let (mut items, mut item): (Vec<Range<usize>>, Option<Range<usize>>) = (Vec::new(), None);
    for (i, (placed, depth)) in rest.iter().enumerate() {
        // `IS DISTINCT FROM` and `WITHIN GROUP` do not end the items, and neither does a name after
        // a period.
        let before = i.checked_sub(1).and_then(|i| rest.get(i)).map(|(placed, _)| &placed.token);
        let goes_on = before.is_some_and(|token| {
            *token == Token::Period || is_keyword(token, "DISTINCT") || is_keyword(token, "WITHIN")
        });
        let is_end = *depth == 0 && !goes_on && ends.iter().any(|word| is_keyword(&placed.token, word));
        if is_end || placed.token == Token::SemiColon {
            break;
        }
        if *depth == 0 && placed.token == Token::Comma {
            items.extend(item.take());
            continue;
        }
        let start = item.map_or(placed.at.start, |item| item.start);
        item = Some(start..placed.at.end);
    }
    items.extend(item);
    Some(items)
}

#[cfg(test)]
mod tests {
    use datafusion::sql::parser::DFParser;

    use super::*;

    fn headers(text: &str) -> Vec<String> {
        let statement = DFParser::parse_sql(text).unwrap().pop_front().unwrap();
        let header = |header: &Header| match header {
            Header::Typed(name) => name.clone(),
            Header::Wildcard => "…".to_owned(),
        };
        Headers::of(text, &statement).0.iter().map(header).collect()
    }

    #[test]
    fn headers_are_what_was_typed() {
        for (text, expected) in [
            ("SELECT count(*), avg(Temp),lat/10*10 FROM t", vec!["count(*)", "avg(Temp)", "lat/10*10"]),
            ("SELECT  a . b, \"X\", Y, z AS \"Z z\", 1 Two FROM t", vec!["b", "X", "Y", "Z z", "Two"]),
            (
                "WITH w AS (SELECT 1) SELECT DISTINCT x IS DISTINCT FROM 1, *\nFROM w",
                vec!["x IS DISTINCT FROM 1", "…"],
            ),
            ("SELECT DISTINCT ON (a, b) max(a,\n  b) FROM t UNION SELECT 1", vec!["max(a, b)"]),
            ("(SELECT avg( x )) ORDER BY 1", vec!["avg(x)"]),
            (
                "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x), y FROM t GROUP BY y",
                vec!["percentile_cont(0.5) WITHIN GROUP (ORDER BY x)", "y"],
            ),
            (
                "SELECT (SELECT a FROM t), t.*, f('a,b', [1, 2])",
                vec!["(SELECT a FROM t)", "…", "f('a,b', [1, 2])"],
            ),
            ("FROM t SELECT x + 1", vec!["x + 1"]),
            ("VALUES (1)", vec![]),
        ] {
            assert_eq!(headers(text), expected, "{text}");
        }
    }

    #[test]
    fn wildcards_keep_the_names_of_their_columns() {
        let field = |name: &str| Field::new(name, arrow::datatypes::DataType::Int64, true);
        let schema: SchemaRef = Arc::new(Schema::new(["a", "b", "c", "d"].map(field).to_vec()));
        let named = |headers: &[&str]| {
            let header =
                |name: &&str| if *name == "*" { Header::Wildcard } else { Header::Typed((*name).to_owned()) };
            let renamed = Headers(headers.iter().map(header).collect()).on(&schema);
            renamed.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(named(&["1", "2", "3", "4"]), "1 2 3 4");
        assert_eq!(named(&["1", "*", "4"]), "1 b c 4");
        assert_eq!(named(&["1", "*", "2", "*"]), "1 b c d");
        assert_eq!(named(&["*"]), "a b c d");
        assert_eq!(named(&["1", "2"]), "a b c d");
        assert_eq!(named(&[]), "a b c d");
    }
}
