//! Threads that statements are planned and run on.

use std::io;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle, Runtime};

/// The stack of a thread, in bytes. A chain of operators is planned, evaluated and dropped by
/// recursion: this is room for all that `limits` admits, also where nothing is optimised. Memory is
/// taken only for what is used of it.
const STACK: usize = 256 << 20;

/// Runs something on a thread of its own.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().stack_size(STACK).spawn(work)
}

/// Threads for tasks, with stacks for every statement that is not refused.
///
/// # Errors
/// Where threads cannot be started.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_stack_size(STACK).build()
}

/// Threads that can be left alone with what they do.
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
