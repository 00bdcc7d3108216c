//! The threads that plan and run statements.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// The stack size of a thread, in bytes. Planning, evaluating and dropping a chain of operators are
/// recursive. The stack has room for everything that `limits` admits, even in unoptimised builds.
/// Only the used part of a stack takes memory.
const STACK: usize = 256 << 20;

/// The time after which threads are abandoned.
const ENDING: Duration = Duration::from_mins(1);

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

    /// Lets cancelled tasks end, because they may have files to remove. Their threads are abandoned
    /// if they do not end in [`ENDING`]. The result tells when all have ended, but need not be waited
    /// for. From now on, there is no [`handle`](Self::handle).
    pub(crate) fn end(&mut self) -> oneshot::Receiver<()> {
        let (tell, ended) = oneshot::channel();
        if let Some(runtime) = self.0.take() {
            std::thread::spawn(move || {
                let begun = Instant::now();
                // Tasks that are done need some microseconds to end.
                let mut pause = Duration::from_micros(50);
                while runtime.metrics().num_alive_tasks() > 0 && begun.elapsed() < ENDING {
                    std::thread::sleep(pause);
                    pause = (2 * pause).min(Duration::from_millis(20));
                }
                // The last tasks remove files on threads for blocking work. A runtime that shuts
                // down only waits for such work that has begun.
                let _ = runtime.block_on(runtime.spawn_blocking(|| ()));
                runtime.shutdown_timeout(ENDING.saturating_sub(begun.elapsed()));
                drop(tell);
            });
        }
        ended
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
