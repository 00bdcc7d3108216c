//! `atlas sql`: a session with stores, which runs statements.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arrow::array::RecordBatch;
use atlas::Atlas;
use atlas_datafusion::{Scanned, register_store, summarize, summarize_rows, with_atlas};
use clap::Args;
use datafusion::catalog::CatalogProvider;
use datafusion::common::TableReference;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{ExecutionPlan, SendableRecordBatchStream, execute_stream};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};

use crate::error::{Failure, Result};
use crate::last::Last;
use crate::output::{self, Bytes, Format, Style, count, grouped};
use crate::pager::Pager;
use crate::printable::Printable;
use crate::progress::Watch;
use crate::size::parse_size;
use crate::statement::script::{self, Item};
use crate::statement::{Prepared, What, of_engine, prepare, table_of};
use crate::threads::Workers;
use crate::{cluster, columns, commands, destination, netcdf, paths, shell};

/// The number of rows that a table in a terminal shows, unless another limit is set.
pub(crate) const LIMIT: usize = 40;

#[derive(Args)]
pub(crate) struct Arguments {
    /// Stores, each a directory or a URL, and the name it gets in SQL: `atlas` for one without a
    /// name.
    #[arg(value_name = "[NAME=]STORE")]
    stores: Vec<String>,
    /// Run statements and commands, and exit. Can be given several times.
    #[arg(short, long, value_name = "SQL")]
    command: Vec<String>,
    /// Run the statements and commands of a file, and exit.
    #[arg(short, long)]
    file: Option<PathBuf>,
    /// How results are written: a table, unless the name of the file of --output says otherwise.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write results to a file, in the format of its ending where --format says no other.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The memory that queries may use, such as 2G or 500M: sorts and aggregations that need more
    /// use the disk, and what cannot fails.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_limit: Option<usize>,
    /// Do not run the commands of the rc file when the shell starts.
    #[arg(long)]
    no_rc: bool,
    #[command(flatten)]
    cluster: cluster::Options,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let mut session = Session::new(arguments.memory_limit, &arguments.cluster)?;
    session.attach_all(&arguments.stores).await?;
    session.format = arguments.format.unwrap_or_default();
    if let Some(path) = &arguments.output {
        session.output = Some(Target::create(path, arguments.format)?);
    }
    let mut scripts = arguments.command.clone();
    if let Some(path) = &arguments.file {
        let script = std::fs::read_to_string(path);
        scripts.push(script.map_err(|e| Failure::new(format!("{}: {e}", path.display())))?);
    }
    if scripts.is_empty() && io::stdin().is_terminal() {
        return shell::run(session, !arguments.no_rc).await;
    }
    if scripts.is_empty() {
        let mut script = String::new();
        io::stdin().read_to_string(&mut script)?;
        scripts.push(script);
    }
    for script in scripts {
        if session.run_script(&script).await?.is_break() {
            break;
        }
    }
    Ok(())
}

/// A store of the session, and its location.
pub(crate) struct Store {
    pub name: String,
    pub location: String,
    pub atlas: Atlas,
}

/// How many rows of a result a table shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Limit {
    /// [`LIMIT`] rows in a terminal, and all rows elsewhere.
    #[default]
    Default,
    /// At most this many rows.
    Rows(usize),
    /// All rows.
    All,
}

/// A file to which results are written.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    path: PathBuf,
    /// The format of its ending, or the requested one.
    format: Option<Format>,
    /// Whether a result has been written to it.
    is_used: Arc<AtomicBool>,
}

