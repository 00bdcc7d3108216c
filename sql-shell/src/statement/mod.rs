//! Plans statements: corrects names, and rejects statements of which a part would be ignored.

mod clauses;
mod from_first;
pub(crate) mod habits;
mod headers;
mod limits;
mod mistakes;
pub(crate) mod names;
pub(crate) mod script;
mod tokens;

use std::time::Duration;

use datafusion::common::{DataFusionError, TableReference};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{
    Expr, Ident, ReplaceSelectItem, SelectItem, SetExpr, Statement as SqlStatement,
};
use tokio::sync::oneshot;

pub(crate) use self::headers::Headers;
pub(crate) use self::mistakes::of_engine;
use crate::error::{Failure, Result};
use crate::{destination, paths, threads};

/// The longest time that parsing a statement may take. For an error in nested functions, the
/// parser's time doubles with each function.
const PATIENCE: Duration = Duration::from_secs(60);

/// A statement that can run.
pub(crate) struct Prepared {
    pub is_query: bool,
    pub headers: Headers,
    pub what: What,
}

impl Prepared {
    /// Whether it returns rows, and does not only change something.
    pub(crate) fn has_rows(&self) -> bool {
        match &self.what {
            What::Plan(plan) => !plan.schema().fields().is_empty(),
            What::SummaryOf(_) => true,
        }
    }
}

pub(crate) enum What {
    Plan(Box<LogicalPlan>),
    /// `SUMMARIZE` of a table or of a query.
    SummaryOf(String),
}

/// Plans a statement. The case of names is corrected if only one name can be meant.
pub(crate) async fn prepare(context: &SessionContext, text: &str) -> Result<Prepared> {
    if let Some(of) = word_before(text, "SUMMARIZE") {
        let what = What::SummaryOf(of.trim().to_owned());
        return Ok(Prepared { is_query: false, headers: Headers::default(), what });
    }
    let text = &*from_first::completed(text);
    let statement = parse(text).await?;
    let headers = Headers::of(text, &statement);
    let is_query = matches!(&statement, Statement::Statement(sql) if matches!(**sql, SqlStatement::Query(_)));
    let (mut text, mut statement) = (text.to_owned(), statement);
    loop {
        clauses::settle(context, &mut statement)?;
        let error = match plan(context, &statement).await {
            Ok(plan) => {
                destination::check_plan(context, &plan).await?;
                return Ok(Prepared { is_query, headers, what: What::Plan(Box::new(plan)) });
            }
            Err(error) => error,
        };
        if let Some(named) = headers::with_names(&statement)
            && let Ok(plan) = plan(context, &named).await
        {
            destination::check_plan(context, &plan).await?;
            return Ok(Prepared { is_query, headers, what: What::Plan(Box::new(plan)) });
        }
        match corrected(context, &text, &error).await {
            Some(better) => (text, statement) = better,
            None => {
                let explained = paths::explain_tables(context, &statement);
                return Err(
                    explained.map_or_else(|| mistakes::of_planner(context, &text, error), Failure::new)
                );
            }
        }
    }
}

/// The statement with the missing name corrected. Prefers a correction that can be planned;
/// otherwise one that fails for another reason, which is then reported.
async fn corrected(
    context: &SessionContext,
    text: &str,
    error: &DataFusionError,
) -> Option<(String, Statement)> {
    let mut fails_otherwise = None;
    for candidate in names::corrections(context, text, error) {
        let Ok(statement) = parse(&candidate).await else { continue };
        let mut settled = statement.clone();
        if clauses::settle(context, &mut settled).is_err() {
            continue;
        }
        match plan(context, &settled).await {
            Ok(_) => return Some((candidate, statement)),
            Err(other) if names::is_same(&other, error) => {}
            Err(_) => fails_otherwise = fails_otherwise.or(Some((candidate, statement))),
        }
    }
    fails_otherwise
}

async fn plan(context: &SessionContext, statement: &Statement) -> datafusion::error::Result<LogicalPlan> {
    if let Some(probe) = with_replaced(statement)
        && let Err(error) = context.state().statement_to_plan(probe).await
        && names::is_missing_column(&error)
    {
        return Err(error);
    }
    context.state().statement_to_plan(statement.clone()).await
}

/// A query that also selects the columns that its `* REPLACE (… AS name)` replaces, if there are
/// any. The planner silently drops replacements of columns that do not exist, and this query
/// detects them.
fn with_replaced(statement: &Statement) -> Option<Statement> {
    let Statement::Statement(sql) = statement else { return None };
    let SqlStatement::Query(query) = sql.as_ref() else { return None };
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let replaced = select.projection.iter().filter_map(|item| match item {
        SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) => {
            options.opt_replace.as_ref()
        }
        _ => None,
    });
    let names: Vec<Ident> = replaced
        .flat_map(|ReplaceSelectItem { items }| items.iter().map(|item| item.column_name.value.clone()))
        .map(|name| Ident::with_quote('"', name))
        .collect();
    if names.is_empty() {
        return None;
    }
    let mut probe = query.clone();
    let SetExpr::Select(select) = probe.body.as_mut() else { return None };
    let alias = |i: usize| Ident::with_quote('"', format!("replaced {i}"));
    select.projection.extend(
        names
            .into_iter()
            .enumerate()
            .map(|(i, name)| SelectItem::ExprWithAlias { expr: Expr::Identifier(name), alias: alias(i) }),
    );
    Some(Statement::Statement(Box::new(SqlStatement::Query(probe))))
}

/// Parses a statement on a thread, which is abandoned if it takes too long.
async fn parse(text: &str) -> Result<Statement> {
    limits::check(text).map_err(|failure| mistakes::pointed_at_parenthesis(text, failure))?;
    mistakes::check_numbers(text)?;
    let (send, parsed) = oneshot::channel();
    let owned = text.to_owned();
    threads::spawn(move || drop(send.send(DFParser::parse_sql(&owned))))?;
    let Ok(parsed) = tokio::time::timeout(PATIENCE, parsed).await else {
        let seconds = PATIENCE.as_secs();
        return Err(Failure::new(format!(
            "the statement could not be parsed in {seconds} s: look for an error in nested functions"
        )));
    };
    let parsed = parsed.map_err(|_| Failure::new("the parser failed"))?;
    let mut statements = parsed.map_err(|error| mistakes::of_parser(text, &error))?;
    let first = statements.pop_front().ok_or_else(|| Failure::new("there is nothing to run"))?;
    match statements.pop_front() {
        None => Ok(first),
        Some(_) => Err(Failure::new("that is more than one statement")),
    }
}

/// The rest of a statement that begins with a word.
fn word_before<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = text.get(word.len()..)?;
    let begins = text.get(..word.len())?.eq_ignore_ascii_case(word);
    (begins && rest.starts_with(char::is_whitespace)).then_some(rest)
}

/// The table of a query that selects all columns of one table.
pub(crate) fn table_of(query: &Prepared) -> Option<TableReference> {
    let What::Plan(plan) = &query.what else { return None };
    let mut plan: &LogicalPlan = plan;
    loop {
        match plan {
            LogicalPlan::Projection(projection) => plan = &projection.input,
            LogicalPlan::Limit(limit) => plan = &limit.input,
            LogicalPlan::TableScan(scan) => return Some(scan.table_name.clone()),
            LogicalPlan::SubqueryAlias(alias) => return Some(alias.alias.clone()),
            _ => return None,
        }
    }
}
