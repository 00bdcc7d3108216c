//! The threads that plan and run statements.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};

/// The stack size of a thread, in bytes. Planning, evaluating and dropping a chain of operators are
/// recursive. The stack has room for everything that `limits` admits, even in unoptimised builds.
/// Only the used part of a stack takes memory.
const STACK: usize = 256 << 20;

/// The longest time that [`Workers::end`] waits for tasks, and for their threads.
const ENDING: Duration = Duration::from_millis(500);

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

    /// Waits for a short time until cancelled tasks have ended, because they may have files to
    /// remove.
    pub(crate) async fn end(mut self) {
        let Some(runtime) = self.0.take() else { return };
        let are_left = || runtime.metrics().num_alive_tasks() > 0;
        let ended = async {
            while are_left() {
                tokio::time::sleep(ENDING / 100).await;
            }
        };
        // What does not end in time is left to itself.
        let _ = tokio::time::timeout(ENDING, ended).await;
        let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(ENDING)).await;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
