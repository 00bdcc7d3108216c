//! The names of datasets that mean something else than in the base.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashbrown::HashTable;

use super::draft::Draft;
use super::settled::Settled;

/// The datasets that are new or changed, for their names.
#[derive(Clone, Copy)]
pub(super) struct Datasets<'a> {
    pub(super) drafts: &'a HashMap<u32, Draft>,
    pub(super) settled: &'a Settled,
    /// The ordinal of the first new one.
    pub(super) first_new: u32,
}

/// Names and the datasets that have them. New datasets, of which there may be millions, are found
/// by their ordinals alone: their names are kept with them already.
#[derive(Default)]
pub(super) struct Names {
    /// The ordinals of new datasets that have the name they were created with.
    created: HashTable<u32>,
    hasher: RandomState,
    /// All others: a dataset by its ordinal, or none. Before `created`.
    others: HashMap<String, Option<u32>>,
}

impl<'a> Datasets<'a> {
    fn name(self, ordinal: u32) -> Option<&'a str> {
        match self.drafts.get(&ordinal) {
            Some(draft) => Some(&draft.name),
            None => self.settled.name(ordinal.checked_sub(self.first_new)?),
        }
    }
}

impl Names {
    /// The ordinal of the dataset that has a name now, or that none has it; `None` where it means
    /// what it does in the base.
    pub(super) fn get(&self, name: &str, datasets: Datasets<'_>) -> Option<Option<u32>> {
        if let Some(ordinal) = self.others.get(name) {
            return Some(*ordinal);
        }
        let is_it = |&ordinal: &u32| datasets.name(ordinal) == Some(name);
        self.created.find(self.hasher.hash_one(name), is_it).map(|&ordinal| Some(ordinal))
    }

    /// Gives a name that no dataset has to a new one.
    pub(super) fn create(&mut self, name: &str, ordinal: u32, datasets: Datasets<'_>) {
        if self.others.contains_key(name) {
            self.others.insert(name.to_owned(), Some(ordinal));
            return;
        }
        let hash = |&ordinal: &u32| self.hasher.hash_one(datasets.name(ordinal).unwrap_or_default());
        self.created.insert_unique(self.hasher.hash_one(name), ordinal, hash);
    }

    /// Takes a name from a dataset, and gives it another, or none where it is deleted.
    pub(super) fn change(&mut self, name: &str, ordinal: u32, new: Option<&str>) {
        let hash = self.hasher.hash_one(name);
        if let Ok(entry) = self.created.find_entry(hash, |&other| other == ordinal) {
            entry.remove();
        }
        self.others.insert(name.to_owned(), None);
        self.others.extend(new.map(|new| (new.to_owned(), Some(ordinal))));
    }
}