impl Target {
    /// Creates a file. Without a given format, it gets the format of its ending.
    pub(crate) fn create(path: &Path, format: Option<Format>) -> Result<Self> {
        destination::check_path(path)?;
        File::create(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        let format = format.or_else(|| Format::of_file(path));
        Ok(Self { path: path.to_owned(), format, is_used: Arc::default() })
    }

    /// Opens the file to append a result.
    fn open(&self, format: Format) -> Result<File> {
        if self.is_used.swap(true, Ordering::Relaxed) && format.is_of_one_result() {
            return Err(Failure::new(format!(
                "{} has a result, and a file of this format has one: \\o or \\once name another file",
                self.path.display()
            )));
        }
        let file = OpenOptions::new().append(true).open(&self.path);
        file.map_err(|e| Failure::new(format!("{}: {e}", self.path.display())))
    }
}

/// The tables and stores of a user, and how results are shown.
pub(crate) struct Session {
    pub context: SessionContext,
    /// The catalog that contains the schemas of stores. The session's own catalog cannot remove
    /// schemas.
    catalog: Arc<dyn CatalogProvider>,
    pub stores: Vec<Store>,
    pub format: Format,
    pub expanded: bool,
    /// Whether to print the duration of each statement.
    pub timing: bool,
    /// The number of rows of a result that a table shows.
    pub limit: Limit,
    /// Whether results that do not fit on the screen are shown in a pager.
    pub pager: bool,
    /// Where results are written, instead of stdout.
    pub output: Option<Target>,
    /// Where the next result is written.
    pub once: Option<Target>,
    /// The last result, if it is small.
    last: Last,
    /// The last query, as it was typed.
    pub last_query: Option<String>,
    /// The last statement, as it was typed.
    pub last_statement: Option<String>,
    /// Whether a result has been written to stdout.
    is_used: Arc<AtomicBool>,
    /// The threads that plan and run statements, so that no statement can keep the session from
    /// handling Ctrl-C.
    workers: Workers,
}

impl Session {
    pub(crate) fn new(memory_limit: Option<usize>, cluster: &cluster::Options) -> Result<Self> {
        let (context, catalog) = new_context(memory_limit, cluster)?;
        Ok(Self {
            context,
            catalog,
            stores: Vec::new(),
            format: Format::default(),
            expanded: false,
            timing: false,
            limit: Limit::Default,
            pager: true,
            output: None,
            once: None,
            last: Last::default(),
            last_query: None,
            last_statement: None,
            is_used: Arc::default(),
            workers: Workers::new()?,
        })
    }

    async fn attach_all(&mut self, stores: &[String]) -> Result<()> {
        for store in stores {
            // A path may contain `=` too: only a word before the first `=` is a name.
            let (name, location) = match store.split_once('=') {
                Some((name, location)) if is_word(name) => (name.to_owned(), location),
                _ if stores.len() == 1 => ("atlas".to_owned(), store.as_str()),
                _ => (self.free_name(store), store.as_str()),
            };
            if self.stores.iter().any(|store| store.name == name) {
                return Err(Failure::new(format!(
                    "two stores would both be `{name}`: name them, NAME=STORE"
                )));
            }
            self.attach(&name, location).await?;
        }
        Ok(())
    }

    /// A name that no other store has, for a store that was given without one.
    pub(crate) fn free_name(&self, store: &str) -> String {
        let name = name_of(store);
        let is_free = |name: &String| self.stores.iter().all(|store| store.name != *name);
        let numbered = (2..).map(|number: u32| format!("{name}_{number}"));
        std::iter::once(name.clone()).chain(numbered).find(is_free).unwrap_or(name)
    }

    /// Registers the tables of a store under a name. Replaces a store that already has that name.
    pub(crate) async fn attach(&mut self, name: &str, location: &str) -> Result<()> {
        self.add(name, location, paths::open(location).await?)
    }

    /// Does the same as [`attach`](Self::attach) for an open store.
    pub(crate) fn add(&mut self, name: &str, location: &str, atlas: Atlas) -> Result<()> {
        register_store(&self.context, name, &atlas)?;
        self.stores.retain(|store| store.name != name);
        self.stores.push(Store { name: name.to_owned(), location: location.to_owned(), atlas });
        Ok(())
    }

