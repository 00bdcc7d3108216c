//! Exceptions: each is an `AtlasError`, and also the built-in exception that Python programs
//! expect.

use atlas::Error;
use datafusion::common::DataFusionError;
use datafusion::error::DataFusionError as E;
use pyo3::exceptions::{
    PyException, PyFileExistsError, PyFileNotFoundError, PyKeyError, PyMemoryError, PyOSError,
    PyPermissionError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

/// Converts errors of Rust to exceptions of Python.
pub(crate) trait Raise {
    /// The exception.
    fn raise(self) -> PyErr;
}

/// The exceptions of the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    NotFound,
    Location,
    Exists,
    Invalid,
    WrongType,
    Conflict,
    Storage,
    Access,
    Damaged,
    TooLarge,
    State,
    Query,
    Internal,
}

impl Kind {
    const ALL: [Self; 13] = [
        Self::NotFound,
        Self::Location,
        Self::Exists,
        Self::Invalid,
        Self::WrongType,
        Self::Conflict,
        Self::Storage,
        Self::Access,
        Self::Damaged,
        Self::TooLarge,
        Self::State,
        Self::Query,
        Self::Internal,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::NotFound => "NotFoundError",
            Self::Location => "LocationError",
            Self::Exists => "ExistsError",
            Self::Invalid => "InvalidError",
            Self::WrongType => "DTypeError",
            Self::Conflict => "Conflict",
            Self::Storage => "StorageError",
            Self::Access => "AccessError",
            Self::Damaged => "DamagedError",
            Self::TooLarge => "TooLargeError",
            Self::State => "StateError",
            Self::Query => "QueryError",
            Self::Internal => "InternalError",
        }
    }

    fn doc(self) -> &'static str {
        match self {
            Self::NotFound => "There is no dataset, array, dimension or attribute of that name.",
            Self::Location => "There is no store, generation or file at the location.",
            Self::Exists => "There is a store, a dataset or an array of that name already.",
            Self::Invalid => "A name, shape, region, value or option that cannot be.",
            Self::WrongType => "Values of one type were given or asked for where the array has another.",
            Self::Conflict => {
                "Another writer has committed changes of the same. What is pending stays: `refresh` or \
                 `discard` it, and repeat the changes."
            }
            Self::Storage => "The storage failed.",
            Self::Access => "The storage does not let this process look, or has been given no credentials.",
            Self::Damaged => "A file of the store is damaged, or of a version that this build does not read.",
            Self::TooLarge => "More was asked for than memory, or a limit of the store, allows.",
            Self::State => {
                "The handle cannot do that now: something is pending, a write has failed half-way, or \
                 the process was forked."
            }
            Self::Query => "A statement that cannot be planned, or fails as it runs.",
            Self::Internal => "A fault in Atlas: please report it.",
        }
    }

    fn builtin(self, py: Python<'_>) -> Bound<'_, PyType> {
        match self {
            Self::NotFound => py.get_type::<PyKeyError>(),
            Self::Location => py.get_type::<PyFileNotFoundError>(),
            Self::Exists => py.get_type::<PyFileExistsError>(),
            Self::Invalid | Self::Query => py.get_type::<PyValueError>(),
            Self::WrongType => py.get_type::<PyTypeError>(),
            Self::Storage | Self::Damaged => py.get_type::<PyOSError>(),
            Self::Access => py.get_type::<PyPermissionError>(),
            Self::TooLarge => py.get_type::<PyMemoryError>(),
            Self::Conflict | Self::State | Self::Internal => py.get_type::<PyRuntimeError>(),
        }
    }

    /// The exception of this kind with a message.
    pub(crate) fn error(self, message: impl ToString) -> PyErr {
        let message = message.to_string();
        Python::attach(|py| match types(py) {
            Ok(types) => match types.of.iter().find(|(kind, _)| *kind == self) {
                Some((_, class)) => PyErr::from_type(class.bind(py).clone(), message),
                None => PyRuntimeError::new_err(message),
            },
            Err(error) => error,
        })
    }
}

struct Types {
    base: Py<PyType>,
    of: Vec<(Kind, Py<PyType>)>,
}

/// The classes, which are created once.
fn types(py: Python<'_>) -> PyResult<&Types> {
    static TYPES: PyOnceLock<Types> = PyOnceLock::new();
    TYPES.get_or_try_init(py, || {
        let base = class(py, "AtlasError", "Any error of Atlas.", &[py.get_type::<PyException>()])?;
        let of = Kind::ALL.map(|kind| {
            let bases = [base.clone(), kind.builtin(py)];
            Ok((kind, class(py, kind.name(), kind.doc(), &bases)?.unbind()))
        });
        Ok(Types { base: base.unbind(), of: of.into_iter().collect::<PyResult<_>>()? })
    })
}

