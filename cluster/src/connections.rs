//! The threads of connections.

use std::future::Future;
use std::sync::OnceLock;

use datafusion::common::{Result, exec_datafusion_err};
use tokio::runtime::{Builder, Handle, Runtime};

/// The stack size of a thread, in bytes. Decoding a plan is recursive.
const STACK: usize = 64 << 20;

/// The runtime of all connections of this process. Queries run elsewhere, because operators can
/// occupy all threads of a runtime for longer than the timeout of a worker. A connection on the same
/// threads would then not answer keep-alive requests, and the worker would count as lost.
pub(crate) fn connections() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let start = || {
        let mut threads = Builder::new_multi_thread();
        threads.worker_threads(2).thread_name("atlas-connections").thread_stack_size(STACK);
        threads.enable_all().build().ok()
    };
    let runtime = RUNTIME.get_or_init(start).as_ref();
    let runtime = runtime.ok_or_else(|| exec_datafusion_err!("no threads for connections could be started"));
    runtime.map(Runtime::handle)
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
