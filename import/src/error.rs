//! What can go wrong with an import.

use std::path::PathBuf;

/// An error of an import.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read, or what it says makes no dataset.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A path or a glob that names no file.
    #[error("{}: there is no such file or directory, and no NetCDF file that it matches", path.display())]
    Nothing {
        /// The path as given.
        path: PathBuf,
    },
    /// Two files have one name.
    #[error(
        "{} and {} would both be dataset `{name}`: name datasets by --name-from path or attr:<key>",
        first.display(), second.display()
    )]
    NameTwice {
        /// The name.
        name: String,
        /// The first file with it.
        first: PathBuf,
        /// The second.
        second: PathBuf,
    },
    /// The store has a dataset of a file's name.
    #[error("{}: the store has a dataset `{name}` already", path.display())]
    NameExists {
        /// The name.
        name: String,
        /// The file.
        path: PathBuf,
    },
    /// Another writer has added a dataset of a file's name while the import ran.
    #[error("another writer has added a dataset `{name}` to the store meanwhile: nothing was imported")]
    NameTaken {
        /// The name.
        name: String,
    },
    /// Files cannot be joined to a dataset that the store has.
    #[error("nothing can be joined to dataset `{dataset}`: {reason}")]
    Join {
        /// The dataset.
        dataset: String,
        /// Why not.
        reason: String,
    },
    /// A NetCDF file cannot hold a dataset.
    #[error("dataset `{dataset}` cannot be exported: {reason}")]
    Export {
        /// The dataset.
        dataset: String,
        /// Why it cannot be.
        reason: String,
    },
    /// The search for files broke down.
    #[error("the search for files failed: {reason}")]
    Panicked {
        /// What was reported.
        reason: String,
    },
    /// What the store has of earlier imports is not understood.
    #[error("the store's import report has an entry of another version of Atlas: {entry} ({reason})")]
    ImportReport {
        /// The entry.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] atlas::Error),
}

impl Error {
    /// True where one file is to blame, so that the others can be imported without it.
    pub(crate) fn is_of_file(&self) -> bool {
        matches!(self, Self::File { .. })
    }
}
