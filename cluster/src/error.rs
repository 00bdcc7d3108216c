//! Errors of workers.

use std::fmt;
use std::time::Duration;

use datafusion::common::DataFusionError;
use url::Url;

/// An error of a worker. It names the worker.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerError {
    /// The worker does not answer, or no longer answers.
    Lost {
        /// The worker.
        url: Url,
        /// The cause.
        reason: String,
    },
    /// The worker did not answer in time.
    Slow {
        /// The worker.
        url: Url,
        /// The time limit.
        timeout: Duration,
    },
    /// The worker has a different token.
    Token {
        /// The worker.
        url: Url,
    },
    /// The worker has a different version.
    Version {
        /// The worker.
        url: Url,
        /// Its version.
        found: String,
        /// The version of this program.
        own: String,
    },
    /// The worker could not do its part: it has too little memory, or cannot read the store.
    Failed {
        /// The worker.
        url: Url,
        /// The cause.
        reason: String,
    },
    /// No worker is left for the query.
    NoneLeft {
        /// The error of each.
        lost: Vec<WorkerError>,
    },
}

impl WorkerError {
    /// True if the worker is gone or does not answer, so that the query can run on others.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Slow { .. })
    }

    /// The worker, if the error concerns a single one.
    pub fn url(&self) -> Option<&Url> {
        match self {
            Self::Lost { url, .. }
            | Self::Slow { url, .. }
            | Self::Token { url }
            | Self::Version { url, .. }
            | Self::Failed { url, .. } => Some(url),
            Self::NoneLeft { .. } => None,
        }
    }

    /// The error of a worker itself; `None` if the query is at fault, and would fail anywhere.
    pub(crate) fn of_failure(url: &Url, error: &DataFusionError) -> Option<Self> {
        let reason = match error.find_root() {
            DataFusionError::ResourcesExhausted(text) => {
                format!("it needs more memory than it may use (--memory-limit): {text}")
            }
            DataFusionError::External(source) => source.to_string(),
            root @ (DataFusionError::ObjectStore(_) | DataFusionError::IoError(_)) => root.strip_backtrace(),
            _ => return None,
        };
        Some(Self::Failed { url: url.clone(), reason })
    }

    /// The error for the status of a failed request.
    pub(crate) fn of_status(url: &Url, status: &tonic::Status) -> Self {
        match status.code() {
            tonic::Code::Unauthenticated => Self::Token { url: url.clone() },
            _ => Self::Lost { url: url.clone(), reason: reason(status) },
        }
    }

    /// The error for the status of a failed first request, whose address may be wrong.
    pub(crate) fn of_first_status(url: &Url, status: &tonic::Status) -> Self {
        let mut error = Self::of_status(url, status);
        if let Self::Lost { reason, .. } = &mut error
            && is_foreign(status)
        {
            reason.push_str(" (is it an Atlas worker, and is `http` or `https` right?)");
        }
        error
    }
}

/// The causes of a status, from the outermost to the most specific one.
fn causes(status: &tonic::Status) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(std::error::Error::source(status), |cause| cause.source())
}

fn reason(status: &tonic::Status) -> String {
    let reason = causes(status).last().map_or_else(|| status.message().to_owned(), ToString::to_string);
    if reason.is_empty() { status.code().description().to_owned() } else { reason }
}

/// True if something other than a worker could have answered. It could do so in any way, among others
/// by closing the connection, which different calls notice depending on the time. So this excludes
/// the other errors: there was no connection, no answer, or a certificate that is not trusted.
fn is_foreign(status: &tonic::Status) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
    let is_closed = |cause: &(dyn std::error::Error + 'static)| {
        let error = cause.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| matches!(error.kind(), ConnectionReset | ConnectionAborted))
    };
    let others = ["tcp connect error", "dns error", "timed out", "deadline", "invalid peer certificate"];
    let is_other = |text: &str| others.iter().any(|other| text.contains(other));
    causes(status).any(is_closed)
        || !(is_other(status.message()) || causes(status).any(|cause| is_other(&cause.to_string())))
}

fn shown(url: &Url) -> &str {
    url.as_str().trim_end_matches('/')
}

impl fmt::Display for WorkerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { url, reason } => write!(f, "the worker {} does not answer: {reason}", shown(url)),
            Self::Slow { url, timeout } => {
                write!(f, "the worker {} did not answer in {} s", shown(url), timeout.as_secs_f64())
            }
            Self::Token { url } => {
                write!(
                    f,
                    "the worker {} has a different token: set ATLAS_WORKER_TOKEN to the same value for both processes",
                    shown(url)
                )
            }
            Self::Version { url, found, own } => {
                write!(
                    f,
                    "the worker {} has version {found}, but this is {own}: both must be the same",
                    shown(url)
                )
            }
            Self::Failed { url, reason } => write!(f, "the worker {} failed: {reason}", shown(url)),
            Self::NoneLeft { lost } => {
                let lost: Vec<_> = lost.iter().map(ToString::to_string).collect();
                write!(f, "no worker is left: {}", lost.join("; "))
            }
        }
    }
}

impl std::error::Error for WorkerError {}

impl From<WorkerError> for DataFusionError {
    fn from(error: WorkerError) -> Self {
        Self::External(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_worker() {
        let url = Url::parse("http://machine:8470").unwrap();
        let token = WorkerError::of_status(&url, &tonic::Status::unauthenticated("no"));
        let lost = WorkerError::of_status(&url, &tonic::Status::unavailable("gone"));
        assert!(lost.is_lost() && !token.is_lost());
        for error in [&token, &lost] {
            assert!(error.to_string().starts_with("the worker http://machine:8470 "), "{error}");
        }
        let none = WorkerError::NoneLeft { lost: vec![lost] };
        assert_eq!(
            none.to_string(),
            "no worker is left: the worker http://machine:8470 does not answer: gone"
        );
    }
}
