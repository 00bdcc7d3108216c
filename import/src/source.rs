//! The sources of datasets: what a store remembers about each imported file, so that a later import
//! can detect which files have changed.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io::{self, Read};
use std::path::Path;
use std::time::UNIX_EPOCH;

use atlas::{AttributeValue, Catalog, Dataset, Value};
use crc_fast::{CrcAlgorithm, Digest};
use serde::{Deserialize, Serialize};

/// The number of bytes of a file that are read at once for its checksum.
const BUFFER: usize = 256 * 1024;

/// A file from which a dataset was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Source {
    /// Its absolute path, or its URL. For a member of an archive, the archive's location and the
    /// member's path, separated by `#`. If a path is not UTF-8, the location is a `file:` URL.
    pub location: String,
    /// Its size in bytes.
    pub size: u64,
    /// The time of its last modification, in nanoseconds since 1970-01-01T00:00:00Z, if known.
    pub modified: Option<i64>,
    /// The CRC-64/NVME of its bytes, if computed.
    pub checksum: Option<u64>,
}

/// A source as the store keeps it: location, size, time, and checksum in hexadecimal digits.
type Stored = (String, u64, Option<i64>, Option<String>);

impl From<Source> for Stored {
    fn from(source: Source) -> Self {
        let checksum = source.checksum.map(|checksum| format!("{checksum:016x}"));
        (source.location, source.size, source.modified, checksum)
    }
}

impl From<Stored> for Source {
    fn from((location, size, modified, checksum): Stored) -> Self {
        let checksum = checksum.and_then(|digits| u64::from_str_radix(&digits, 16).ok());
        Self { location, size, modified, checksum }
    }
}

impl Source {
    /// The attribute in which a dataset keeps its sources, in the order of their cells. A source is
    /// a JSON list of location, size, time and checksum. Several sources are a list of such texts.
    pub const ATTRIBUTE: &str = "_atlas_source";

    /// The source of a file, without opening it.
    pub(crate) fn of_file(location: String, metadata: &Metadata) -> Self {
        let modified = metadata.modified().ok().and_then(|time| match time.duration_since(UNIX_EPOCH) {
            Ok(after) => i64::try_from(after.as_nanos()).ok(),
            Err(before) => i64::try_from(before.duration().as_nanos()).ok().map(|nanoseconds| -nanoseconds),
        });
        Self { location, size: metadata.len(), modified, checksum: None }
    }

    /// The sources of a dataset; empty if it was not imported.
    pub fn of_dataset(dataset: &Dataset<'_>) -> Vec<Self> {
        dataset.attribute(Self::ATTRIBUTE).map(|value| Self::from_attribute(&value)).unwrap_or_default()
    }

    /// Parses the attribute. Sources that cannot be parsed, such as those of a newer version, are
    /// skipped; their files then count as changed.
    pub(crate) fn from_attribute(value: &AttributeValue) -> Vec<Self> {
        let text = |value: &Value| match value {
            Value::String(text) => serde_json::from_str(text).ok(),
            _ => None,
        };
        match value {
            AttributeValue::One(value) => text(value).into_iter().collect(),
            AttributeValue::List(_, values) => values.iter().filter_map(text).collect(),
        }
    }

    pub(crate) fn to_attribute(sources: &[Self]) -> AttributeValue {
        // Texts and numbers can always be serialised as JSON.
        let mut texts: Vec<String> =
            sources.iter().map(|source| serde_json::to_string(source).unwrap_or_default()).collect();
        match (texts.len(), texts.pop()) {
            (1, Some(only)) => only.into(),
            (_, last) => {
                texts.extend(last);
                texts.into()
            }
        }
    }

    /// True if a file with this size and time counts as unchanged.
    pub(crate) fn looks_like(&self, remembered: &Self) -> bool {
        self.size == remembered.size && self.modified.is_some() && self.modified == remembered.modified
    }
}

/// The CRC-64/NVME of a file's bytes.
pub(crate) fn checksum(path: &Path) -> io::Result<u64> {
    let mut file = std::fs::File::open(path)?;
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(digest.finalize()),
            Ok(count) => digest.update(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The sources of the datasets of a store, by location.
#[derive(Debug, Default)]
pub(crate) struct Sources(HashMap<String, Vec<(String, Source)>>);

impl Sources {
    pub(crate) fn of_store(catalog: &Catalog) -> Self {
        let mut sources: HashMap<String, Vec<(String, Source)>> = HashMap::new();
        for (_, dataset) in catalog.datasets() {
            for source in Source::of_dataset(&dataset) {
                let found = sources.entry(source.location.clone()).or_default();
                found.push((dataset.name().to_owned(), source));
            }
        }
        Self(sources)
    }

    /// The dataset that was imported from a location, and its source there. `None` if there is no
    /// such dataset, or if there are several, since only their names distinguish them.
    pub(crate) fn at(&self, location: &str) -> Option<(&str, &Source)> {
        match self.0.get(location).map(Vec::as_slice) {
            Some([(dataset, source)]) => Some((dataset, source)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(location: &str, size: u64) -> Source {
        Source { location: location.into(), size, modified: Some(-5), checksum: Some(0xab) }
    }

    #[test]
    fn sources_survive_as_attributes() {
        let several = [source("/a \"b\".nc", 1), Source { modified: None, checksum: None, ..source("é", 2) }];
        for sources in [&several[..1], &several[..], &[]] {
            assert_eq!(Source::from_attribute(&Source::to_attribute(sources)), sources);
        }
        let one = Source::to_attribute(&several[..1]);
        assert_eq!(one, r#"["/a \"b\".nc",1,-5,"00000000000000ab"]"#.into());
        assert_eq!(Source::from_attribute(&"of a later version".into()), []);
    }

    #[test]
    fn a_file_without_a_time_may_have_changed() {
        let was = source("a", 1);
        assert!(was.looks_like(&Source { location: "b".into(), checksum: None, ..was.clone() }));
        assert!(!source("a", 2).looks_like(&was));
        assert!(!Source { modified: Some(6), ..was.clone() }.looks_like(&was));
        let unknown = Source { modified: None, ..was };
        assert!(!unknown.looks_like(&unknown));
    }

    /// The check value of CRC-64/NVME in the catalogue of parametrised CRC algorithms.
    #[test]
    fn checksums_are_those_of_object_stores() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("f");
        std::fs::write(&path, b"123456789").unwrap();
        assert_eq!(checksum(&path).unwrap(), 0xae8b_1486_0a79_9888);
    }
}
