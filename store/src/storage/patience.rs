//! How long clients of object stores wait.

use std::time::Duration;

/// The timeouts of servers.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(not(any(feature = "aws", feature = "azure", feature = "gcp", feature = "http")), allow(dead_code))]
pub(super) struct Patience {
    /// The time until the answer to a request without a body begins. The whole answer may take
    /// longer.
    pub answer: Duration,
    /// The time after the first attempt of a request in which further attempts may begin.
    pub retries: Duration,
}

/// With these, a silent server is reported after at most 20 seconds, and a server that refuses
/// connections after 15.
pub(super) const PATIENCE: Patience =
    Patience { answer: Duration::from_secs(10), retries: Duration::from_secs(15) };
