//! Notices: what imports did not take literally, grouped by class and variable, and kept in the
//! store.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use atlas::{AttributeValue, Root, Value};
use serde::{Deserialize, Serialize};

use crate::Error;

/// A class of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NoticeClass {
    /// A variable or an attribute was left out of the dataset.
    LeftOut,
    /// A time variable stays numeric.
    TimeAsNumber,
    /// Cells contain times that timestamps cannot represent.
    TimeOutOfRange,
    /// Times of another calendar became timestamps with the same dates.
    CalendarConverted,
    /// Cells contain dates of another calendar that the Gregorian calendar does not have.
    DateNotInCalendar,
    /// The name in the dataset differs from the name in the file.
    Renamed,
    /// Text is not UTF-8.
    TextDecoded,
    /// An attribute violates the conventions.
    BadAttribute,
    /// Cells contain NetCDF's default fill value, and count as never written.
    DefaultFill,
    /// Cells are outside the range that the variable declares to be valid.
    OutsideValidRange,
    /// A variable has a dimension more than once; its repetitions were renamed.
    RepeatedDimension,
    /// Joined files differ in an array without the dimension along which they are joined.
    JoinedDiffer,
    /// An export writes cells differently from the imported file.
    NotExact,
    /// Files have different units for a variable. Its notices are about the whole store.
    UnitsDiffer,
    /// Files have different types for a variable. Its notices are about the whole store.
    TypesDiffer,
}

impl fmt::Display for NoticeClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeftOut => "left out",
            Self::TimeAsNumber => "time as number",
            Self::TimeOutOfRange => "time out of range",
            Self::CalendarConverted => "calendar converted",
            Self::DateNotInCalendar => "no such date",
            Self::Renamed => "renamed",
            Self::TextDecoded => "text decoded",
            Self::BadAttribute => "unusual attribute",
            Self::DefaultFill => "never written",
            Self::OutsideValidRange => "outside the valid range",
            Self::RepeatedDimension => "repeated dimension",
            Self::JoinedDiffer => "joined files differ",
            Self::NotExact => "not exact",
            Self::UnitsDiffer => "units differ",
            Self::TypesDiffer => "types differ",
        })
    }
}

/// Something in one file that the import did not take literally.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its class.
    pub class: NoticeClass,
    /// The variable or the attribute of a dataset that it is about.
    pub subject: String,
    /// The reason or the outcome. The text is the same for all files, so that files can be counted.
    pub detail: String,
    /// The number of cells concerned; 0 if the notice is not about cells.
    pub cells: u64,
}

/// The notices with the same class, subject and detail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notices {
    /// The number of files.
    pub files: usize,
    /// The number of cells in all of them.
    pub cells: u64,
    /// The first of these files; or the name of a dataset, if the store contained it before notices
    /// were first collected.
    pub example: PathBuf,
}

/// All notices of a run, or of all runs, by class, subject and detail.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NoticeSummary(BTreeMap<(NoticeClass, String, String), Notices>);

/// Notices as the store keeps them: class, subject, detail, files, cells, example.
type Stored = (NoticeClass, String, String, usize, u64, String);

impl NoticeSummary {
    /// The attribute of the store that keeps the notices of all imports. It is a list of strings.
    /// Each is a JSON list of class, subject, detail, number of files, number of cells, and an
    /// example file.
    pub const ATTRIBUTE: &str = "import_report";

    /// The notices of all imports into a store.
    ///
    /// # Errors
    /// [`Error::ImportReport`] if they cannot be parsed, for example because a newer version wrote
    /// them.
    pub fn of_store(root: &Root) -> Result<Self, Error> {
        let attribute = root.store_attributes().iter().find(|(key, _)| key == Self::ATTRIBUTE);
        Self::from_attribute(attribute.map(|(_, value)| value))
    }

    /// Parses the attribute of a store.
    pub(crate) fn from_attribute(attribute: Option<&AttributeValue>) -> Result<Self, Error> {
        let Some(AttributeValue::List(_, values)) = attribute else { return Ok(Self::default()) };
        let mut summary = Self::default();
        for value in values {
            let Value::String(text) = value else { continue };
            let (class, subject, detail, files, cells, example): Stored = serde_json::from_str(text)
                .map_err(|e| Error::ImportReport { entry: text.clone(), reason: e.to_string() })?;
            summary.insert(class, subject, detail, Notices { files, cells, example: example.into() });
        }
        Ok(summary)
    }

    /// The inverse of [`from_attribute`](Self::from_attribute).
    pub(crate) fn to_attribute(&self) -> AttributeValue {
        let stored = |(class, subject, detail, notices): (NoticeClass, &str, &str, &Notices)| {
            let example = notices.example.to_string_lossy().into_owned();
            let stored: Stored =
                (class, subject.to_owned(), detail.to_owned(), notices.files, notices.cells, example);
            // Names, texts and numbers can always be serialised as JSON.
            serde_json::to_string(&stored).unwrap_or_default()
        };
        self.iter().map(stored).collect::<Vec<String>>().into()
    }

