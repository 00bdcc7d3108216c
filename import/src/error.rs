//! The errors of imports and exports.

use std::path::PathBuf;

/// An error of an import or an export.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read, or its contents do not make a dataset.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A path, a glob or a URL names no NetCDF file.
    #[error("{}: {reason}", path.display())]
    Nothing {
        /// The path as given.
        path: PathBuf,
        /// What is not there.
        reason: &'static str,
    },
    /// Two files have the same name.
    #[error(
        "{} and {} would both be dataset `{name}`: name datasets by --name-from path or attr:<key>",
        first.display(), second.display()
    )]
    NameTwice {
        /// The name.
        name: String,
        /// The first file with that name.
        first: PathBuf,
        /// The second file.
        second: PathBuf,
    },
    /// The store already has a dataset with the name of a file.
    #[error("{}: the store has a dataset `{name}` already", path.display())]
    NameExists {
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// Another writer added a dataset with the name of a file during the import.
    #[error("another writer has added a dataset `{name}` to the store meanwhile: nothing was imported")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Files cannot be joined to a dataset of the store.
    #[error("nothing can be joined to dataset `{dataset}`: {reason}")]
    Join {
        /// The dataset.
        dataset: String,
        /// The reason.
        reason: String,
    },
    /// A NetCDF file cannot hold a dataset.
    #[error("dataset `{dataset}` cannot be exported: {reason}")]
    Export {
        /// The dataset.
        dataset: String,
        /// The reason.
        reason: String,
    },
    /// The search for files stopped unexpectedly.
    #[error("the search for files failed: {reason}")]
    Panicked {
        /// How it stopped, such as by a panic.
        reason: String,
    },
    /// The store's report of earlier imports cannot be read.
    #[error("the store's import report has an entry of another version of Atlas: {entry} ({reason})")]
    ImportReport {
        /// The entry that cannot be read.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] atlas::Error),
}

impl Error {
    /// True if the error concerns a single file, so that the others can be imported without it.
    pub(crate) fn is_of_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }
}