    /// Removes a store and its tables. Returns whether there was a store with that name.
    pub(crate) fn detach(&mut self, name: &str) -> Result<bool> {
        let Some(place) = self.stores.iter().position(|store| store.name == name) else { return Ok(false) };
        self.context.deregister_table(TableReference::bare(name))?;
        self.catalog.deregister_schema(name, true)?;
        self.stores.remove(place);
        Ok(true)
    }

    /// Runs the statements and commands of a text, until one of them ends the session.
    pub(crate) async fn run_script(&mut self, text: &str) -> Result<std::ops::ControlFlow<()>> {
        for item in script::items(text).0 {
            if Box::pin(self.run_item(item)).await?.is_break() {
                return Ok(std::ops::ControlFlow::Break(()));
            }
        }
        Ok(std::ops::ControlFlow::Continue(()))
    }

    /// Runs a statement or a command, and returns whether to continue.
    pub(crate) async fn run_item(&mut self, item: Item<'_>) -> Result<std::ops::ControlFlow<()>> {
        match item {
            Item::Command(command) => commands::run(self, &command).await,
            Item::Statement(statement) => {
                self.last_statement = Some(statement.trim().to_owned());
                let prepared = self.prepare(statement).await?;
                self.run(prepared).await?;
                Ok(std::ops::ControlFlow::Continue(()))
            }
        }
    }

    /// Plans a statement, and remembers it as the last query if it is a query.
    pub(crate) async fn prepare(&mut self, text: &str) -> Result<Prepared> {
        let (context, typed) = (self.context.clone(), text.to_owned());
        let prepared = self.on_workers(async move { prepare(&context, &typed).await }).await?;
        if prepared.is_query {
            self.last_query = Some(text.to_owned());
        }
        Ok(prepared)
    }

    /// Runs a statement and writes its result.
    pub(crate) async fn run(&mut self, statement: Prepared) -> Result<()> {
        let runner = self.next_runner(statement.has_rows());
        let _hidden = HiddenAtEnd(runner.watch.clone());
        self.on_workers(async move { runner.run(statement).await }).await
    }

    /// Writes all rows and columns of the last result. If the result is large, runs its query
    /// again.
    pub(crate) async fn show_last(&mut self) -> Result<()> {
        let query = match self.last.rows() {
            Some(rows) => {
                let runner = self.next_runner(true).whole();
                return runner.show(rows, Instant::now()).await;
            }
            None => self.last_query.clone().ok_or_else(|| Failure::new("there is no result yet"))?,
        };
        let query = self.prepare(&query).await?;
        let runner = self.next_runner(true).whole();
        let _hidden = HiddenAtEnd(runner.watch.clone());
        self.on_workers(async move { runner.run(query).await }).await
    }

    /// Runs a task on the session's workers. Dropping the future cancels the task.
    pub(crate) async fn on_workers<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let workers = self.workers.handle().ok_or_else(|| Failure::new("the session has ended"))?;
        let mut running = Running(workers.spawn(task));
        // If the task panicked, the hook has reported that.
        (&mut running.0).await.unwrap_or_else(|_| Err(Failure::new("the statement failed")))
    }

    /// Abandons running tasks together with their threads, which may not stop at once.
    pub(crate) fn abandon(&mut self) -> Result<()> {
        self.workers = Workers::new()?;
        Ok(())
    }

    /// The runner of the next statement. If the statement returns rows, they may go to their own
    /// file.
    fn next_runner(&mut self, has_rows: bool) -> Runner {
        let once = if has_rows { self.once.take() } else { None };
        let target = once.or_else(|| self.output.clone());
        self.runner_to(target)
    }

    /// The runner of statements.
    pub(crate) fn runner(&self) -> Runner {
        self.runner_to(self.output.clone())
    }

