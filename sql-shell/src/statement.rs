//! Statements: planned, with names made right.

use std::time::Duration;

use datafusion::common::{DataFusionError, TableReference};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;

use tokio::sync::oneshot;

use crate::error::{Failure, Result};
use crate::{destination, limits, names, threads};

/// How long a statement may be parsed. For an error in nested functions the parser's time doubles
/// with each of them.
const PATIENCE: Duration = Duration::from_secs(60);

/// A statement that can run.
pub(crate) struct Prepared {
    /// As it was planned: names may be other than those that were typed.
    pub text: String,
    pub is_query: bool,
    pub what: What,
}

impl Prepared {
    /// The columns of a query of all of a table's, with their types, and the table.
    pub(crate) fn fields_and_table(&self) -> Result<(Vec<(String, String)>, TableReference)> {
        let What::Plan(plan) = &self.what else { return Err(Failure::new("that is no table")) };
        let table = table_of(self).ok_or_else(|| Failure::new("that is no table"))?;
        let fields = plan.schema().fields().iter();
        let fields = fields.map(|field| (field.name().clone(), field.data_type().to_string()));
        Ok((fields.collect(), table))
    }
}

pub(crate) enum What {
    Plan(Box<LogicalPlan>),
    /// `SUMMARIZE` of a table or of a query.
    SummaryOf(String),
}

/// Plans a statement. Names in the wrong case are made right, where only one can be meant.
pub(crate) async fn prepare(context: &SessionContext, text: &str) -> Result<Prepared> {
    if let Some(of) = word_before(text, "SUMMARIZE") {
        let what = What::SummaryOf(of.trim().to_owned());
        return Ok(Prepared { text: text.to_owned(), is_query: false, what });
    }
    let mut statement = parse(text).await?;
    let is_query = matches!(&statement, Statement::Statement(sql) if matches!(**sql, SqlStatement::Query(_)));
    loop {
        match context.state().statement_to_plan(statement.clone()).await {
            Ok(plan) => {
                destination::check_plan(context, &plan).await?;
                return Ok(Prepared {
                    text: statement.to_string(),
                    is_query,
                    what: What::Plan(Box::new(plan)),
                });
            }
            Err(error) => {
                let corrected = names::match_table(context, &mut statement, &error)
                    || match_column(context, &mut statement, &error).await;
                if !corrected {
                    let explained = names::explain_table(context, &error).or_else(|| names::explain(&error));
                    return Err(explained.map_or_else(|| error.into(), Failure::new));
                }
            }
        }
    }
}

/// Parses a statement, on a thread that is left alone where it takes too long.
async fn parse(text: &str) -> Result<Statement> {
    limits::check(text)?;
    let (send, parsed) = oneshot::channel();
    let owned = text.to_owned();
    threads::spawn(move || drop(send.send(DFParser::parse_sql(&owned))))?;
    let Ok(parsed) = tokio::time::timeout(PATIENCE, parsed).await else {
        let seconds = PATIENCE.as_secs();
        return Err(Failure::new(format!(
            "the statement could not be parsed in {seconds} s: look for an error in nested functions"
        )));
    };
    let mut statements = parsed.map_err(|_| Failure::new("the parser failed"))??;
    statements.pop_front().ok_or_else(|| Failure::new("there is nothing to run"))
}

/// Makes the name of a column right that was not found; returns whether that helped.
async fn match_column(context: &SessionContext, statement: &mut Statement, error: &DataFusionError) -> bool {
    for corrected in names::match_column(statement, error) {
        let planned = context.state().statement_to_plan(corrected.clone()).await;
        let found = match &planned {
            Ok(_) => true,
            // Another name may be wrong too.
            Err(other) => {
                names::missing_column(other).is_some()
                    && names::missing_column(other) != names::missing_column(error)
            }
        };
        if found {
            *statement = corrected;
            return true;
        }
    }
    false
}

/// What follows a word that a statement begins with.
fn word_before<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = text.get(word.len()..)?;
    let begins = text.get(..word.len())?.eq_ignore_ascii_case(word);
    (begins && rest.starts_with(char::is_whitespace)).then_some(rest)
}

/// The table that a query of all its columns is of.
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
