//! The threads that plan and run statements.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle, Runtime};

/// The stack size of a thread, in bytes. Planning, evaluating and dropping a chain of operators are
/// recursive. The stack has room for everything that `limits` admits, even in unoptimised builds.
/// Only the used part of a stack takes memory.
const STACK: usize = 256 << 20;

/// Runs a function on its own thread.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().stack_size(STACK).spawn(work)
}

/// A runtime whose threads have enough stack for every statement that is not rejected.
///
/// # Errors
/// The threads cannot be started.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build()
}

/// Threads that can be abandoned while they are busy.
pub(crate) struct Workers(Option<Runtime>);

impl Workers {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(Some(runtime()?)))
    }

    pub(crate) fn handle(&self) -> Option<&Handle> {
        self.0.as_ref().map(Runtime::handle)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
