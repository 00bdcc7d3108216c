//! Runs statements, and shows or writes their results.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;
use atlas_datafusion::{Scanned, summarize, summarize_rows};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::prelude::{DataFrame, SessionContext};

use crate::error::{Failure, Result};
use crate::last::Last;
use crate::output::{self, Bytes, Format, Style, count, grouped};
use crate::pager::Pager;
use crate::printable::Printable;
use crate::progress::Watch;
use crate::statement::{Prepared, What, of_engine, prepare, table_of};
use crate::target::Target;
use crate::{cluster, columns};

/// Plans a statement, such as a query or `SUMMARIZE`, as the shell does. The case of a name is
/// corrected if only one name can be meant. Statements that are too deep for the stack of a
/// [`runtime`](crate::runtime) are rejected. A query runs when its rows are read.
///
/// # Errors
/// The statement is wrong. The error is a one-line message for users.
pub async fn plan_statement(context: &SessionContext, text: &str) -> Result<DataFrame> {
    match prepare(context, text).await?.what {
        What::Plan(plan) => Ok(context.execute_logical_plan(*plan).await?),
        What::SummaryOf(of) => Ok(context.read_batch(summary_of(context, &of).await?)?),
    }
}

/// The summary of a table, given by name, or of a query.
async fn summary_of(context: &SessionContext, of: &str) -> Result<RecordBatch> {
    let is_neither = || Failure::new("SUMMARIZE takes the name of a table, or a query");
    let is_query = ["SELECT", "WITH", "FROM", "("]
        .iter()
        .any(|word| of.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)));
    if is_query {
        let What::Plan(plan) = prepare(context, of).await?.what else { return Err(is_neither()) };
        return Ok(summarize_rows(context.execute_logical_plan(*plan).await?).await?);
    }
    // Planning a query resolves the name as in any other query.
    let query = prepare(context, &format!("SELECT * FROM {of}")).await?;
    let table = table_of(&query).ok_or_else(is_neither)?;
    Ok(summarize(context, context.table_provider(table).await?).await?)
}

/// Runs a statement. It is cheap to clone, so that a cancelled statement can be abandoned with its
/// own copy.
#[derive(Clone)]
pub(crate) struct Runner {
    pub context: SessionContext,
    pub style: Style,
    pub target: Option<Target>,
    pub is_used: Arc<AtomicBool>,
    pub last: Last,
    pub pager: Option<Pager>,
    pub to_terminal: bool,
    pub timing: bool,
    /// Shows the progress of the statement.
    pub watch: Watch,
}

impl Runner {
    /// The same runner, but results are shown with all rows and columns.
    pub(crate) fn whole(self) -> Self {
        Self { style: Style { limit: None, width: None, ..self.style }, ..self }
    }

    /// The same runner, for information about the session itself: results are shown with all rows,
    /// and without the types of columns.
    pub(crate) fn plain(self) -> Self {
        Self { style: Style { of_query: false, limit: None, ..self.style }, ..self }
    }

    /// Runs a statement and writes its result.
    pub(crate) async fn run(&self, statement: Prepared) -> Result<()> {
        let started = Instant::now();
        match statement.what {
            What::SummaryOf(of) => {
                let summary = summary_of(&self.context, &of).await?;
                let rows = self.context.read_batch(summary)?.execute_stream().await?;
                self.clone().plain().show(self.last.keep(rows), started).await?;
                self.last.finish();
                Ok(())
            }
            What::Plan(plan) => {
                let is_analyzed = matches!(*plan, LogicalPlan::Analyze(_));
                let units = columns::units(&plan);
                let plan = self.physical(*plan).await?;
                let rows = self.rows(&plan)?;
                if rows.schema().fields().is_empty() {
                    // A statement such as CREATE VIEW is executed by reading its empty result.
                    output::write(rows, Style::whole(Format::Ndjson), &mut io::sink()).await?;
                    return Ok(());
                }
                self.show(self.last.keep(statement.headers.rename(rows, &units)), started).await?;
                self.last.finish();
                match Scanned::of(&plan).filter(|_| is_analyzed && self.style.format == Format::Table) {
                    Some(scanned) => self.tell_scanned(&scanned, started),
                    None => Ok(()),
                }
            }
        }
    }

