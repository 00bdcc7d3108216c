//! Locations of stores as Python gives them, and how another process opens the same store.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use atlas::{Atlas, Location, Options};
use object_store::ObjectStore;
use object_store::path::Path;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};
use pyo3_object_store::AnyObjectStore;

use crate::errors::Kind;
use crate::runtime;

/// A location, and the options of its client.
pub(crate) struct Origin {
    source: Source,
    options: BTreeMap<String, String>,
}

enum Source {
    /// An absolute path, or a URL.
    Address(String),
    /// An obstore object, and our client for the same store.
    Objects(Py<PyAny>, Arc<dyn ObjectStore>),
}

/// Options of a client, which are text, numbers or booleans in Python.
pub(crate) type StorageOptions<'py> = BTreeMap<String, Bound<'py, PyAny>>;

impl Origin {
    /// # Errors
    /// `TypeError` if `source` is not a path, URL or object store.
    pub(crate) fn new(source: &Bound<'_, PyAny>, options: Option<StorageOptions<'_>>) -> PyResult<Self> {
        let options = options.unwrap_or_default().into_iter().map(|(key, value)| {
            let text = value.str()?.to_string();
            Ok((key, if value.is_instance_of::<PyBool>() { text.to_lowercase() } else { text }))
        });
        Ok(Self { source: Source::of(source)?, options: options.collect::<PyResult<_>>()? })
    }

    fn location(&self) -> Location {
        match &self.source {
            Source::Address(address) => address.as_str().into(),
            Source::Objects(_, objects) => (Arc::clone(objects), Path::default()).into(),
        }
    }

    fn configured(&self) -> Options {
        let options = self.options.iter();
        options.fold(Atlas::options(), |all, (key, value)| all.storage_option(key, value))
    }

    /// Opens the store.
    pub(crate) fn open(self, py: Python<'_>, generation: Option<u64>) -> PyResult<Handle> {
        let options = self.configured();
        let options = match generation {
            Some(generation) => options.generation(generation),
            None => options,
        };
        let location = self.location();
        let atlas = runtime::wait(py, async move { options.open(location).await })?;
        Ok(Handle { atlas, origin: Arc::new(self) })
    }

    /// Creates the store.
    pub(crate) fn create(self, py: Python<'_>, codec: atlas::Codec) -> PyResult<Handle> {
        let (options, location) = (self.configured().codec(codec), self.location());
        let atlas = runtime::wait(py, async move { options.create(location).await })?;
        Ok(Handle { atlas, origin: Arc::new(self) })
    }
}

impl Source {
    fn of(source: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = source.py();
        if source.hasattr(intern!(py, "__getnewargs_ex__"))? && !source.is_instance_of::<PyString>() {
            let objects: AnyObjectStore = source.extract().map_err(|error: PyErr| {
                Kind::WrongType.error(format!("an object store that cannot be opened again: {error}"))
            })?;
            return Ok(Self::Objects(source.clone().unbind(), objects.into_dyn()));
        }
        if source.get_type().name()? == "MemoryStore" {
            return Err(Kind::WrongType.error(
                "a MemoryStore cannot be opened again: its objects are in the memory of another library. \
                 Use a location such as memory:///name",
            ));
        }
        let address = if let Ok(address) = source.extract::<String>() {
            address
        } else {
            let path: PathBuf = source.extract().map_err(|_| {
                Kind::WrongType.error(format!(
                    "a store lies at a path, a URL or an object store of obstore, not at {}",
                    source.get_type()
                ))
            })?;
            path.into_os_string()
                .into_string()
                .map_err(|path| Kind::Invalid.error(format!("the path {} is no Unicode", path.display())))?
        };
        // Absolute, so that a process with another working directory finds the same store.
        let is_url = address.contains("://");
        let absolute = if is_url { None } else { std::path::absolute(&address).ok() };
        let absolute = absolute.and_then(|path| path.into_os_string().into_string().ok());
        Ok(Self::Address(absolute.unwrap_or(address)))
    }
}

/// An open store, and the location from which it was opened.
#[derive(Clone)]
pub(crate) struct Handle {
    atlas: Atlas,
    origin: Arc<Origin>,
}

/// What another process needs to open the same store: the source, options, and the generation.
pub(crate) type Reopening<'py> = (Bound<'py, PyAny>, BTreeMap<String, String>, u64);

impl Handle {
    /// The store.
    ///
    /// # Errors
    /// `StateError` in a process that was forked after the store was opened.
    pub(crate) fn atlas(&self) -> PyResult<&Atlas> {
        runtime::check_process()?;
        Ok(&self.atlas)
    }

    /// # Errors
    /// `StateError` if changes are pending, which another process could not see, and before the
    /// first commit.
    pub(crate) fn reopening<'py>(&self, py: Python<'py>) -> PyResult<Reopening<'py>> {
        let atlas = self.atlas()?;
        let generation = atlas.snapshot().root().generation();
        if atlas.has_pending().map_err(crate::errors::Raise::raise)? || generation == 0 {
            return Err(Kind::State.error(format!(
                "a handle of {} cannot be pickled while something is pending in it: flush it, or discard \
                 what is pending, first",
                atlas.storage()
            )));
        }
        let source = match &self.origin.source {
            Source::Address(address) => PyString::new(py, address).into_any(),
            Source::Objects(source, _) => source.bind(py).clone(),
        };
        Ok((source, self.origin.options.clone(), generation))
    }

    /// True if both are of one location, opened with the same options.
    fn is_at(&self, origin: &Origin, generation: u64) -> bool {
        let same = match (&self.origin.source, &origin.source) {
            (Source::Address(own), Source::Address(other)) => own == other,
            _ => false,
        };
        same && self.origin.options == origin.options
            && self.atlas.snapshot().root().generation() == generation
    }
}

/// Opens a store, or reuses a handle that this process has opened before: a dask task unpickles one
/// dataset after another.
pub(crate) fn reopen(py: Python<'_>, origin: Origin, generation: u64) -> PyResult<Handle> {
    /// Handles that are kept.
    const MOST: usize = 16;
    static OPEN: std::sync::Mutex<Vec<Handle>> = std::sync::Mutex::new(Vec::new());

    runtime::check_process()?;
    let open = || OPEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(handle) = open().iter().find(|handle| handle.is_at(&origin, generation)) {
        return Ok(handle.clone());
    }
    let handle = origin.open(py, Some(generation))?;
    let mut open = open();
    if open.len() >= MOST {
        open.remove(0);
    }
    open.push(handle.clone());
    Ok(handle)
}
