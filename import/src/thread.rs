//! Threads that read files. If one panics or never ends, the others are not affected.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::Error;

/// The number of bytes of a thread's stack: enough for the deepest groups and types that are
/// followed.
const STACK: usize = 16 * 1024 * 1024;

/// Runs `read` on its own thread, which the end of the process does not wait for. The receiver gets
/// its result, or nothing if the thread could not be started.
pub(crate) fn start<T: Send + 'static>(
    path: &Path,
    read: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> oneshot::Receiver<Result<T, Error>> {
    let (sender, receiver) = oneshot::channel();
    let path = path.to_owned();
    let run = move || {
        let read = catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(failed(&path)));
        // Sending fails only if nobody waits any longer.
        let _ = sender.send(read);
    };
    let _ = std::thread::Builder::new().name("atlas-read".to_owned()).stack_size(STACK).spawn(run);
    receiver
}

/// Waits for a thread of [`start`], on a thread of the runtime that may block.
pub(crate) fn wait<T>(
    path: &Path,
    started: oneshot::Receiver<Result<T, Error>>,
    limit: Duration,
) -> Result<T, Error> {
    let waited = Handle::current().block_on(async { timeout(limit, started).await });
    waited.map_err(|_| stalled(path, limit))?.unwrap_or_else(|_| Err(failed(path)))
}

/// The error for a file on which the reader panicked.
pub(crate) fn failed(path: &Path) -> Error {
    Error::File {
        path: path.to_owned(),
        reason: "the reader failed on it: it is damaged, or of a kind that is not known".to_owned(),
    }
}

/// The error for a file that takes too long.
pub(crate) fn stalled(path: &Path, limit: Duration) -> Error {
    let reason = format!("nothing came of it for {} s, and it is left alone", limit.as_secs());
    Error::File { path: path.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The result of reading a file on such a thread.
    fn read(
        limit: Duration,
        read: impl FnOnce() -> Result<u8, Error> + Send + 'static,
    ) -> Result<u8, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_time().build().unwrap();
        let path = Path::new("f.nc");
        let waiting = async { tokio::task::block_in_place(|| wait(path, start(path, read), limit)) };
        runtime.block_on(waiting).map_err(|error| error.to_string())
    }

    #[test]
    fn a_reader_that_panics_or_never_ends_costs_its_file() {
        let long = Duration::from_secs(60);
        assert_eq!(read(long, || Ok(7)), Ok(7));
        let panicked = read(long, || std::panic::resume_unwind(Box::new("on purpose")));
        assert!(panicked.unwrap_err().contains("the reader failed on it"));
        let (sender, receiver) = std::sync::mpsc::channel::<u8>();
        let begun = std::time::Instant::now();
        let stalled = read(Duration::from_millis(50), move || Ok(receiver.recv().unwrap_or(0)));
        assert!(stalled.unwrap_err().contains("nothing came of it for 0 s"));
        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
        drop(sender);
    }
}
