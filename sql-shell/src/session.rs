//! Sessions with stores, which run statements.

use std::future::Future;
use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use atlas::Atlas;
use atlas_datafusion::{register_store, with_atlas};
use datafusion::catalog::CatalogProvider;
use datafusion::common::TableReference;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::future::join_all;
use tokio::sync::oneshot;

use crate::complete::CompleteResults;
use crate::error::{Failure, Result};
use crate::interrupts::GRACE;
use crate::last::Last;
use crate::output::{Format, Style};
use crate::pager::Pager;
use crate::progress::Watch;
use crate::runner::Runner;
use crate::statement::{Prepared, prepare};
use crate::target::Target;
use crate::threads::Workers;
use crate::{cluster, files, netcdf, paths};

/// The number of rows that a table in a terminal shows, unless another limit is set.
pub(crate) const LIMIT: usize = 40;

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
    /// Tell when tasks have ended that were abandoned.
    abandoned: Vec<oneshot::Receiver<()>>,
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
            abandoned: Vec::new(),
        })
    }

    /// Attaches stores that may have names, as in `NAME=STORE`.
    pub(crate) async fn attach_all(&mut self, stores: &[String]) -> Result<()> {
        for store in stores {
            // A path may contain `=` too: only a word before the first `=` is a name.
            let (name, location) = match store.split_once('=') {
                Some((name, location)) if is_word(name) => (name.to_owned(), location),
                _ if stores.len() == 1 => ("atlas".to_owned(), store.as_str()),
                _ => (self.free_name(store), store.as_str()),
            };
            if self.stores.iter().any(|store| store.name == name) {
                return Err(Failure::new(format!(
                    "two stores have the name `{name}`: name them, as in NAME=STORE"
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

    /// Abandons cancelled tasks together with their threads, which may not stop at once.
    pub(crate) fn abandon(&mut self) -> Result<()> {
        self.abandoned.push(self.workers.end());
        self.workers = Workers::new()?;
        Ok(())
    }

    /// Ends the session. Waits for a short time until all tasks have ended and removed their files.
    pub(crate) async fn end(mut self) {
        self.abandoned.push(self.workers.end());
        // What does not end in time is left to the end of the process.
        let _ = tokio::time::timeout(GRACE, join_all(self.abandoned)).await;
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
        .with_default_features()
        .with_physical_optimizer_rule(Arc::new(CompleteResults));
    let context = SessionContext::new_with_state(cluster::add_to(with_atlas(builder), cluster)?.build());
    let name = context.state().config_options().catalog.default_catalog.clone();
    let catalog =
        context.catalog(&name).ok_or_else(|| Failure::new(format!("there is no catalog `{name}`")))?;
    let context = files::register(context)?;
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
