//! `atlas sql`: a session with stores, and what it does with statements.

use std::fs::{File, OpenOptions};
use std::future::Future;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use atlas::Atlas;
use atlas_datafusion::{register_store, summarize, summarize_rows, with_atlas};
use clap::Args;
use datafusion::catalog::CatalogProvider;
use datafusion::common::TableReference;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{SendableRecordBatchStream, execute_stream};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};

use crate::error::{Failure, Result};
use crate::output::{self, Format, Style, count};
use crate::printable::Printable;
use crate::progress::Watch;
use crate::statement::{Prepared, What, prepare, table_of};
use crate::threads::Workers;
use crate::{commands, destination, script, shell};

/// Rows of a table that a terminal is shown; the rest is counted.
const MOST_ROWS: usize = 1000;

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
    /// How results are written.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write results to a file.
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// The memory that queries may use, such as 2G or 500M: sorts and aggregations that need more
    /// use the disk, and what cannot fails.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    memory_limit: Option<usize>,
    /// Do not run the commands of the rc file when the shell starts.
    #[arg(long)]
    no_rc: bool,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let mut session = Session::new(arguments.memory_limit)?;
    session.attach_all(&arguments.stores).await?;
    session.format = arguments.format;
    session.write_to(arguments.output.as_deref())?;
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

/// `2G`, `500M`, `64kB`, `1000`: a number of bytes.
fn parse_size(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..).unwrap_or("").to_ascii_lowercase().trim_end_matches('b') {
        "" => 1.0,
        "k" | "ki" => 1024.0,
        "m" | "mi" => 1024.0 * 1024.0,
        "g" | "gi" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err("a size is a number with k, M or G".to_owned()),
    };
    let number: f64 = digits.parse().map_err(|_| "a size is a number with k, M or G".to_owned())?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let bytes = (number * unit) as usize;
    if bytes > 0 { Ok(bytes) } else { Err("a size is above zero".to_owned()) }
}

/// A store that the session has, and where it is.
pub(crate) struct Store {
    pub name: String,
    pub location: String,
    pub atlas: Atlas,
}

/// Tables, and how results are shown.
pub(crate) struct Session {
    pub context: SessionContext,
    /// Where the schemas of stores are: the session's own does not let go of any.
    catalog: Arc<dyn CatalogProvider>,
    pub stores: Vec<Store>,
    pub format: Format,
    pub expanded: bool,
    /// Whether to tell of each statement how long it took.
    pub timing: bool,
    /// Where results go, other than to stdout.
    pub output: Option<PathBuf>,
    /// The last query, as it was planned.
    pub last_query: Option<String>,
    /// What statements are planned and run on, so that none can keep the session from hearing
    /// Ctrl-C.
    workers: Workers,
}

impl Session {
    pub(crate) fn new(memory_limit: Option<usize>) -> Result<Self> {
        let (context, catalog) = new_context(memory_limit)?;
        Ok(Self {
            context,
            catalog,
            stores: Vec::new(),
            format: Format::default(),
            expanded: false,
            timing: false,
            output: None,
            last_query: None,
            workers: Workers::new()?,
        })
    }

