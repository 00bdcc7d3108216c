//! `import_files`: NetCDF files into a store.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use atlas_import::{Concat, ImportOptions, NoticeSummary};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::errors::Kind;
use crate::progress::Progress;
use crate::runtime::watch;
use crate::store::PyAtlas;

#[pyfunction]
#[pyo3(signature = (
    store, paths, *, name_from="stem", existing="error", checksum=false, dry_run=false, commit_every=None,
    concat=None, dataset_from=None,
    skip_errors=false, strict=false, stall_limit=600.0, jobs=None,
    chunks=None, calendar="keep", default_fill="mask", valid_range="keep"
))]
#[allow(clippy::too_many_arguments, reason = "each is an option of an import, by name")]
pub(crate) fn import_files<'py>(
    store: &Bound<'py, PyAtlas>,
    paths: Vec<PathBuf>,
    name_from: &str,
    existing: &str,
    checksum: bool,
    dry_run: bool,
    commit_every: Option<NonZeroUsize>,
    concat: Option<String>,
    dataset_from: Option<&str>,
    skip_errors: bool,
    strict: bool,
    stall_limit: f64,
    jobs: Option<usize>,
    chunks: Option<HashMap<String, usize>>,
    calendar: &str,
    default_fill: &str,
    valid_range: &str,
) -> PyResult<Bound<'py, PyDict>> {
    let py = store.py();
    let invalid = |reason: String| Kind::Invalid.error(reason);
    let defaults = ImportOptions::default();
    let options = ImportOptions {
        name_from: name_from.parse().map_err(invalid)?,
        existing: existing.parse().map_err(invalid)?,
        concat: match (concat, dataset_from) {
            (Some(dim), Some(from)) => Some(Concat { dim, dataset: from.parse().map_err(invalid)? }),
            (None, None) => None,
            _ => return Err(invalid("`concat` and `dataset_from` are given together".to_owned())),
        },
        checksum,
        dry_run,
        commit_every,
        skip_errors,
        strict,
        stall_limit: Duration::try_from_secs_f64(stall_limit).map_err(|e| invalid(e.to_string()))?,
        jobs: jobs.unwrap_or(defaults.jobs),
        chunk: chunks.unwrap_or_default(),
        calendar: calendar.parse().map_err(invalid)?,
        default_fill: default_fill.parse().map_err(invalid)?,
        valid_range: valid_range.parse().map_err(invalid)?,
    };
    let atlas = store.get().atlas()?.clone();
    let now = Arc::new(Mutex::new(atlas_import::Progress::default()));
    let told = Arc::clone(&now);
    let work = async move {
        let show = |progress| *told.lock().unwrap_or_else(PoisonError::into_inner) = progress;
        atlas_import::import(&atlas, &paths, &options, &show).await
    };
    let mut progress = Progress::new();
    let imported = watch(py, work, |py| {
        let now = *now.lock().unwrap_or_else(PoisonError::into_inner);
        progress.show(py, now.files, now.total, "files", now.bytes)
    });
    progress.end(py)?;
    let imported = imported?;
    let report = PyDict::new(py);
    report.set_item("imported", imported.imported)?;
    report.set_item("replaced", imported.replaced)?;
    report.set_item("unchanged", imported.unchanged)?;
    report.set_item("existing", imported.existing)?;
    let planned = imported.planned.into_iter();
    let planned = planned.map(|file| (file.path.display().to_string(), file.dataset, file.replaces));
    report.set_item("planned", planned.collect::<Vec<_>>())?;
    report.set_item("bytes", imported.bytes)?;
    let joined = imported.joined.into_iter();
    let joined = joined.map(|joined| (joined.dataset, joined.files, joined.extended, joined.remarks));
    report.set_item("joined", joined.collect::<Vec<_>>())?;
    let skipped =
        imported.skipped.iter().map(|(path, error)| (path.display().to_string(), error.to_string()));
    report.set_item("skipped", skipped.collect::<Vec<_>>())?;
    report.set_item("notices", notices(py, &imported.notices)?)?;
    report.set_item("unknown_dims", imported.unknown_dims)?;
    Ok(report)
}

/// What was not taken literally, as a dict for each class, variable and detail.
fn notices<'py>(py: Python<'py>, notices: &NoticeSummary) -> PyResult<Vec<Bound<'py, PyDict>>> {
    let notices = notices.iter().map(|(class, subject, detail, counted)| {
        let notice = PyDict::new(py);
        notice.set_item("class", class.to_string())?;
        notice.set_item("variable", subject)?;
        notice.set_item("detail", detail)?;
        notice.set_item("files", counted.files)?;
        notice.set_item("cells", counted.cells)?;
        notice.set_item("example", counted.example.display().to_string())?;
        Ok(notice)
    });
    notices.collect()
}
