//! Names without regard to case, and names that are near.

use std::ops::ControlFlow;

use datafusion::common::{Column, DataFusionError, SchemaError};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ObjectName, ObjectNamePart, VisitMut, VisitorMut, visit_expressions_mut,
};
use strsim::normalized_damerau_levenshtein;

use crate::printable::printable;

/// How alike a name must be to be suggested.
const NEAR: f64 = 0.6;

/// Suggestions, at the most.
const MOST: usize = 3;

/// Makes the name of a table that was not found right, where only one can be meant. Returns whether it did.
pub(crate) fn match_table(
    session: &SessionContext,
    statement: &mut Statement,
    error: &DataFusionError,
) -> bool {
    let Some(missing) = table_not_found(error) else { return false };
    let tables = tables(session);
    let mut right = TableNames { tables: &tables, missing, corrected: false };
    for_each_part(statement, &mut |part| match part {
        Part::Sql(sql) => drop(sql.visit(&mut right)),
        Part::Query(query) => drop(query.visit(&mut right)),
        Part::Relation(name) => right.correct(name),
    });
    right.corrected
}

/// The statements that one may mean in which the name of a column was not found, if it is right but for its case.
///
/// The same name may stand for an alias elsewhere in the statement: the first so many of its places are corrected, or the last.
pub(crate) fn match_column(statement: &Statement, error: &DataFusionError) -> Vec<Statement> {
    let Some((field, valid)) = not_found(error) else { return Vec::new() };
    let mut alike = valid.iter().filter(|valid| valid.name.eq_ignore_ascii_case(&field.name));
    let Some(right) = alike.next() else { return Vec::new() };
    if alike.any(|other| other.name != right.name) || right.name == field.name {
        return Vec::new();
    }
    let places = correct_places(&mut statement.clone(), &field.name, &right.name, |_| false);
    let corrected = |wanted: &dyn Fn(usize) -> bool| {
        let mut statement = statement.clone();
        correct_places(&mut statement, &field.name, &right.name, wanted);
        statement
    };
    let first = (1..=places).map(|count| corrected(&|place| place < count));
    let last = (1..places).map(|start| corrected(&|place| place >= start));
    first.chain(last).collect()
}

/// Whether a column was not found.
pub(crate) fn missing_column(error: &DataFusionError) -> Option<&str> {
    not_found(error).map(|(field, _)| field.name.as_str())
}

/// Corrects a name in those of its places that are wanted, and returns how many there are.
fn correct_places(
    statement: &mut Statement,
    name: &str,
    right: &str,
    wanted: impl Fn(usize) -> bool,
) -> usize {
    let mut places = 0;
    let mut correct = |ident: &mut Ident| {
        if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case(name) {
            if wanted(places) {
                *ident = Ident::with_quote('"', right);
            }
            places += 1;
        }
    };
    let mut in_expr = |expr: &mut Expr| {
        match expr {
            Expr::Identifier(ident) => correct(ident),
            Expr::CompoundIdentifier(idents) => idents.last_mut().into_iter().for_each(&mut correct),
            _ => {}
        }
        ControlFlow::<()>::Continue(())
    };
    for_each_part(statement, &mut |part| match part {
        Part::Sql(sql) => drop(visit_expressions_mut(sql, &mut in_expr)),
        Part::Query(query) => drop(visit_expressions_mut(query, &mut in_expr)),
        Part::Relation(_) => {}
    });
    places
}

/// What a column that was not found may have been meant to be: a sentence for people.
pub(crate) fn explain(error: &DataFusionError) -> Option<String> {
    let (field, valid) = not_found(error)?;
    let mut names: Vec<&str> = valid.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let unknown = format!("there is no column {}", quoted(&field.name));
    let near = near(&field.name, names.iter().copied());
    Some(if near.is_empty() && names.len() <= 12 && !names.is_empty() {
        let names: Vec<_> = names.into_iter().map(quoted).collect();
        format!("{unknown}: there are {}", names.join(", "))
    } else {
        format!("{unknown}{}", did_you_mean(&near))
    })
}

/// What a table that was not found may have been meant to be.
pub(crate) fn explain_table(session: &SessionContext, error: &DataFusionError) -> Option<String> {
    let name = table_not_found(error)?;
    let known: Vec<String> = tables(session).iter().map(|(schema, name)| shown(schema, name)).collect();
    let near = near(name, known.iter().map(String::as_str));
    Some(format!("there is no table {}{}", quoted(name), did_you_mean(&near)))
}

/// The name of a table that was not found, without the session's catalog and its default schema.
fn table_not_found(error: &DataFusionError) -> Option<&str> {
    let DataFusionError::Plan(message) = error.find_root() else { return None };
    let name = message.strip_prefix("table '")?.strip_suffix("' not found")?;
    let name = name.strip_prefix("datafusion.").unwrap_or(name);
    Some(name.strip_prefix("public.").unwrap_or(name))
}