    /// Adds a notice about a file.
    pub fn add(&mut self, notice: Notice, path: &Path) {
        let notices = Notices { files: 1, cells: notice.cells, example: path.to_owned() };
        self.insert(notice.class, notice.subject, notice.detail, notices);
    }

    /// Adds the notices of a later run.
    pub(crate) fn extend(&mut self, later: &Self) {
        for (class, subject, detail, notices) in later.iter() {
            self.insert(class, subject.to_owned(), detail.to_owned(), notices.clone());
        }
    }

    pub(crate) fn insert(&mut self, class: NoticeClass, subject: String, detail: String, more: Notices) {
        let of = self.0.entry((class, subject, detail));
        of.and_modify(|notices| {
            notices.files += more.files;
            notices.cells += more.cells;
        })
        .or_insert(more);
    }

    /// Replaces earlier notices of these classes by notices about the whole store, but keeps the
    /// examples of the earlier ones.
    pub(crate) fn replace(&mut self, classes: &[NoticeClass], now: &Self) {
        let before = std::mem::take(&mut self.0);
        for (class, subject, detail, notices) in now.iter() {
            let key = (class, subject.to_owned(), detail.to_owned());
            let example = before.get(&key).map_or(&notices.example, |before| &before.example).clone();
            self.0.insert(key, Notices { example, ..notices.clone() });
        }
        self.0.extend(before.into_iter().filter(|((class, ..), _)| !classes.contains(class)));
    }

    /// True if everything was taken literally.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of distinct combinations of class, subject and detail.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The class, subject and detail of the notices in order, with their counts and examples.
    pub fn iter(&self) -> impl Iterator<Item = (NoticeClass, &str, &str, &Notices)> {
        self.0
            .iter()
            .map(|((class, subject, detail), notices)| (*class, subject.as_str(), detail.as_str(), notices))
    }
}

#[cfg(test)]
mod tests {
    use atlas::{Atlas, StoreConfig};

    use super::*;

    fn summary(entries: &[(NoticeClass, &str, &str, u64, &str)]) -> NoticeSummary {
        let mut summary = NoticeSummary::default();
        for (class, subject, detail, cells, path) in entries {
            let (subject, detail) = ((*subject).to_owned(), (*detail).to_owned());
            summary.add(Notice { class: *class, subject, detail, cells: *cells }, Path::new(path));
        }
        summary
    }

    /// A store with a report, if there is one.
    async fn store(name: &str, report: Option<AttributeValue>) -> Atlas {
        let atlas = Atlas::create_url(&format!("memory:///{name}"), StoreConfig::default()).await.unwrap();
        if let Some(report) = report {
            atlas.set_attribute(NoticeSummary::ATTRIBUTE, report).unwrap();
        }
        atlas.flush().await.unwrap();
        atlas
    }

    #[tokio::test]
    async fn notices_add_up_and_come_back_from_the_store() {
        let mut all = summary(&[
            (NoticeClass::LeftOut, "a \"b\"\n", "why", 0, "one.nc"),
            (NoticeClass::DefaultFill, "t", "made missing", 3, "one.nc"),
        ]);
        all.extend(&summary(&[(NoticeClass::DefaultFill, "t", "made missing", 4, "two.nc")]));
        let notices = |summary: &NoticeSummary| summary.iter().last().map(|(.., notices)| notices.clone());
        let expected = Notices { files: 2, cells: 7, example: "one.nc".into() };
        assert_eq!(notices(&all), Some(expected));
        let none = NoticeSummary::default();
        for (name, report, expected) in [
            ("report", Some(all.to_attribute()), &all),
            ("empty-report", Some(none.to_attribute()), &none),
            ("no-report", None, &none),
        ] {
            let atlas = store(name, report).await;
            assert_eq!(&NoticeSummary::of_store(atlas.snapshot().root()).unwrap(), expected);
        }
    }

    #[test]
    fn notices_of_the_whole_store_take_the_place_of_earlier_ones() {
        let mut all = summary(&[
            (NoticeClass::UnitsDiffer, "t", "K", 0, "one.nc"),
            (NoticeClass::UnitsDiffer, "u", "m", 0, "one.nc"),
            (NoticeClass::LeftOut, "v", "why", 0, "one.nc"),
        ]);
        let now = [("K", "set"), ("K", "set"), ("degC", "two.nc")];
        let now = now.map(|(units, path)| (NoticeClass::UnitsDiffer, "t", units, 0, path));
        all.replace(&[NoticeClass::UnitsDiffer], &summary(&now));
        let found: Vec<_> = all
            .iter()
            .map(|(_, subject, detail, n)| (subject, detail, n.files, n.example.to_str().unwrap()))
            .collect();
        assert_eq!(found, [("v", "why", 1, "one.nc"), ("t", "K", 2, "one.nc"), ("t", "degC", 1, "two.nc")]);
    }

    #[tokio::test]
    async fn a_report_of_a_newer_version_is_an_error() {
        let report = vec![r#"["time_travel","t","",1,0,"x.nc"]"#.to_owned()].into();
        let atlas = store("newer-report", Some(report)).await;
        let error = NoticeSummary::of_store(atlas.snapshot().root()).unwrap_err();
        assert!(error.to_string().contains("time_travel"), "{error}");
    }
}