    async fn attach_all(&mut self, stores: &[String]) -> Result<()> {
        for store in stores {
            // A `=` may be in a path too: a name is a word before the first.
            let (name, location) = match store.split_once('=') {
                Some((name, location)) if is_word(name) => (name.to_owned(), location),
                _ if stores.len() == 1 => ("atlas".to_owned(), store.as_str()),
                _ => (name_of(store), store.as_str()),
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

    /// Makes the tables of a store known under a name, in place of those of another store of that
    /// name.
    pub(crate) async fn attach(&mut self, name: &str, location: &str) -> Result<()> {
        self.add(name, location, Atlas::open_url(location).await?)
    }

    /// As [`attach`](Self::attach), for a store that is open.
    pub(crate) fn add(&mut self, name: &str, location: &str, atlas: Atlas) -> Result<()> {
        register_store(&self.context, name, &atlas)?;
        self.stores.retain(|store| store.name != name);
        self.stores.push(Store { name: name.to_owned(), location: location.to_owned(), atlas });
        Ok(())
    }

    /// Forgets a store and its tables. Returns whether there was one of that name.
    pub(crate) fn detach(&mut self, name: &str) -> Result<bool> {
        let Some(place) = self.stores.iter().position(|store| store.name == name) else { return Ok(false) };
        self.context.deregister_table(TableReference::bare(name))?;
        self.catalog.deregister_schema(name, true)?;
        self.stores.remove(place);
        Ok(true)
    }

    /// Writes the results to come to a new file, or to stdout.
    pub(crate) fn write_to(&mut self, path: Option<&Path>) -> Result<()> {
        if let Some(path) = path {
            destination::check_path(path)?;
            File::create(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
        }
        self.output = path.map(Path::to_owned);
        Ok(())
    }

    /// Runs the statements and commands of a text, until one of them says that it is enough.
    pub(crate) async fn run_script(&mut self, text: &str) -> Result<std::ops::ControlFlow<()>> {
        for item in script::items(text).0 {
            match item {
                script::Item::Command(command) => {
                    if Box::pin(commands::run(self, command)).await?.is_break() {
                        return Ok(std::ops::ControlFlow::Break(()));
                    }
                }
                script::Item::Statement(statement) => {
                    let query = self.prepare(statement).await?;
                    self.run(query).await?;
                }
            }
        }
        Ok(std::ops::ControlFlow::Continue(()))
    }

    /// Plans a statement, and remembers it as the last, where it is a query.
    pub(crate) async fn prepare(&mut self, text: &str) -> Result<Prepared> {
        let (context, text) = (self.context.clone(), text.to_owned());
        let prepared = self.on_workers(async move { prepare(&context, &text).await }).await?;
        if prepared.is_query {
            self.last_query = Some(prepared.text.clone());
        }
        Ok(prepared)
    }

    /// Runs a statement and writes its result.
    pub(crate) async fn run(&self, statement: Prepared) -> Result<()> {
        let runner = self.runner();
        let _hidden = HiddenAtEnd(runner.watch.clone());
        self.on_workers(async move { runner.run(statement).await }).await
    }

    /// Runs a task on the session's workers; dropped, it is cancelled.
    pub(crate) async fn on_workers<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        let workers = self.workers.handle().ok_or_else(|| Failure::new("the session has ended"))?;
        let mut running = Running(workers.spawn(task));
        // Where it panicked, the hook has told what happened.
        (&mut running.0).await.unwrap_or_else(|_| Err(Failure::new("the statement failed")))
    }

    /// Leaves what runs alone, with its threads, which may not stop at once.
    pub(crate) fn abandon(&mut self) -> Result<()> {
        self.workers = Workers::new()?;
        Ok(())
    }

    /// What runs statements for the session.
    pub(crate) fn runner(&self) -> Runner {
        let to_terminal = self.output.is_none() && io::stdout().is_terminal();
        let (width, height) = terminal_size::terminal_size()
            .filter(|_| to_terminal)
            .map_or((None, None), |(width, height)| (Some(width.0.into()), Some(height.0.into())));
        let most = to_terminal.then_some(MOST_ROWS);
        Runner {
            context: self.context.clone(),
            style: Style { format: self.format, expanded: self.expanded, most, width },
            output: self.output.clone(),
            height,
            to_terminal,
            timing: self.timing,
            watch: Watch::new(),
        }
    }
}

/// A task that ends with whoever waits for it.
struct Running<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is shown of a statement, until whoever waits for it no longer does.
struct HiddenAtEnd(Watch);

impl Drop for HiddenAtEnd {
    fn drop(&mut self) {
        self.0.hide();
    }
}

/// A session without stores, with everything that Atlas brings, and its catalog.
pub(crate) fn new_context(memory_limit: Option<usize>) -> Result<(SessionContext, Arc<dyn CatalogProvider>)> {
    let config = SessionConfig::new().with_information_schema(true);
    let mut runtime = RuntimeEnvBuilder::new();
    if let Some(limit) = memory_limit {
        runtime = runtime.with_memory_limit(limit, 1.0);
    }
    let builder = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime.build_arc()?)
        .with_default_features();
    let context = SessionContext::new_with_state(with_atlas(builder).build());
    let name = context.state().config_options().catalog.default_catalog.clone();
    let catalog =
        context.catalog(&name).ok_or_else(|| Failure::new(format!("there is no catalog `{name}`")))?;
    // Files are tables too: `SELECT * FROM 'casts.parquet'`.
    let context = context.enable_url_table();
    atlas_udfs::register_all(&context);
    Ok((context, catalog))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The name of a store that was given without one: the last part of its address.
pub(crate) fn name_of(store: &str) -> String {
    let last = store.trim_end_matches('/').rsplit('/').next().unwrap_or(store);
    last.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect()
}

/// A session without stores that knows everything that Atlas brings: its tables, functions and
/// rules, and files as tables. Queries may use `memory_limit` bytes, if there is one; sorts and
/// aggregations that need more use the disk.
///
/// # Errors
/// Where DataFusion cannot set it up.
pub fn new_session(memory_limit: Option<usize>) -> Result<SessionContext> {
    Ok(new_context(memory_limit)?.0)
}

/// Plans a statement, such as a query or `SUMMARIZE`, as the shell does: names in the wrong case
/// are made right where only one can be meant, and statements too deep for the stack of a
/// [`runtime`](crate::runtime) are refused. A query runs when its rows are asked for.
///
/// # Errors
/// What is wrong with the statement, in a line for people.
pub async fn plan_statement(context: &SessionContext, text: &str) -> Result<DataFrame> {
    match prepare(context, text).await?.what {
        What::Plan(plan) => Ok(context.execute_logical_plan(*plan).await?),
        What::SummaryOf(of) => Ok(context.read_batch(summary_of(context, &of).await?)?),
    }
}

/// The summary of a table, given by its name, or of a query.
async fn summary_of(context: &SessionContext, of: &str) -> Result<RecordBatch> {
    let is_neither = || Failure::new("SUMMARIZE takes the name of a table, or a query");
    let is_query = ["SELECT", "WITH", "("]
        .iter()
        .any(|word| of.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word)));
    if is_query {
        let What::Plan(plan) = prepare(context, of).await?.what else { return Err(is_neither()) };
        return Ok(summarize_rows(context.execute_logical_plan(*plan).await?).await?);
    }
    // As a query, so that names are found as in one.
    let query = prepare(context, &format!("SELECT * FROM {of}")).await?;
    let table = table_of(&query).ok_or_else(is_neither)?;
    Ok(summarize(context, context.table_provider(table).await?).await?)
}

/// What runs a statement: cheap to copy, so that one that is cancelled can be left alone.
#[derive(Clone)]
pub(crate) struct Runner {
    context: SessionContext,
    style: Style,
    output: Option<PathBuf>,
    height: Option<usize>,
    to_terminal: bool,
    timing: bool,
    /// Tells how far the statement is.
    pub watch: Watch,
}

impl Runner {
    /// Runs a statement and writes its result.
    pub(crate) async fn run(&self, statement: Prepared) -> Result<()> {
        let started = Instant::now();
        match statement.what {
            What::SummaryOf(of) => {
                let summary = summary_of(&self.context, &of).await?;
                self.show(self.context.read_batch(summary)?.execute_stream().await?, started).await
            }
            What::Plan(plan) => {
                let rows = self.execute(*plan).await?;
                if !rows.schema().fields().is_empty() {
                    return self.show(rows, started).await;
                }
                // A statement such as CREATE VIEW is done once its empty result is.
                output::write(rows, Style::whole(Format::Ndjson), &mut io::sink()).await?;
                Ok(())
            }
        }
    }

