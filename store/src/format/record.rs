//! The changes of a commit, as its record describes them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::format::catalog::each_once;

/// The changes of a commit, as in its record. They are enough for other writers to decide whether
/// their own changes conflict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Recorded {
    /// Distinguishes the commit from one of another writer with the same changes.
    pub(crate) writer: String,
    /// The ordinal of the first dataset that was added, and their number.
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) added: (u32, u32),
    /// The ordinals of datasets whose attributes, arrays or dimensions were changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) changed: Vec<u32>,
    /// The ordinals of datasets that were renamed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) renamed: Vec<u32>,
    /// The ordinals of datasets that were deleted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) deleted: Vec<u32>,
    /// For each variable, the chunks that were written to datasets that existed before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "each_once")]
    pub(crate) written: BTreeMap<String, Written>,
    /// The variables whose segments were compacted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) compacted: Vec<String>,
}

fn is_none(added: &(u32, u32)) -> bool {
    added.1 == 0
}

/// Chunks of a variable: dataset and coordinate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<WrittenChunk>", into = "Vec<WrittenChunk>")]
pub(crate) struct Written(BTreeMap<u32, Chunks>);

/// Chunks of an array.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Chunks {
    /// All chunks that the array has, or had.
    All,
    These(BTreeSet<Vec<u32>>),
}

/// A chunk, or all chunks of a dataset.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenChunk {
    One(u32, Vec<u32>),
    All((u32,)),
}

impl Written {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds all chunks of a dataset.
    pub(crate) fn add_all(&mut self, dataset: u32) {
        self.0.insert(dataset, Chunks::All);
    }

    /// Adds a chunk of a dataset.
    pub(crate) fn add(&mut self, dataset: u32, coordinate: Vec<u32>) {
        match self.0.entry(dataset).or_insert_with(|| Chunks::These(BTreeSet::new())) {
            Chunks::All => {}
            Chunks::These(chunks) => drop(chunks.insert(coordinate)),
        }
    }

    /// Adds those of `other`.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (&dataset, chunks) in &other.0 {
            match chunks {
                Chunks::All => self.add_all(dataset),
                Chunks::These(chunks) => {
                    chunks.iter().for_each(|coordinate| self.add(dataset, coordinate.clone()));
                }
            }
        }
    }

    /// True if some chunk of a dataset is among them.
    pub(crate) fn touches(&self, dataset: u32) -> bool {
        self.0.contains_key(&dataset)
    }

    /// The datasets of which there are chunks.
    pub(crate) fn datasets(&self) -> impl Iterator<Item = u32> {
        self.0.keys().copied()
    }

    /// A dataset of which both have the same chunk.
    pub(crate) fn collision(&self, other: &Self) -> Option<u32> {
        let meet = |a: &Chunks, b: &Chunks| match (a, b) {
            (Chunks::All, _) | (_, Chunks::All) => true,
            (Chunks::These(a), Chunks::These(b)) => !a.is_disjoint(b),
        };
        let mut both =
            self.0.iter().filter_map(|(dataset, chunks)| Some((dataset, chunks, other.0.get(dataset)?)));
        both.find(|(_, a, b)| meet(a, b)).map(|(&dataset, ..)| dataset)
    }
}

impl From<Vec<WrittenChunk>> for Written {
    fn from(chunks: Vec<WrittenChunk>) -> Self {
        let mut written = Self::default();
        for chunk in chunks {
            match chunk {
                WrittenChunk::One(dataset, coordinate) => written.add(dataset, coordinate),
                WrittenChunk::All((dataset,)) => written.add_all(dataset),
            }
        }
        written
    }
}

impl From<Written> for Vec<WrittenChunk> {
    fn from(written: Written) -> Self {
        let chunks = written.0.into_iter().flat_map(|(dataset, chunks)| match chunks {
            Chunks::All => vec![WrittenChunk::All((dataset,))],
            Chunks::These(chunks) => {
                chunks.into_iter().map(|coordinate| WrittenChunk::One(dataset, coordinate)).collect()
            }
        });
        chunks.collect()
    }
}
