//! What can go wrong, said so that the reader knows which object, what was expected and what was found.

use crate::model::dtype::DType;

/// The result of every fallible operation of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object storage failed, or refused.
    #[error("{file}: {source}")]
    Storage {
        /// The object, as a path inside the storage.
        file: String,
        /// What the storage said.
        source: object_store::Error,
    },
    /// A place that cannot be understood as a store's address.
    #[error("cannot use `{location}` as a store: {reason}")]
    Location {
        /// The address as given, without credentials.
        location: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// There is no store where one was to be opened.
    #[error("no Atlas store at {location}: it has no atlas.json")]
    NoStore {
        /// Where it was looked for.
        location: String,
    },
    /// The bucket or container that a store was to be in is not there.
    #[error(
        "there is no bucket `{bucket}` for {location}: create it, or check its name, region and endpoint"
    )]
    NoBucket {
        /// The store.
        location: String,
        /// The bucket or container.
        bucket: String,
    },
    /// No credentials were given for a place that may need them.
    #[error(
        "no credentials for {location}: give them in the environment, or switch signing off for public data \
         (AWS_SKIP_SIGNATURE=true, GOOGLE_SKIP_SIGNATURE=true, AZURE_SKIP_SIGNATURE=true); this machine has none: {source}"
    )]
    NoCredentials {
        /// The store.
        location: String,
        /// What the client has tried.
        source: object_store::Error,
    },
    /// There is a store where one was to be created.
    #[error("there is an Atlas store at {location} already: open it, or choose another place")]
    StoreExists {
        /// Where it is.
        location: String,
    },
    /// A file does not hold what its format promises: it was truncated, altered, or is something else.
    #[error("{file} is damaged: {reason}")]
    Corrupt {
        /// The file, as a path inside the store.
        file: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A file written by a version of the format that this build does not know.
    #[error("{file} has format version {found}, this build reads version {supported}: use a newer Atlas")]
    Version {
        /// The file, as a path inside the store.
        file: String,
        /// The version found.
        found: u32,
        /// The version this build reads.
        supported: u32,
    },
    /// A name that a dataset, an array, a dimension or an attribute cannot have.
    #[error("`{name}` cannot name {kind}: {reason}")]
    Name {
        /// What it was to name, with its article: "a dataset".
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
    /// Values of one type were given or asked for where the array has another.
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
    /// Two arrays of a dataset disagree on a dimension they share.
    #[error(
        "dimension `{dimension}` of dataset `{dataset}` has size {expected}, but array `{array}` gives it {found}"
    )]
    DimensionSize {
        /// The dataset.
        dataset: String,
        /// The array being defined.
        array: String,
        /// The shared dimension.
        dimension: String,
        /// Its size in the dataset.
        expected: usize,
        /// Its size in the array being defined.
        found: usize,
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
    /// A dimension was to be made shorter.
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
    /// A generation that the store has not, or no longer.
    #[error("{location} has no generation {generation}: {reason}")]
    NoGeneration {
        /// The store.
        location: String,
        /// The generation as given.
        generation: u64,
        /// Why it cannot be had.
        reason: &'static str,
    },
    /// What was asked for is still only in memory.
    #[error("dataset `{dataset}` has not been flushed: call `flush` before reading it")]
    NotFlushed {
        /// The dataset.
        dataset: String,
    },
    /// Somebody else committed first. Nothing of this writer's was committed.
    #[error(
        "conflict: generation {generation} of {location} was committed by another writer; refresh, and repeat the changes"
    )]
    Conflict {
        /// The store.
        location: String,
        /// The generation that both writers wanted to commit.
        generation: u64,
    },
    /// Changes that together exceed what a store can hold.
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
    /// An earlier write of this handle failed half-way, so its pending changes are no longer whole.
    #[error("an earlier write failed, so the pending changes cannot be committed: open the store again")]
    Poisoned,
}

impl Error {
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Storage { source: object_store::Error::NotFound { .. }, .. })
    }

    pub(crate) fn corrupt(file: impl ToString, reason: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_string(), reason: reason.into() }
    }
}
