//! Errors as one-line messages for users.

use std::fmt;
use std::io::{self, Write};

use datafusion::common::DataFusionError;

use crate::interrupts::Stop;
use crate::printable::Printable;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// An error as it is reported to the user.
#[derive(Debug)]
pub struct Failure {
    message: String,
    cause: Cause,
}

/// What a failure means for the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The command could not do what it was asked.
    Other,
    /// The reader of its output has closed the pipe.
    BrokenPipe,
    /// It was asked to stop.
    Stopped(Stop),
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), cause: Cause::Other }
    }

    /// The failure of a command that was asked to stop.
    pub(crate) fn stopped(stop: Stop) -> Self {
        let message = match stop {
            Stop::Interrupt => "interrupted",
            Stop::Terminate => "terminated",
        };
        Self { message: message.to_owned(), cause: Cause::Stopped(stop) }
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.cause == Cause::BrokenPipe
    }

    /// The request to stop, if that is the cause.
    pub(crate) fn stop(&self) -> Option<Stop> {
        match self.cause {
            Cause::Stopped(stop) => Some(stop),
            _ => None,
        }
    }
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Reports an error on stderr.
pub(crate) fn report(failure: &Failure) {
    // If this fails, there is nobody left to report to.
    let _ = writeln!(Printable::new(io::stderr()), "error: {failure}");
}

impl From<io::ErrorKind> for Failure {
    fn from(kind: io::ErrorKind) -> Self {
        io::Error::from(kind).into()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let cause = match error.kind() {
            io::ErrorKind::BrokenPipe => Cause::BrokenPipe,
            _ => Cause::Other,
        };
        Self { message: error.to_string(), cause }
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::new(message(&error))
    }
}

impl From<atlas::Error> for Failure {
    fn from(error: atlas::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<atlas_import::Error> for Failure {
    fn from(error: atlas_import::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl From<arrow::error::ArrowError> for Failure {
    fn from(error: arrow::error::ArrowError) -> Self {
        match error {
            arrow::error::ArrowError::IoError(_, source) => source.into(),
            error => Self::new(error.to_string()),
        }
    }
}

impl From<datafusion::parquet::errors::ParquetError> for Failure {
    fn from(error: datafusion::parquet::errors::ParquetError) -> Self {
        Self::new(error.to_string())
    }
}

/// The message of a query error, without details that only concern developers of the engine.
pub(crate) fn message(error: &DataFusionError) -> String {
    match error {
        DataFusionError::External(source) => source.to_string(),
        // What needs the memory is of use; other contexts repeat what the error says.
        DataFusionError::Context(what, inner)
            if matches!(inner.find_root(), DataFusionError::ResourcesExhausted(_)) =>
        {
            format!("{}\n{what}", message(inner))
        }
        DataFusionError::Context(_, inner) => message(inner),
        DataFusionError::Shared(inner) => message(inner),
        DataFusionError::Diagnostic(_, inner) => message(inner),
        DataFusionError::SQL(source, _) => source.to_string(),
        DataFusionError::Collection(errors) if !errors.is_empty() => {
            let mut messages: Vec<String> = errors.iter().map(message).collect();
            messages.dedup();
            messages.join("\n")
        }
        DataFusionError::ResourcesExhausted(text) => {
            format!("the query needs more memory than it may use (--memory-limit): {text}")
        }
        DataFusionError::Plan(text)
        | DataFusionError::NotImplemented(text)
        | DataFusionError::Configuration(text)
        | DataFusionError::Execution(text) => {
            text.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or(text).to_owned()
        }
        error => error.strip_backtrace(),
    }
}
