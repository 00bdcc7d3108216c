//! Errors of the store. Each message names the object, what was expected and what was found.

use std::io::{self, ErrorKind};

use crate::model::dtype::DType;

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object storage failed, or refused a request.
    #[error("{file}: {source}")]
    Storage {
        /// The object, as a path inside the storage.
        file: String,
        /// The error of the storage.
        source: object_store::Error,
    },
    /// An address that cannot be interpreted as the location of a store.
    #[error("cannot use `{location}` as a store: {reason}")]
    Location {
        /// The address as given, without credentials.
        location: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// No store exists at the location that was to be opened.
    #[error("no Atlas store at {location}: it has no atlas.json")]
    NoStore {
        /// Where it was looked for.
        location: String,
    },
    /// The bucket or container of the location does not exist.
    #[error(
        "there is no bucket `{bucket}` for {location}: create it, or check its name, region and endpoint"
    )]
    NoBucket {
        /// The store.
        location: String,
        /// The bucket or container.
        bucket: String,
    },
    /// The location may need credentials, and none were given.
    #[error(
        "no credentials for {location}: give them as storage options or in the environment, or switch signing off for public data \
         (AWS_SKIP_SIGNATURE=true, GOOGLE_SKIP_SIGNATURE=true, AZURE_SKIP_SIGNATURE=true); this machine has none: {source}"
    )]
    NoCredentials {
        /// The store.
        location: String,
        /// What the client has tried.
        source: object_store::Error,
    },
    /// A store exists at the location where one was to be created.
    #[error("there is an Atlas store at {location} already: open it, or choose another place")]
    StoreExists {
        /// The location of the store.
        location: String,
    },
    /// The content of a file violates its format: the file was truncated or altered, or is
    /// something else.
    #[error("{file} is damaged: {reason}")]
    Corrupt {
        /// The file, as a path inside the store.
        file: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A file written by a version of the format that this build does not know.
    #[error("{file} has format version {found}, this build reads version {supported}: {}", remedy(*.found, *.supported))]
    Version {
        /// The file, as a path inside the store.
        file: String,
        /// The version found.
        found: u32,
        /// The version this build reads.
        supported: u32,
    },
    /// A file that only a build with another feature can read.
    #[error(
        "{file} is compressed with {feature}: build this program with the feature `{feature}` of atlas-store"
    )]
    Feature {
        /// The file, as a path inside the store.
        file: String,
        /// The feature of atlas-store, which has the name of the codec.
        feature: String,
    },
    /// A name that a dataset, an array, a dimension or an attribute cannot have.
    #[error("`{name}` cannot name {kind}: {reason}")]
    Name {
        /// What was to get the name, with an article: "a dataset".
        kind: &'static str,
        /// The name as given.
        name: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A dataset of that name exists.
    #[error("dataset `{dataset}` exists already")]
    DatasetExists {
        /// Its name.
        dataset: String,
    },
    /// No dataset has that name.
    #[error("there is no dataset `{dataset}` in this store")]
    NoDataset {
        /// The name as given.
        dataset: String,
    },
    /// The dataset has an array of that name.
    #[error("dataset `{dataset}` has an array `{array}` already")]
    ArrayExists {
        /// The dataset.
        dataset: String,
        /// The array.
        array: String,
    },
    /// The dataset has no array of that name.
    #[error("dataset `{dataset}` has no array `{array}`")]
    NoArray {
        /// The dataset.
        dataset: String,
        /// The name as given.
        array: String,
    },
    /// Values of one type were given or requested, but the array has another type.
    #[error("array `{array}` of dataset `{dataset}` holds {expected}, not {found}")]
    WrongType {
        /// The dataset.
        dataset: String,
        /// The array.
        array: String,
        /// The array's type.
        expected: DType,
        /// The type given.
        found: String,
    },
    /// A definition or a region that does not fit its array.
    #[error("array `{array}` of dataset `{dataset}`: {reason}")]
    Shape {
        /// The dataset.
        dataset: String,
        /// The array.
        array: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// No dataset has an array of that name.
    #[error("no dataset of this store has an array `{variable}`")]
    NoVariable {
        /// The name as given.
        variable: String,
    },
    /// No array of the dataset has that dimension.
    #[error("dataset `{dataset}` has no dimension `{dimension}`")]
    NoDimension {
        /// The dataset.
        dataset: String,
        /// The name as given.
        dimension: String,
    },
    /// A dimension was to be shortened.
    #[error("dimension `{dimension}` of dataset `{dataset}` has size {size}: it cannot become {wanted}")]
    Shrink {
        /// The dataset.
        dataset: String,
        /// The dimension.
        dimension: String,
        /// Its size.
        size: usize,
        /// The size that was asked for.
        wanted: usize,
    },
    /// There is no attribute of that name.
    #[error("{of} has no attribute `{attribute}`")]
    NoAttribute {
        /// The dataset or the array, with its name.
        of: String,
        /// The name as given.
        attribute: String,
    },
    /// A generation that the store does not have, or no longer has.
    #[error("{location} has no generation {generation}: {reason}")]
    NoGeneration {
        /// The store.
        location: String,
        /// The generation as given.
        generation: u64,
        /// Why the generation is not available.
        reason: &'static str,
    },
    /// Pending changes cannot be committed any more, because another writer has changed the same
    /// thing. They stay pending.
    #[error(
        "conflict at {location}: {}{reason} (committed by another writer by generation {generation}); what is pending stays: refresh, or discard it, and repeat the changes",
        place(.dataset.as_deref(), .array.as_deref())
    )]
    Conflict {
        /// The store.
        location: String,
        /// The newest generation that others have committed.
        generation: u64,
        /// The dataset that both have changed, if the conflict is about one.
        dataset: Option<String>,
        /// Its array that both have changed, if the conflict is about one.
        array: Option<String>,
        /// What collided.
        reason: String,
    },
    /// The commit is made, but `atlas.json` does not show it yet.
    #[error(
        "generation {generation} is committed, but atlas.json could not be replaced: {source}; readers find it all the same, and the next commit or `atlas repair` replaces it"
    )]
    NotShown {
        /// The generation.
        generation: u64,
        /// Why `atlas.json` could not be replaced.
        source: Box<Error>,
    },
    /// `atlas.json` is restored, but the datasets of its generation cannot be read.
    #[error("atlas.json shows generation {generation}, which cannot be read: {source}; {}", readable(*.earlier))]
    Unreadable {
        /// The newest generation.
        generation: u64,
        /// The newest generation before it that can be read.
        earlier: Option<u64>,
        /// Why the newest generation cannot be read.
        source: Box<Error>,
    },
    /// Changes that together exceed the limits of a store.
    #[error("the changes cannot be committed to {location}: {reason}")]
    Limit {
        /// The store.
        location: String,
        /// The limit, and what exceeds it.
        reason: String,
    },
    /// A value that an attribute cannot have.
    #[error("attribute `{attribute}`: {reason}")]
    Attribute {
        /// The attribute.
        attribute: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// Another task is committing the pending changes of this handle.
    #[error("this handle is being flushed: await that before changing more")]
    Flushing,
    /// The request exceeds the available memory, or a limit of the store. A smaller request may
    /// work.
    #[error("{of}: {reason}")]
    TooLarge {
        /// The object of the request with its name, for example an array.
        of: String,
        /// What exceeds which limit, and what to do instead.
        reason: String,
    },
    /// Other writers committed again and again before this one could, without conflicting with it.
    /// Its changes are still pending: committing them later may work.
    #[error(
        "others commit to {location} faster than this writer can, which has tried {attempts} times: try later"
    )]
    Busy {
        /// The store.
        location: String,
        /// How often it has tried.
        attempts: usize,
    },
    /// A fault of this program, rather than of the store, the storage or the request.
    #[error("{of}: a fault in Atlas, please report it: {reason}")]
    Internal {
        /// The object that was being processed: a file, an array.
        of: String,
        /// What should not have happened.
        reason: String,
    },
    /// An option that does not apply to the request.
    #[error("the option `{option}` {reason}")]
    Option {
        /// The option.
        option: &'static str,
        /// What it applies to instead.
        reason: &'static str,
    },
    /// A handle has pending changes although the operation requires that it has none.
    #[error("something is pending in a handle of {location}: flush it, or discard it, first")]
    Pending {
        /// The store.
        location: String,
    },
    /// An earlier write of this handle failed halfway, so its pending changes are incomplete.
    #[error(
        "an earlier write failed, so the pending changes cannot be committed: discard them, or open the store again"
    )]
    Poisoned,
}

