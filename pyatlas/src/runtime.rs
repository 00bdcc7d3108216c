//! The threads that read stores and run queries, while a Python thread waits.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use pyo3::prelude::*;
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval_at};

use crate::errors::{Kind, Raise};

/// The interval at which a waiting thread checks for signals such as Ctrl-C.
const TICK: Duration = Duration::from_millis(50);

struct Threads {
    /// The process that has the threads. A fork has none of them.
    process: u32,
    runtime: Runtime,
}

static THREADS: OnceLock<Threads> = OnceLock::new();

/// Checks that this process was not forked off one that had used Atlas. Locks that other threads
/// held at the fork are never released in it.
///
/// # Errors
/// `StateError`, in a fork.
pub(crate) fn check_process() -> PyResult<()> {
    match THREADS.get() {
        Some(threads) if threads.process != std::process::id() => Err(Kind::State.error(
            "this process was forked after pyatlas was first used, and has none of its threads: start \
             processes by `spawn` or `forkserver`, or fork before the first use",
        )),
        _ => Ok(()),
    }
}

/// The threads, which start at the first use.
///
/// # Errors
/// Those of [`check_process`]; `StorageError` if threads cannot be started.
pub(crate) fn handle() -> PyResult<&'static Handle> {
    check_process()?;
    let threads = match THREADS.get() {
        Some(threads) => threads,
        None => {
            let runtime = atlas_sql::runtime().map_err(|e| Kind::Storage.error(e))?;
            THREADS.get_or_init(|| Threads { process: std::process::id(), runtime })
        }
    };
    Ok(threads.runtime.handle())
}

/// A task that is aborted when the waiting caller ends.
struct Running<T>(JoinHandle<T>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs work on the threads, without the GIL. A signal that raises an exception, such as Ctrl-C,
/// ends the work.
///
/// # Errors
/// Those of the work, of [`handle`], and exceptions of signals.
pub(crate) fn wait<T, E>(
    py: Python<'_>,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> PyResult<T>
where
    T: Send + 'static,
    E: Raise + Send + 'static,
{
    watch(py, work, |_| Ok(()))
}

/// Like [`wait`], and calls `tick` with the GIL several times a second.
pub(crate) fn watch<T, E>(
    py: Python<'_>,
    work: impl Future<Output = Result<T, E>> + Send + 'static,
    mut tick: impl FnMut(Python<'_>) -> PyResult<()> + Send,
) -> PyResult<T>
where
    T: Send + 'static,
    E: Raise + Send + 'static,
{
    let runtime = handle()?;
    py.detach(|| {
        let mut running = Running(runtime.spawn(work));
        runtime.block_on(async {
            let mut ticks = interval_at(Instant::now() + TICK, TICK);
            loop {
                tokio::select! {
                    biased;
                    done = &mut running.0 => return match done {
                        Ok(done) => done.map_err(Raise::raise),
                        Err(error) => Err(Kind::Internal.error(format!("the work panicked: {error}"))),
                    },
                    _ = ticks.tick() => Python::attach(|py| {
                        py.check_signals()?;
                        tick(py)
                    })?,
                }
            }
        })
    })
}