    /// Runs a query, for its rows.
    pub(crate) async fn stream(&self, query: Prepared) -> Result<SendableRecordBatchStream> {
        match query.what {
            What::Plan(plan) => self.execute(*plan).await,
            What::SummaryOf(_) => Err(Failure::new("that is no query")),
        }
    }

    async fn execute(&self, plan: LogicalPlan) -> Result<SendableRecordBatchStream> {
        let rows = self.context.execute_logical_plan(plan).await?;
        let plan = rows.create_physical_plan().await?;
        self.watch.show(&plan);
        Ok(execute_stream(plan, self.context.task_ctx())?)
    }

    /// Writes rows as the session wants them.
    pub(crate) async fn show(&self, rows: SendableRecordBatchStream, started: Instant) -> Result<()> {
        let columns = rows.schema().fields().len();
        let mut taken = None;
        let number = match &self.output {
            Some(path) => {
                let mut file = OpenOptions::new();
                // Text is added to what is there; a file of these formats has one result.
                let file = if self.style.format.is_binary() {
                    file.write(true).truncate(true)
                } else {
                    file.append(true)
                };
                let file = file.open(path).map_err(|e| Failure::new(format!("{}: {e}", path.display())))?;
                let mut out = BufWriter::new(file);
                let number = output::write(rows, self.style, &mut out).await?;
                out.flush()?;
                number
            }
            None if self.style.format.is_binary() && self.to_terminal => {
                return Err(Failure::new(
                    "this format is nothing for a terminal: name a file with \\o or --output",
                ));
            }
            None => self.print(rows, &mut || taken = Some(started.elapsed())).await?,
        };
        self.watch.hide();
        if self.timing {
            let seconds = taken.unwrap_or_else(|| started.elapsed()).as_secs_f64();
            let (rows, columns) = (count(number, "row"), count(columns, "column"));
            writeln!(io::stdout(), "{rows}, {columns} in {seconds:.3} s")?;
        }
        Ok(())
    }