fn class<'py>(
    py: Python<'py>,
    name: &str,
    doc: &str,
    bases: &[Bound<'py, PyType>],
) -> PyResult<Bound<'py, PyType>> {
    let members = PyDict::new(py);
    members.set_item("__module__", "pyatlas")?;
    members.set_item("__doc__", doc)?;
    // A KeyError would show its message in quotes.
    members.set_item("__str__", py.get_type::<PyException>().getattr("__str__")?)?;
    let made = py.get_type::<PyType>().call1((name, PyTuple::new(py, bases)?, members))?;
    Ok(made.cast_into()?)
}

/// Adds the classes to the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let types = types(module.py())?;
    module.add("AtlasError", types.base.clone_ref(module.py()))?;
    types.of.iter().try_for_each(|(kind, class)| module.add(kind.name(), class.clone_ref(module.py())))
}

impl Raise for PyErr {
    fn raise(self) -> PyErr {
        self
    }
}

fn kind(error: &Error) -> Kind {
    use object_store::Error as O;
    match error {
        Error::NoDataset { .. }
        | Error::NoArray { .. }
        | Error::NoVariable { .. }
        | Error::NoDimension { .. }
        | Error::NoAttribute { .. } => Kind::NotFound,
        Error::NoStore { .. } | Error::NoBucket { .. } | Error::NoGeneration { .. } => Kind::Location,
        Error::StoreExists { .. } | Error::DatasetExists { .. } | Error::ArrayExists { .. } => Kind::Exists,
        Error::Location { .. }
        | Error::Name { .. }
        | Error::Shape { .. }
        | Error::Shrink { .. }
        | Error::Limit { .. }
        | Error::Attribute { .. }
        | Error::Option { .. } => Kind::Invalid,
        Error::WrongType { .. } => Kind::WrongType,
        Error::Conflict { .. } => Kind::Conflict,
        Error::NoCredentials { .. }
        | Error::Storage { source: O::PermissionDenied { .. } | O::Unauthenticated { .. }, .. } => {
            Kind::Access
        }
        Error::Storage { .. } | Error::NotShown { .. } | Error::Busy { .. } => Kind::Storage,
        Error::Corrupt { .. } | Error::Version { .. } | Error::Feature { .. } => Kind::Damaged,
        Error::TooLarge { .. } => Kind::TooLarge,
        Error::Flushing | Error::Pending { .. } | Error::Poisoned => Kind::State,
        _ => Kind::Internal,
    }
}

impl Raise for Error {
    fn raise(self) -> PyErr {
        kind(&self).error(self)
    }
}

impl Raise for atlas_import::Error {
    fn raise(self) -> PyErr {
        use atlas_import::Error as I;
        match self {
            I::Store(error) => error.raise(),
            I::Nothing { .. } => Kind::Location.error(self),
            I::NameExists { .. } | I::NameTwice { .. } | I::NameTaken { .. } => Kind::Exists.error(self),
            error => Kind::Invalid.error(error),
        }
    }
}

/// The error of the store that caused an error of a query.
fn store_error(error: &DataFusionError) -> Option<&Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<Error>() {
            return Some(error);
        }
        // An error that wraps another may return the source of the wrapped error as its own.
        cause = match error.downcast_ref::<DataFusionError>() {
            Some(E::External(inner)) => Some(inner.as_ref()),
            Some(E::ArrowError(inner, _)) => match inner.as_ref() {
                arrow::error::ArrowError::ExternalError(inner) => Some(inner.as_ref()),
                inner => Some(inner),
            },
            _ => error.source(),
        };
    }
    None
}

impl Raise for DataFusionError {
    fn raise(self) -> PyErr {
        let kind = match (store_error(&self), self.find_root()) {
            (Some(error), _) => kind(error),
            (None, E::ResourcesExhausted(_)) => Kind::TooLarge,
            (None, E::Internal(_)) => Kind::Internal,
            _ => Kind::Query,
        };
        kind.error(atlas_sql::Failure::from(self))
    }
}

impl Raise for atlas_sql::Failure {
    fn raise(self) -> PyErr {
        Kind::Query.error(self)
    }
}

impl Raise for arrow::error::ArrowError {
    fn raise(self) -> PyErr {
        Kind::Query.error(self)
    }
}
