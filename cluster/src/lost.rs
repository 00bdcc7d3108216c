//! Remembers workers that were lost recently.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

/// The time for which queries do not ask a lost worker again, if others answer.
const PAUSE: Duration = Duration::from_secs(30);

/// The workers that were lost recently. Without it, each query would wait for a stopped worker until
/// the timeout.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost(Arc<Mutex<HashMap<Url, Instant>>>);

impl Lost {
    /// Remembers that a worker was lost now.
    pub fn add(&self, worker: &Url) {
        let mut lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lost.retain(|_, since| since.elapsed() < PAUSE);
        lost.insert(worker.clone(), Instant::now());
    }

    /// Divides workers into those to ask, and those that were lost recently.
    pub fn divide(&self, workers: &[Url]) -> (Vec<Url>, Vec<Url>) {
        let lost = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_lost = |worker: &Url| lost.get(worker).is_some_and(|since| since.elapsed() < PAUSE);
        workers.iter().cloned().partition(|worker| !is_lost(worker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_workers_are_asked_last() {
        let [a, b] = ["http://a:1", "http://b:1"].map(|url| Url::parse(url).unwrap());
        let lost = Lost::default();
        let workers = [a.clone(), b.clone()];
        assert_eq!(lost.divide(&workers), (workers.to_vec(), vec![]));
        lost.add(&a);
        assert_eq!(lost.divide(&workers), (vec![b], vec![a]));
    }
}
