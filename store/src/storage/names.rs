//! The names of all files of a store.

use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};

use object_store::path::PathPart;

use crate::model::dtype::DType;

/// The catalog's name in a store.
pub(crate) const CATALOG_FILE: &str = "atlas.json";

/// The directory of the records of commits.
pub(crate) const RECORDS: &str = "_commits";

/// The greatest length of a directory's name in bytes.
const MAX_NAME: usize = 255;

/// The name of a commit's record. Creating the record is the commit: if two writers try, only one
/// succeeds.
pub(crate) fn record(generation: u64) -> String {
    format!("{RECORDS}/{generation:020}.json")
}

/// The generation whose record a path in the store is.
pub(crate) fn generation_of(path: &str) -> Option<u64> {
    path.strip_prefix(RECORDS)?.strip_prefix('/')?.strip_suffix(".json")?.parse().ok()
}

/// A random number.
pub(crate) fn random() -> u64 {
    // The hasher's keys are random, and differ between calls.
    RandomState::new().hash_one(std::process::id())
}

/// A random text that distinguishes a file, or a commit, from all others.
pub(crate) fn token() -> String {
    format!("{:016x}", random())
}

/// The directory of manifests.
pub(crate) const MANIFESTS: &str = "_datasets";

/// The name of a manifest in its directory.
pub(crate) fn manifest() -> String {
    format!("{}.am", token())
}

/// The path of a manifest.
pub(crate) fn manifest_path(file: &str) -> String {
    format!("{MANIFESTS}/{file}")
}

/// The name of a temporary file, whose bytes are to become those of another file. No reader opens
/// it.
pub(crate) fn new_file() -> String {
    format!("{RECORDS}/{}.new", token())
}

/// The name of a segment in its variable's directory. No other file of the store has its token, so
/// that two files whose paths differ only in case remain distinct.
pub(crate) fn segment(dtype: DType) -> String {
    format!("data.{}.{dtype}.af", token())
}

/// The directory for a new variable, if it cannot have the variable's name: because that is too
/// long, or because a file system may treat it as the directory of another variable. `taken` tells
/// whether another variable of the store has a directory with the given [`folded`] name.
pub(crate) fn free_directory(variable: &str, taken: impl Fn(&str) -> bool) -> Option<String> {
    let is_free = |directory: &str| {
        let folded = folded(directory);
        folded != CATALOG_FILE && !taken(&folded)
    };
    if length(variable) <= MAX_NAME && is_free(variable) {
        return None;
    }
    (0..).map(|attempt| with_hash(variable, attempt)).find(|directory| is_free(directory))
}

/// The form that all directories share which a file system may treat as one. Many file systems
/// ignore the case of letters. Some ignore how accents are composed, but paths in a store encode
/// everything that is not ASCII as `%` and its bytes, so that file systems only see ASCII.
pub(crate) fn folded(directory: &str) -> String {
    PathPart::from(directory).as_ref().to_ascii_lowercase()
}

/// The length of a name in bytes, as part of a path.
fn length(name: &str) -> usize {
    PathPart::from(name).as_ref().len()
}

/// As much of a variable's name as fits, and a hash of the whole name and `attempt`.
fn with_hash(variable: &str, attempt: u32) -> String {
    let mut hasher = DefaultHasher::new();
    variable.hash(&mut hasher);
    if attempt > 0 {
        attempt.hash(&mut hasher);
    }
    let hash = format!("-{:016x}", hasher.finish());
    let mut start = String::new();
    for character in variable.chars() {
        start.push(character);
        if length(&start) + hash.len() > MAX_NAME {
            start.pop();
            break;
        }
    }
    start + &hash
}

/// The last part of a path.
pub(crate) fn last(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// True for a file that only a writer of this store can have left: a segment, or a file that was to
/// become a segment, a record or the catalog. Other files belong to somebody else.
pub(crate) fn is_ours(path: &str) -> bool {
    let Some((directory, name)) = path.rsplit_once('/') else {
        return path.starts_with(&format!("{CATALOG_FILE}#"));
    };
    let name = name.split_once('#').map_or(name, |(name, _)| name);
    if directory == RECORDS {
        return path.contains('#') || name.ends_with(".new");
    }
    if directory == MANIFESTS {
        return name.ends_with(".am");
    }
    !directory.contains('/') && name.starts_with("data.") && name.ends_with(".af")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn one_of(variable: &str) -> Option<String> {
        free_directory(variable, |_| false)
    }

    #[test]
    fn names_too_long_for_a_directory_are_shortened() {
        for name in ["t".repeat(255), "é".repeat(42)] {
            assert_eq!(one_of(&name), None);
        }
        let (a, b) = ("t".repeat(256), "t".repeat(257));
        assert_ne!(one_of(&a), one_of(&b));
        for name in [a, "é".repeat(43), "%".repeat(100), "t".repeat(100_000)] {
            let directory = one_of(&name).unwrap();
            let length = PathPart::from(directory.as_str()).as_ref().len();
            assert!((249..=255).contains(&length), "{length}");
        }
    }

    #[test]
    fn directories_that_a_file_system_may_confuse_are_told_apart() {
        let mut directories = BTreeSet::new();
        let names = [
            "t",
            "T",
            "temp",
            "Temp",
            "TEMP",
            "é",
            "É",
            "e\u{301}",
            "E\u{301}",
            "Straße",
            "STRASSE",
            "K",
            "\u{212a}",
            "Atlas.json",
        ];
        let long = ["n".repeat(300), "N".repeat(300)];
        for name in names.into_iter().chain(long.iter().map(String::as_str)) {
            let directory = free_directory(name, |folded| directories.contains(folded));
            let directory = directory.unwrap_or_else(|| name.to_owned());
            assert!(length(&directory) <= MAX_NAME);
            assert!(directories.insert(folded(&directory)), "{name}");
            assert!(folded(&directory).is_ascii());
        }
        let none = |_: &str| false;
        assert_eq!(free_directory("T", none), None);
        assert_eq!(free_directory("é", none), None);
        // The next candidate may be taken too.
        let first = with_hash("T", 0);
        let second = free_directory("T", |taken| taken == "t" || taken == folded(&first)).unwrap();
        assert!(second.starts_with("T-") && second != first);
    }

    #[test]
    fn paths_on_disk_are_ascii() {
        let directory = tempfile::tempdir().unwrap();
        let objects = object_store::local::LocalFileSystem::new_with_prefix(directory.path()).unwrap();
        let path = objects.path_to_filesystem(&object_store::path::Path::default().join("é")).unwrap();
        assert!(path.ends_with("%C3%A9"), "{path:?}");
    }
}
