//! Remembers workers that were lost recently.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

use crate::error::WorkerError;

/// The time for which queries do not ask a lost worker again, if others answer.
const PAUSE: Duration = Duration::from_secs(30);

/// The workers that were lost recently, with their errors. Without it, each query would wait for a
/// stopped worker until the timeout.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost(Arc<Mutex<HashMap<Url, (Instant, WorkerError)>>>);

impl Lost {
    /// Remembers that a worker was lost now.
    pub fn add(&self, worker: &Url, error: WorkerError) {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.retain(|_, (since, _)| since.elapsed() < PAUSE);
        lost.insert(worker.clone(), (Instant::now(), error));
    }

    /// The error of a worker that was lost recently.
    pub fn error(&self, worker: &Url) -> Option<WorkerError> {
        let lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, error) = lost.get(worker)?;
        (since.elapsed() < PAUSE).then(|| error.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_errors_of_lost_workers_are_remembered() {
        let [a, b] = ["http://a:1", "http://b:1"].map(|url| Url::parse(url).unwrap());
        let (lost, error) = (Lost::default(), WorkerError::Token { url: a.clone() });
        assert_eq!(lost.error(&a), None);
        lost.add(&a, error.clone());
        assert_eq!((lost.error(&a), lost.error(&b)), (Some(error), None));
    }
}