/// The names most like one, best first.
pub(crate) fn near<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let lower = name.to_lowercase();
    let likeness = |other: &str| {
        let other = other.to_lowercase();
        let begins = other.starts_with(&lower) || lower.starts_with(&other) && other.len() > 2;
        normalized_damerau_levenshtein(&lower, &other) + if begins { 0.3 } else { 0.0 }
    };
    let mut near: Vec<(f64, &str)> = names.map(|other| (likeness(other), other)).collect();
    near.retain(|(likeness, _)| *likeness >= NEAR);
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.into_iter().map(|(_, name)| name).take(MOST).collect()
}

/// `: did you mean …?`, or nothing.
pub(crate) fn did_you_mean(near: &[&str]) -> String {
    match near {
        [] => String::new(),
        [only] => format!(": did you mean {}?", quoted(only)),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|name| quoted(name)).collect();
            format!(": did you mean {} or {}?", first.join(", "), quoted(last))
        }
    }
}

fn quoted(name: &str) -> String {
    format!("`{}`", printable(name))
}

/// The schemas and names of all tables.
pub(crate) fn tables(session: &SessionContext) -> Vec<(String, String)> {
    let state = session.state();
    let Some(catalog) = session.catalog(&state.config_options().catalog.default_catalog) else {
        return Vec::new();
    };
    let mut tables = Vec::new();
    for schema in catalog.schema_names() {
        let names = catalog.schema(&schema).map(|schema| schema.table_names()).unwrap_or_default();
        tables.extend(names.into_iter().map(|name| (schema.clone(), name)));
    }
    tables.sort();
    tables
}

/// A table's name as it is written in a query.
pub(crate) fn shown(schema: &str, name: &str) -> String {
    if schema == "public" { name.to_owned() } else { format!("{schema}.{name}") }
}

fn not_found(error: &DataFusionError) -> Option<(&Column, &[Column])> {
    match error {
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { field, valid_fields } => Some((field, valid_fields)),
            _ => None,
        },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => not_found(inner),
        DataFusionError::Collection(errors) => errors.iter().find_map(not_found),
        _ => None,
    }
}

/// A part of a statement that has names.
enum Part<'a> {
    Sql(&'a mut datafusion::sql::sqlparser::ast::Statement),
    Query(&'a mut datafusion::sql::sqlparser::ast::Query),
    Relation(&'a mut ObjectName),
}

fn for_each_part(statement: &mut Statement, of: &mut dyn FnMut(Part<'_>)) {
    use datafusion::sql::parser::CopyToSource;
    match statement {
        Statement::Statement(sql) => of(Part::Sql(sql)),
        Statement::Explain(explain) => for_each_part(&mut explain.statement, of),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => of(Part::Query(query)),
            CopyToSource::Relation(name) => of(Part::Relation(name)),
        },
        Statement::CreateExternalTable(_) | Statement::Reset(_) => {}
    }
}

struct TableNames<'a> {
    tables: &'a [(String, String)],
    missing: &'a str,
    corrected: bool,
}

impl TableNames<'_> {
    fn correct(&mut self, name: &mut ObjectName) {
        let mut idents: Vec<&mut Ident> = name
            .0
            .iter_mut()
            .filter_map(|part| match part {
                ObjectNamePart::Identifier(ident) => Some(ident),
                ObjectNamePart::Function(_) => None,
            })
            .collect();
        let written: Vec<String> = idents.iter().map(|ident| normal(ident)).collect();
        if written.join(".") != self.missing {
            return;
        }
        let (schema, table) = match idents.as_mut_slice() {
            [table] => (None, table),
            [schema, table] => (Some(schema), table),
            _ => return,
        };
        let means = |ident: &Ident, name: &str| match ident.quote_style {
            Some(_) => ident.value == name,
            None => ident.value.eq_ignore_ascii_case(name),
        };
        let mut alike = self.tables.iter().filter(|(known_schema, known)| {
            schema.as_ref().map_or(known_schema == "public", |schema| means(schema, known_schema))
                && means(table, known)
        });
        if let (Some((known_schema, known_table)), None) = (alike.next(), alike.next()) {
            **table = Ident::with_quote('"', known_table);
            if let Some(schema) = schema {
                **schema = Ident::with_quote('"', known_schema);
            }
            self.corrected = true;
        }
    }
}

/// A name as the planner takes it.
fn normal(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

impl VisitorMut for TableNames<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        self.correct(relation);
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_come_best_first() {
        let names = ["TEMP", "TEMP_QC", "PSAL", "PRES", "temperature"];
        assert_eq!(near("tmp", names.into_iter()), ["TEMP"]);
        assert_eq!(near("temp", names.into_iter()), ["TEMP", "TEMP_QC", "temperature"]);
        assert_eq!(near("salinity", names.into_iter()), [""; 0]);
        assert_eq!(did_you_mean(&["a", "b", "c"]), ": did you mean `a`, `b` or `c`?");
    }
}
