//! The directories of variables, distinct on every file system.

use std::collections::{HashMap, HashSet};

use crate::format::catalog::Root;
use crate::storage::names;

/// The directories of a store's variables, including new ones.
#[derive(Default)]
pub(crate) struct Directories {
    /// `None` if a variable's directory has its name.
    by_variable: HashMap<String, Option<String>>,
    /// All directories, as seen by a file system that ignores case.
    taken: HashSet<String>,
}

impl Directories {
    pub(crate) fn of(root: &Root) -> Self {
        let mut directories = Self::default();
        for (variable, entries) in root.variables() {
            for entry in entries {
                directories.add(variable, entry.directory.clone());
            }
        }
        directories
    }

    fn add(&mut self, variable: &str, directory: Option<String>) {
        self.taken.insert(names::folded(directory.as_deref().unwrap_or(variable)));
        self.by_variable.insert(variable.to_owned(), directory);
    }

    /// The directory for new segments of a variable, if it does not have the variable's name.
    pub(crate) fn of_variable(&mut self, variable: &str) -> Option<String> {
        if let Some(directory) = self.by_variable.get(variable) {
            return directory.clone();
        }
        let directory = names::free_directory(variable, |folded| self.taken.contains(folded));
        self.add(variable, directory.clone());
        directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_differ_in_case_have_directories_that_do_not() {
        let mut directories = Directories::default();
        let all: Vec<_> = ["T", "t", "TEMP", "Temp", "temp", "s"]
            .into_iter()
            .map(|variable| directories.of_variable(variable).unwrap_or_else(|| variable.to_owned()))
            .collect();
        let folded: HashSet<_> = all.iter().map(|directory| directory.to_lowercase()).collect();
        assert_eq!(folded.len(), all.len());
        assert_eq!(directories.of_variable("t").as_deref(), all.get(1).map(String::as_str));
        assert_eq!((all[0].as_str(), all[2].as_str(), all[5].as_str()), ("T", "TEMP", "s"));
    }
}