/// What to do about a version of the format. Stores of version 1 were never released.
fn remedy(found: u32, supported: u32) -> &'static str {
    if found > supported { "use a newer Atlas" } else { "import the files again into a new store" }
}

/// "array `t` of dataset `d`: ", as far as the two are known.
fn place(dataset: Option<&str>, array: Option<&str>) -> String {
    match (dataset, array) {
        (Some(dataset), Some(array)) => format!("array `{array}` of dataset `{dataset}`: "),
        (Some(dataset), None) => format!("dataset `{dataset}`: "),
        _ => String::new(),
    }
}

impl Error {
    /// True if the storage denies this reader access.
    pub(crate) fn is_denied(&self) -> bool {
        use object_store::Error as E;
        matches!(self, Self::Storage { source: E::PermissionDenied { .. } | E::Unauthenticated { .. }, .. })
    }

    /// True if the storage has no room left: the disk is full, or a quota is exhausted.
    pub fn is_storage_full(&self) -> bool {
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref::<io::Error>() {
                // An `io::Error` hides the error that it was made from; its source is the source of
                // that error.
                let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<io::Error>());
                let kinds = [Some(error.kind()), inner.map(io::Error::kind)];
                let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded];
                if kinds.iter().flatten().any(|kind| full.contains(kind)) {
                    return true;
                }
            }
            cause = error.source();
        }
        false
    }

    pub(crate) fn internal(of: impl ToString, reason: impl Into<String>) -> Self {
        Self::Internal { of: of.to_string(), reason: reason.into() }
    }

    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Storage { source: object_store::Error::NotFound { .. }, .. })
    }

    /// True if a file is lost or damaged. Other errors may not come again.
    pub(crate) fn is_of_file(&self) -> bool {
        self.is_not_found() || matches!(self, Self::Corrupt { .. })
    }

    pub(crate) fn corrupt(file: impl ToString, reason: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_string(), reason: reason.into() }
    }

    /// The error for a file that has another length than the catalog says.
    pub(crate) fn wrong_size(file: &str, expected: u64, found: u64) -> Self {
        Self::corrupt(file, format!("it is {found} bytes long where the catalog says {expected}"))
    }
}

