//! Atlas in Python: the module `pyatlas._pyatlas`. `python/pyatlas/_pyatlas.pyi` documents its
//! classes, where Python tools look for it.

mod dataset;
mod errors;
mod ffi;
mod html;
mod imports;
mod location;
mod progress;
mod result;
mod runtime;
mod session;
mod store;
mod values;

use std::ffi::OsString;

use pyo3::prelude::*;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// What Python loads.
#[pymodule(gil_used = false)]
mod _pyatlas {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::dataset::PyDatasetView;
    #[pymodule_export]
    use super::ffi::{PyFunction, PyTable, functions};
    #[pymodule_export]
    use super::imports::import_files;
    #[pymodule_export]
    use super::result::{PyPicture, PyResultSet};
    #[pymodule_export]
    use super::session::PySession;
    #[pymodule_export]
    use super::store::PyAtlas;
    #[pymodule_export]
    use super::{connect, init_tracing, main, open, open_dataset};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::errors::add_to(module)
    }
}

/// A session with stores, each under a name.
#[pyfunction]
#[pyo3(signature = (**stores))]
fn connect(py: Python<'_>, stores: Option<&Bound<'_, pyo3::types::PyDict>>) -> PyResult<session::PySession> {
    let mut named = Vec::new();
    for (name, store) in stores.into_iter().flatten() {
        let atlas = match store.cast::<store::PyAtlas>() {
            Ok(store) => store.get().atlas()?.clone(),
            Err(_) => location::Origin::new(&store, None)?.open(py, None)?.atlas()?.clone(),
        };
        named.push((name.extract()?, atlas));
    }
    session::PySession::of(py, named)
}

/// Opens a store that was pickled.
#[pyfunction(name = "_open")]
fn open(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    options: location::StorageOptions<'_>,
    generation: u64,
) -> PyResult<store::PyAtlas> {
    Ok(store::PyAtlas::new(location::Origin::new(source, Some(options))?.open(py, Some(generation))?))
}

/// Opens a dataset that was pickled.
#[pyfunction(name = "_open_dataset")]
fn open_dataset(
    py: Python<'_>,
    source: &Bound<'_, PyAny>,
    options: location::StorageOptions<'_>,
    generation: u64,
    name: &str,
) -> PyResult<dataset::PyDatasetView> {
    let handle = location::reopen(py, location::Origin::new(source, Some(options))?, generation)?;
    let found = dataset::PyDatasetView::existing(py, &handle, name)?;
    found.ok_or_else(|| errors::Kind::NotFound.error(format!("there is no dataset `{name}` in this store")))
}

/// Writes the spans of `tracing` that a filter selects to stderr.
#[pyfunction]
#[pyo3(signature = (filter=None))]
fn init_tracing(filter: Option<&str>) -> PyResult<()> {
    let filter = filter.map(str::to_owned).or_else(|| std::env::var("RUST_LOG").ok());
    let filter = filter.unwrap_or_else(|| "info".to_owned());
    let targets: Targets =
        filter.parse().map_err(|error| errors::Kind::Invalid.error(format!("invalid filter: {error}")))?;
    // Spans describe the work of Atlas. Each is written when it ends, with its duration.
    let layer =
        tracing_subscriber::fmt::layer().with_span_events(FmtSpan::CLOSE).with_writer(std::io::stderr);
    // A second call keeps the first filter, as is usual.
    let _ = tracing_subscriber::registry().with(layer).with(targets).try_init();
    Ok(())
}

/// The `atlas` command with its arguments. Returns its exit code.
#[pyfunction(name = "_main")]
fn main(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| atlas_sql::main(arguments))
}
