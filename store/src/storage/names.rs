//! The names of a store's files, all of them.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

use object_store::path::PathPart;

use crate::model::dtype::DType;

/// The catalog's name in a store.
pub(crate) const CATALOG_FILE: &str = "atlas.json";

/// The directory of the records of commits.
pub(crate) const RECORDS: &str = "_commits";

/// Bytes of the name of a directory, at the most.
const MAX_NAME: usize = 255;

/// The record of a commit. Creating it is the commit: of two writers only one can.
pub(crate) fn record(generation: u64) -> String {
    format!("{RECORDS}/{generation:020}.json")
}

/// The generation whose record a path in the store is.
pub(crate) fn generation_of(path: &str) -> Option<u64> {
    path.strip_prefix(RECORDS)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok()
}

/// A number for the names of one writer's files, which no other has.
pub(crate) fn token() -> u64 {
    // The hasher's keys are random, and differ from one to the next.
    RandomState::new().hash_one(std::process::id())
}

/// The name of a segment in its variable's directory.
pub(crate) fn file_name(generation: u64, token: u64, dtype: DType) -> String {
    format!("data.{generation}-{token:016x}.{dtype}.af")
}

/// The directory for a variable whose name, as a part of a path, is longer than a file system
/// takes: as much of the name as fits, and a hash of all of it. `None` for others, whose
/// directories have their names.
pub(crate) fn directory_of(variable: &str) -> Option<String> {
    let length = |name: &str| PathPart::from(name).as_ref().len();
    if length(variable) <= MAX_NAME {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    variable.hash(&mut hasher);
    let hash = format!("-{:016x}", hasher.finish());
    let mut start = String::new();
    for character in variable.chars() {
        start.push(character);
        if length(&start) + hash.len() > MAX_NAME {
            start.pop();
            break;
        }
    }
    Some(start + &hash)
}

/// True for a file that only a writer of this store can have left: a segment, or one that was to become a segment, a
/// record or the catalog. Others are somebody else's.
pub(crate) fn is_ours(path: &str) -> bool {
    let Some((directory, name)) = path.rsplit_once('/') else {
        return path.starts_with(&format!("{CATALOG_FILE}#"));
    };
    let name = name.split_once('#').map_or(name, |(name, _)| name);
    if directory == RECORDS {
        return path.contains('#') || name.ends_with(".new");
    }
    !directory.contains('/') && name.starts_with("data.") && name.ends_with(".af")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_too_long_for_a_directory_are_shortened() {
        for name in ["t".repeat(255), "é".repeat(42)] {
            assert_eq!(directory_of(&name), None);
        }
        let (a, b) = ("t".repeat(256), "t".repeat(257));
        assert_ne!(directory_of(&a), directory_of(&b));
        for name in [a, "é".repeat(43), "%".repeat(100), "t".repeat(100_000)] {
            let directory = directory_of(&name).unwrap();
            let length = PathPart::from(directory.as_str()).as_ref().len();
            assert!((249..=255).contains(&length), "{length}");
        }
    }
}