    /// Writes rows to stdout; what a terminal has no room for, to the user's pager, of whose start
    /// it tells.
    async fn print(
        &self,
        rows: SendableRecordBatchStream,
        before_pager: &mut (dyn FnMut() + Send),
    ) -> Result<usize> {
        let pager = std::env::var("PAGER").ok().filter(|pager| !pager.trim().is_empty());
        let (Some(height), Some(pager)) = (self.height, pager) else {
            let out = Clearing { watch: &self.watch, to_terminal: self.to_terminal };
            let mut out: Box<dyn Write + Send> = match self.to_terminal {
                true => Box::new(BufWriter::new(Printable::new(out))),
                false => Box::new(BufWriter::new(out)),
            };
            let number = output::write(rows, self.style, &mut out).await?;
            out.flush()?;
            return Ok(number);
        };
        let mut text = Vec::new();
        // A pager scrolls: to the side too, if it is `less -S`.
        let number = output::write(rows, self.style, &mut Printable::new(&mut text)).await?;
        self.watch.hide();
        if text.iter().filter(|&&byte| byte == b'\n').count() < height {
            io::stdout().write_all(&text)?;
            return Ok(number);
        }
        before_pager();
        let child = std::process::Command::new("sh")
            .arg("-c")
            .arg(&pager)
            .stdin(std::process::Stdio::piped())
            .spawn();
        let mut child = child.map_err(|e| Failure::new(format!("the pager `{pager}` did not start: {e}")))?;
        if let Some(mut stdin) = child.stdin.take() {
            // Who leaves the pager has seen enough.
            let _ = stdin.write_all(&text);
        }
        child.wait()?;
        Ok(number)
    }
}

/// Stdout, which has no progress beside it once something is written to a terminal.
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
        let mut session = Session::new(None).unwrap();
        let begun = Instant::now();
        // The first keeps the optimizer busy for minutes, the second the parser.
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
