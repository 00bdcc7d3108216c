//! Ctrl-C, and requests to end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, oneshot};

use crate::error::{Failure, Result};

/// The time in which stopped work removes its files.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// The exit code of a command that was stopped: by convention 128 and the number of SIGINT.
pub(crate) const STOPPED: u8 = 130;

/// Waits for Ctrl-C or SIGTERM.
pub(crate) async fn stopped() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminated = signal(SignalKind::terminate())?;
        if ignores_interrupts() {
            terminated.recv().await;
            return Ok(());
        }
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted,
            _ = terminated.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// True if the process ignores SIGINT. Jobs that a script runs in the background are started so:
/// Ctrl-C is meant for other processes.
#[cfg(unix)]
fn ignores_interrupts() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGINT is 2, and the first bit belongs to 1.
    mask.is_some_and(|mask| mask & 0b10 != 0)
}

/// Does some work, but drops it at Ctrl-C or SIGTERM. The process ends at the second one, or after
/// twice [`GRACE`], whatever it does then.
///
/// # Errors
/// Those of the work, and [`Failure::stopped`].
pub(crate) async fn unless_stopped<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = listener()?;
    let (tell, heard) = oneshot::channel();
    std::thread::spawn(move || {
        runtime.block_on(async {
            // Without signals, their default effect is to end the process.
            if stopped().await.is_ok() {
                // The work can have ended at this moment.
                let _ = tell.send(());
                let _ = tokio::time::timeout(2 * GRACE, stopped()).await;
                std::process::exit(STOPPED.into());
            }
        });
    });
    tokio::select! {
        done = work => done,
        Ok(()) = heard => Err(Failure::stopped()),
    }
}

/// Notifies of each Ctrl-C.
pub(crate) fn interrupts() -> Result<Arc<Notify>> {
    let runtime = listener()?;
    // It listens before this returns. The editor replaces the handler of the process while it reads
    // a line, and would else put back the one that ends the process.
    let mut interrupt = {
        let _entered = runtime.enter();
        interrupt()?
    };
    let heard = Arc::new(Notify::new());
    let tell = Arc::clone(&heard);
    std::thread::spawn(move || {
        runtime.block_on(async {
            while interrupt.recv().await.is_some() {
                tell.notify_waiters();
            }
        });
    });
    Ok(heard)
}

#[cfg(unix)]
fn interrupt() -> io::Result<tokio::signal::unix::Signal> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt())
}

#[cfg(windows)]
fn interrupt() -> io::Result<tokio::signal::windows::CtrlC> {
    tokio::signal::windows::ctrl_c()
}

/// A runtime for a thread that listens to signals and is never busy.
fn listener() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}