/// Says which generation can be read instead.
fn readable(earlier: Option<u64>) -> String {
    match earlier {
        Some(earlier) => format!("generation {earlier} can be read: open it with `Atlas::open_at`"),
        None => "no earlier generation can be read either".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_known_by_its_cause() {
        let storage = |source: io::Error| Error::Storage {
            file: "t/data.0.f32.af".to_owned(),
            source: object_store::Error::Generic { store: "disk", source: source.into() },
        };
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            assert!(storage(kind.into()).is_storage_full());
            assert!(storage(io::Error::other(io::Error::from(kind))).is_storage_full());
        }
        assert!(!storage(ErrorKind::PermissionDenied.into()).is_storage_full());
        assert!(!Error::Poisoned.is_storage_full());
        #[cfg(target_os = "linux")]
        {
            use std::io::Write;
            let mut full = std::fs::File::create("/dev/full").unwrap();
            let error = storage(full.write_all(b"x").unwrap_err());
            assert!(error.is_storage_full() && error.to_string().contains("No space left"), "{error}");
        }
    }

    #[test]
    fn errors_tell_their_cause() {
        let location = || "memory:///a".to_owned();
        assert_eq!(
            Error::Busy { location: location(), attempts: 3 }.to_string(),
            "others commit to memory:///a faster than this writer can, which has tried 3 times: try later"
        );
        assert_eq!(
            Error::internal("t", "no such block").to_string(),
            "t: a fault in Atlas, please report it: no such block"
        );
    }
}