    fn runner_to(&self, target: Option<Target>) -> Runner {
        let to_terminal = target.is_none() && io::stdout().is_terminal();
        let (width, height) = terminal_size::terminal_size()
            .filter(|_| to_terminal)
            .map_or((None, None), |(width, height)| (Some(width.0.into()), Some(height.0.into())));
        let limit = match self.limit {
            Limit::Default => to_terminal.then_some(LIMIT),
            Limit::Rows(rows) => Some(rows),
            Limit::All => None,
        };
        let format = target.as_ref().and_then(|target| target.format).unwrap_or(self.format);
        let dim = to_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Runner {
            context: self.context.clone(),
            style: Style { format, expanded: self.expanded, limit, width, dim, of_query: true },
            target,
            is_used: Arc::clone(&self.is_used),
            last: self.last.clone(),
            pager: width
                .zip(height)
                .filter(|_| self.pager)
                .and_then(|(width, height)| Pager::find(width, height)),
            to_terminal,
            timing: self.timing,
            watch: Watch::new(),
        }
    }
}

/// A task that is cancelled when this is dropped.
struct Running<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The progress of a statement, which is hidden when this is dropped.
struct HiddenAtEnd(Watch);

impl Drop for HiddenAtEnd {
    fn drop(&mut self) {
        self.0.hide();
    }
}

/// A session without stores, with everything that Atlas registers, and its catalog.
pub(crate) fn new_context(
    memory_limit: Option<usize>,
    cluster: &cluster::Options,
) -> Result<(SessionContext, Arc<dyn CatalogProvider>)> {
    let config = SessionConfig::new().with_information_schema(true);
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(limit) = memory_limit {
        runtime = runtime.with_memory_limit(limit, 1.0);
    }
    let builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime.build_arc()?)
        .with_default_features();
    let context = SessionContext::new_with_state(cluster::add_to(with_atlas(builder), cluster)?.build());
    let name = context.state().config_options().catalog.default_catalog.clone();
    let catalog =
        context.catalog(&name).ok_or_else(|| Failure::new(format!("there is no catalog `{name}`")))?;
    // Files can be queried as tables: `SELECT * FROM 'casts.parquet'`.
    let context = context.enable_url_table();
    atlas_udfs::register_all(&context);
    netcdf::register(&context)?;
    Ok((context, catalog))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The name of a store that was given without one: the last part of its location.
fn name_of(store: &str) -> String {
    let last = store.trim_end_matches('/').rsplit('/').next().unwrap_or(store);
    last.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

/// Creates a session without stores, but with everything that Atlas registers: its tables,
/// functions and rules, and files as tables. If `memory_limit` is set, queries may use that many
/// bytes; sorts and aggregations that need more use the disk.
///
/// # Errors
/// DataFusion cannot set up the session.
pub fn new_session(memory_limit: Option<usize>) -> Result<SessionContext> {
    Ok(new_context(memory_limit, &cluster::Options::default())?.0)
}

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
    let is_query = ["SELECT", "WITH", "("]
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
    context: SessionContext,
    style: Style,
    target: Option<Target>,
    is_used: Arc<AtomicBool>,
    last: Last,
    pager: Option<Pager>,
    to_terminal: bool,
    timing: bool,
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
                let mut out = BufWriter::new(target.open(self.style.format)?);
                let number = output::write(rows, self.style, &mut out).await?;
                out.flush()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_abandoned_does_not_keep_the_session() {
        let mut session = Session::new(None, &cluster::Options::default()).unwrap();
        let begun = Instant::now();
        // The first statement keeps the optimizer busy for minutes, the second one the parser.
        let slow = format!("SELECT {}1{}", "(SELECT ".repeat(20), ")".repeat(20));
        let wrong = format!("SELECT {}1{}", "cast(".repeat(40), " asx int)".repeat(40));
        for sql in [slow, wrong] {
            let waited = std::time::Duration::from_millis(300);
            let run = async {
                let prepared = session.prepare(&sql).await?;
                session.run(prepared).await
            };
            assert!(tokio::time::timeout(waited, run).await.is_err());
            session.abandon().unwrap();
            assert!(session.prepare("SELECT 1").await.unwrap().is_query);
        }
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    }
}
