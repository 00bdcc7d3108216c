//! The names of datasets that refer to another dataset than in the base.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use hashbrown::HashTable;

use super::draft::Draft;
use super::settled::Settled;

/// The new and changed datasets, for their names.
#[derive(Clone, Copy)]
pub(super) struct Datasets<'a> {
    pub(super) drafts: &'a HashMap<u32, Draft>,
    pub(super) settled: &'a Settled,
    /// The ordinal of the first new dataset.
    pub(super) first_new: u32,
}

/// Names, and the datasets that have them. There may be millions of new datasets. They are stored
/// by their ordinals alone, because their names are stored elsewhere already.
#[derive(Default)]
pub(super) struct Names {
    /// The ordinals of new datasets that still have their first name.
    created: HashTable<u32>,
    hasher: RandomState,
    /// All other names, with the ordinal of a dataset or none. They take precedence over `created`.
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
    /// The ordinal of the dataset that has a name now, or none if no dataset has it; `None` if the
    /// name refers to the same as in the base.
    pub(super) fn get(&self, name: &str, datasets: Datasets<'_>) -> Option<Option<u32>> {
        if let Some(ordinal) = self.others.get(name) {
            return Some(*ordinal);
        }
        let is_it = |&ordinal: &u32| datasets.name(ordinal) == Some(name);
        self.created.find(self.hasher.hash_one(name), is_it).map(|&ordinal| Some(ordinal))
    }

    /// Gives an unused name to a new dataset.
    pub(super) fn create(&mut self, name: &str, ordinal: u32, datasets: Datasets<'_>) {
        if self.others.contains_key(name) {
            self.others.insert(name.to_owned(), Some(ordinal));
            return;
        }
        let hash = |&ordinal: &u32| self.hasher.hash_one(datasets.name(ordinal).unwrap_or_default());
        self.created.insert_unique(self.hasher.hash_one(name), ordinal, hash);
    }

    /// Removes a dataset's name, and gives it a new one, or none if the dataset is deleted.
    pub(super) fn change(&mut self, name: &str, ordinal: u32, new: Option<&str>) {
        let hash = self.hasher.hash_one(name);
        if let Ok(entry) = self.created.find_entry(hash, |&other| other == ordinal) {
            entry.remove();
        }
        self.others.insert(name.to_owned(), None);
        self.others.extend(new.map(|new| (new.to_owned(), Some(ordinal))));
    }
}
