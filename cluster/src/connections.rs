//! The threads of connections.

use std::future::Future;
use std::sync::OnceLock;

use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use tokio::runtime::{Builder, Handle, Runtime};

/// The stack size of a thread, in bytes. Decoding a plan is recursive.
const STACK: usize = 64 << 20;

/// The runtime of all connections that this process opens. Queries run elsewhere, because operators
/// can occupy all threads of a runtime for longer than the timeout of a worker. A connection on the
/// same threads would then not answer keep-alive requests, and the worker would count as lost.
pub(crate) fn connections() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| start().ok()).as_ref();
    runtime.map(Runtime::handle).ok_or_else(no_threads)
}

/// The runtime of the connections that a worker accepts. All end when it is dropped.
///
/// The engine also exchanges rows between operators there, so it has as many threads as processors.
pub(crate) struct Accepted(Option<Runtime>);

impl Accepted {
    pub fn new() -> Result<Self> {
        start().map(|runtime| Self(Some(runtime))).map_err(|_| no_threads())
    }

    pub fn handle(&self) -> Result<&Handle> {
        self.0.as_ref().map(Runtime::handle).ok_or_else(no_threads)
    }
}

impl Drop for Accepted {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

fn start() -> std::io::Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(2, |number| number.get().max(2));
    let mut threads = Builder::new_multi_thread();
    threads.worker_threads(processors).thread_name("atlas-connections").thread_stack_size(STACK);
    threads.enable_all().build()
}

fn no_threads() -> DataFusionError {
    exec_datafusion_err!("no threads for connections could be started")
}

/// Spawns the tasks of a connection.
pub(crate) struct OnConnections(pub &'static Handle);

impl<F> hyper::rt::Executor<F> for OnConnections
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
