//! Waiting for the storage in functions that are not async.

use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};

/// Waits for `future`, with or without a runtime on this thread.
pub(crate) fn wait<T: Send>(future: impl Future<Output = Result<T>> + Send) -> Result<T> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    // A runtime that stays alive: clients keep connections, which must not end with the runtime of
    // one call.
    let runtime =
        RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(1).enable_all().build().ok());
    let failed = |reason: &str| Error::Storage {
        file: "the datasets of the store".to_owned(),
        source: object_store::Error::Generic { store: "atlas", source: reason.into() },
    };
    let Some(runtime) = runtime else { return Err(failed("no thread could be started")) };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| runtime.block_on(future)).join();
        waiting.unwrap_or_else(|_| Err(failed("reading them has panicked")))
    })
}
