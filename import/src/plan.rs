//! Plans a run: decides for each file whether its dataset is new, replaces one of the store, or is
//! already up to date.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use atlas::Catalog;

use crate::files::{Found, FoundFile};
use crate::origin::Origin;
use crate::source::{Source, Sources, checksum};
use crate::{Error, ImportOptions, Report, paths};

/// What to do with a file whose dataset the store already has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Fail, and change nothing.
    #[default]
    Error,
    /// Keep the dataset of the store.
    Skip,
    /// Replace the dataset.
    Replace,
    /// Replace the dataset if the file has changed since its import, by size and time, or by
    /// checksum.
    Update,
}

impl fmt::Display for Existing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Skip => "skip",
            Self::Replace => "replace",
            Self::Update => "update",
        })
    }
}

impl FromStr for Existing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Error, Self::Skip, Self::Replace, Self::Update];
        let found = all.into_iter().find(|existing| existing.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is none of error, skip, replace and update"))
    }
}

/// A file that is to be imported.
#[derive(Clone, Debug)]
pub(crate) struct InputFile {
    pub path: PathBuf,
    pub origin: Origin,
    pub source: Source,
    /// The name of its dataset.
    pub name: String,
    /// Whether it replaces the dataset with that name.
    pub replaces: bool,
}

/// What to do with a file.
enum Step {
    Import(InputFile),
    Unchanged,
    Existing,
}

/// The files to import, with distinct names. Files that are left out, and failures that may be
/// skipped, are added to the report.
pub(crate) fn plan(
    catalog: &Catalog,
    found: Found,
    options: &ImportOptions,
    report: &mut Report,
) -> Result<Vec<InputFile>, Error> {
    for (path, notice) in found.notices {
        report.notices.add(notice, &path);
    }
    let planner = Planner { catalog, sources: sources(catalog, options), options };
    let mut files = Vec::new();
    let mut names: HashMap<String, PathBuf> = HashMap::new();
    for file in found.files {
        let planned = file.map_err(|(_, error)| error).and_then(|file| {
            let path = file.path.clone();
            Ok((path, planner.step(file)?))
        });
        let (path, (name, step)) = match planned {
            Ok(planned) => planned,
            Err(Error::File { path, reason }) if options.skip_errors => {
                report.skipped.push((path.clone(), Error::File { path, reason }));
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some(first) = names.insert(name.clone(), path.clone()) {
            return Err(Error::NameTwice { name, first, second: path });
        }
        match step {
            Step::Import(file) => files.push(file),
            Step::Unchanged => report.unchanged += 1,
            Step::Existing => report.existing += 1,
        }
    }
    Ok(files)
}

/// The sources of the store's datasets, if the options need them.
fn sources(catalog: &Catalog, options: &ImportOptions) -> Sources {
    match options.existing {
        Existing::Update => Sources::of_store(catalog),
        _ => Sources::default(),
    }
}

struct Planner<'a> {
    catalog: &'a Catalog,
    sources: Sources,
    options: &'a ImportOptions,
}

impl Planner<'_> {
    /// The name of a file's dataset, and what to do with the file.
    fn step(&self, file: FoundFile) -> Result<(String, Step), Error> {
        // A dataset that was renamed after its import keeps its new name.
        if let Some((dataset, remembered)) = self.sources.at(&file.source.location) {
            let dataset = dataset.to_owned();
            let step = match self.is_unchanged(&file, remembered)? {
                true => Step::Unchanged,
                false => import(file, dataset.clone(), true),
            };
            return Ok((dataset, step));
        }
        let name = file.name(&self.options.name_from, self.options.stall_limit)?;
        let Some(ordinal) = self.catalog.ordinal(&name) else {
            let step = import(file, name.clone(), false);
            return Ok((name, step));
        };
        let step = match self.options.existing {
            Existing::Error => return Err(Error::NameExists { name, path: file.path }),
            Existing::Skip => Step::Existing,
            Existing::Replace => import(file, name.clone(), true),
            Existing::Update => {
                let remembered = self.catalog.dataset(ordinal).map(|dataset| Source::of_dataset(&dataset));
                match remembered.as_deref() {
                    Some([one]) if paths::is_there(&one.location) => {
                        if !self.is_same(&file, one)? {
                            let (first, second) = (paths::at(&one.location), file.path);
                            return Err(Error::NameTwice { name, first, second });
                        }
                        Step::Unchanged
                    }
                    // The directory of the file was moved.
                    Some([one]) if self.is_unchanged(&file, one)? || self.is_same(&file, one)? => {
                        Step::Unchanged
                    }
                    _ => import(file, name.clone(), true),
                }
            }
        };
        Ok((name, step))
    }

    /// True if a file has not changed since the store imported it from its location.
    fn is_unchanged(&self, file: &FoundFile, remembered: &Source) -> Result<bool, Error> {
        if self.options.checksum {
            return self.is_same(file, remembered);
        }
        Ok(file.source.looks_like(remembered))
    }

    /// True if a file has the same bytes as one that the store imported.
    fn is_same(&self, file: &FoundFile, remembered: &Source) -> Result<bool, Error> {
        if file.source.size != remembered.size || remembered.checksum.is_none() {
            return Ok(false);
        }
        let failed = |reason| Error::File { path: file.path.clone(), reason };
        let local = file.origin.open(&mut || true).map_err(failed)?;
        let found = checksum(local.path()).map_err(|e| failed(e.to_string()))?;
        Ok(Some(found) == remembered.checksum)
    }
}

fn import(file: FoundFile, name: String, replaces: bool) -> Step {
    let FoundFile { path, origin, source, .. } = file;
    Step::Import(InputFile { path, origin, source, name, replaces })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_existing_datasets_is_a_word() {
        for existing in [Existing::Error, Existing::Skip, Existing::Replace, Existing::Update] {
            assert_eq!(existing.to_string().parse(), Ok(existing));
        }
        assert!("Update".parse::<Existing>().is_err());
    }
}