    /// Prints one line about what a query read.
    fn tell_scanned(&self, scanned: &Scanned, started: Instant) -> Result<()> {
        if self.target.is_some() {
            return Ok(());
        }
        let mut parts =
            vec![format!("{} of {} read", grouped(scanned.decoded), count(scanned.chunks, "chunk"))];
        if scanned.pruned > 0 {
            parts.push(format!("{} pruned", grouped(scanned.pruned)));
        }
        if scanned.from_statistics > 0 {
            parts.push(format!("{} answered from statistics", grouped(scanned.from_statistics)));
        }
        parts.push(Bytes(scanned.bytes as u64).to_string());
        let taken = started.elapsed();
        parts.push(match taken.as_millis() {
            ..10_000 => format!("{} ms", taken.as_millis()),
            _ => format!("{:.1} s", taken.as_secs_f64()),
        });
        Ok(writeln!(io::stdout(), "{}", parts.join(", "))?)
    }

    /// Starts a query, and returns its rows.
    pub(crate) async fn stream(&self, query: Prepared) -> Result<SendableRecordBatchStream> {
        match query.what {
            What::Plan(plan) => self.rows(&self.physical(*plan).await?),
            What::SummaryOf(_) => Err(Failure::new("that is no query")),
        }
    }

    async fn physical(&self, plan: LogicalPlan) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = self.context.execute_logical_plan(plan).await.map_err(of_engine)?;
        let plan = rows.create_physical_plan().await.map_err(of_engine)?;
        self.watch.show(&plan);
        Ok(plan)
    }

    /// The rows of a plan.
    fn rows(&self, plan: &Arc<dyn ExecutionPlan>) -> Result<SendableRecordBatchStream> {
        Ok(cluster::report_lost(plan, execute_stream(Arc::clone(plan), self.context.task_ctx())?))
    }

    /// Writes rows in the style of the session.
    pub(crate) async fn show(&self, rows: SendableRecordBatchStream, started: Instant) -> Result<()> {
        let columns = rows.schema().fields().len();
        let mut taken = None;
        let number = match &self.target {
            Some(target) => {
                let mut out = BufWriter::new(target.begin(self.style.format)?);
                let number = output::write(rows, self.style, &mut out).await?;
                out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
                number
            }
            None if self.style.format.is_binary() && self.to_terminal => {
                return Err(Failure::new(
                    "this format is nothing for a terminal: name a file with \\o or --output",
                ));
            }
            None if self.style.format.is_binary() && self.is_used.swap(true, Ordering::Relaxed) => {
                return Err(Failure::new(
                    "stdout has a result, and a file of this format has one: \\o or \\once name another file",
                ));
            }
            None => self.print(rows, &mut || taken = Some(started.elapsed())).await?,
        };
        self.watch.hide();
        if self.timing {
            let seconds = taken.unwrap_or_else(|| started.elapsed()).as_secs_f64();
            let (rows, columns) = (count(number, "row"), count(columns, "column"));
            let digits = if seconds < 0.01 { 5 } else { 3 };
            writeln!(io::stdout(), "{rows}, {columns} in {seconds:.digits$} s")?;
        }
        Ok(())
    }

    /// Writes rows to stdout. A table that does not fit in the terminal goes to a pager, and that
    /// is reported when the pager starts.
    async fn print(
        &self,
        rows: SendableRecordBatchStream,
        before_pager: &mut (dyn FnMut() + Send),
    ) -> Result<usize> {
        let Some(pager) = self.pager.as_ref().filter(|_| self.style.format == Format::Table) else {
            let out = Clearing { watch: &self.watch, to_terminal: self.to_terminal };
            // Tables escape control characters themselves, and may contain control sequences for
            // styling.
            let mut out: Box<dyn Write + Send> = match self.to_terminal && self.style.format != Format::Table
            {
                true => Box::new(BufWriter::new(Printable::new(out))),
                false => Box::new(BufWriter::new(out)),
            };
            let number = output::write(rows, self.style, &mut out).await?;
            out.flush()?;
            return Ok(number);
        };
        let (fitted, whole, number) = output::write_fitted(rows, self.style).await?;
        self.watch.hide();
        if pager.fits(&fitted) {
            io::stdout().write_all(&fitted)?;
            return Ok(number);
        }
        before_pager();
        pager.show(&whole)?;
        Ok(number)
    }
}

/// Stdout, which hides the progress line once something is written to a terminal.
struct Clearing<'a> {
    watch: &'a Watch,
    to_terminal: bool,
}

impl Write for Clearing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.to_terminal {
            self.watch.hide();
        }
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
