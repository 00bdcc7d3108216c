//! What an import did not take literally, gathered by class and variable.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A class of things that an import does not take literally.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NoticeClass {
    /// A variable or an attribute that is not in the dataset.
    LeftOut,
}

impl fmt::Display for NoticeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeftOut => "left out",
        })
    }
}

/// Something in one file that the import did not take literally.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its class.
    pub class: NoticeClass,
    /// The variable that it concerns, or the attribute of a dataset.
    pub subject: String,
    /// The reason or what became of it; the same text in each file, so that files can be counted.
    pub detail: String,
    /// The number of cells concerned; 0 where the notice is not about cells.
    pub cells: u64,
}

/// The notices of one class, subject and detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notices {
    /// The number of files.
    pub files: usize,
    /// The number of cells in all of them.
    pub cells: u64,
    /// The first of the files.
    pub example: PathBuf,
}

/// All notices of a run, by class, subject and detail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeSummary(BTreeMap<(NoticeClass, String, String), Notices>);

impl NoticeSummary {
    /// Adds a notice about a file.
    pub fn add(&mut self, notice: Notice, path: &Path) {
        let key = (notice.class, notice.subject, notice.detail);
        let notices =
            self.0.entry(key).or_insert_with(|| Notices { files: 0, cells: 0, example: path.to_owned() });
        notices.files += 1;
        notices.cells += notice.cells;
    }

    /// True where everything was taken literally.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Class, subject and detail of the notices, and how often and where they apply, in order.
    pub fn iter(&self) -> impl Iterator<Item = (NoticeClass, &str, &str, &Notices)> {
        self.0
            .iter()
            .map(|((class, subject, detail), notices)| (*class, subject.as_str(), detail.as_str(), notices))
    }
}
