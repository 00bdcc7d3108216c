//! Which files to import, and what their datasets are named.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use netcdf_reader::NcFile;
use walkdir::WalkDir;

use crate::Error;
use crate::cf;

/// The endings by which NetCDF files are known in a directory.
const ENDINGS: [&str; 4] = ["nc", "nc4", "cdf", "netcdf"];

/// What a dataset is named after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NameFrom {
    /// The file's name without its ending.
    #[default]
    Stem,
    /// The file's path below the directory given, without its ending, and with `:` for `/`.
    Path,
    /// A global attribute.
    Attribute(String),
}

/// A file to import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InputFile {
    pub path: PathBuf,
    pub name: String,
    pub size: u64,
}

/// The files that `paths` name, sorted within each of them, each file once. A file whose name cannot be
/// told comes as an error of its own.
#[allow(clippy::type_complexity)]
pub(crate) fn find_files(
    paths: &[PathBuf],
    name_from: &NameFrom,
) -> Result<Vec<Result<InputFile, (PathBuf, Error)>>, Error> {
    let mut files: Vec<(PathBuf, PathBuf)> = Vec::new();
    for path in paths {
        let before = files.len();
        if path.is_dir() {
            files.extend(walk(path)?.into_iter().map(|file| (path.clone(), file)));
        } else if path.is_file() {
            files.push((path.parent().map_or_else(PathBuf::new, Path::to_owned), path.clone()));
        } else if let Some((base, found)) = expand(path)? {
            files.extend(found.into_iter().map(|file| (base.clone(), file)));
        }
        if files.len() == before {
            return Err(Error::Nothing { path: path.clone() });
        }
    }
    let mut seen = std::collections::HashSet::new();
    files.retain(|(_, file)| seen.insert(file.clone()));
    let named = files.into_iter().map(|(base, path)| match name(&base, &path, name_from) {
        Ok(name) => {
            let size = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
            Ok(InputFile { path, name, size })
        }
        Err(reason) => Err((path.clone(), Error::File { path, reason })),
    });
    Ok(named.collect())
}

fn walk(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in WalkDir::new(directory).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(|e| Error::File { path: directory.to_owned(), reason: e.to_string() })?;
        if entry.file_type().is_file() && has_ending(entry.path()) {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

/// The files and directories that a glob matches, with the directory before its first wildcard.
fn expand(pattern: &Path) -> Result<Option<(PathBuf, Vec<PathBuf>)>, Error> {
    let failed = |reason: String| Error::File { path: pattern.to_owned(), reason };
    let Some(text) = pattern.to_str().filter(|text| text.contains(['*', '?', '['])) else { return Ok(None) };
    let base =
        pattern.components().take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']));
    let mut files = Vec::new();
    for path in glob::glob(text).map_err(|e| failed(e.to_string()))? {
        let path = path.map_err(|e| failed(e.to_string()))?;
        if path.is_dir() {
            files.extend(walk(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(Some((base.collect(), files)))
}

fn has_ending(path: &Path) -> bool {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

fn name(base: &Path, path: &Path, name_from: &NameFrom) -> Result<String, String> {
    let name = match name_from {
        NameFrom::Stem => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
        NameFrom::Path => {
            let below = path.strip_prefix(base).unwrap_or(path).with_extension("");
            let parts: Vec<_> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            Some(parts.join(":"))
        }
        NameFrom::Attribute(key) => {
            let file = NcFile::open(path).map_err(|e| e.to_string())?;
            let attribute = file.global_attribute(key).map_err(|e| e.to_string())?;
            cf::attribute_value(&attribute.value).map(|value| value.to_string().trim().to_owned())
        }
    };
    // A dataset's name has no `/` and does not start with `_`.
    let name = name.map(|name| name.trim_start_matches('_').replace('/', ":"));
    name.filter(|name| !name.is_empty())
        .ok_or_else(|| format!("it has nothing to be named after ({name_from})"))
}

impl fmt::Display for NameFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stem => f.write_str("stem"),
            Self::Path => f.write_str("path"),
            Self::Attribute(key) => write!(f, "attr:{key}"),
        }
    }
}

impl FromStr for NameFrom {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "stem" => Ok(Self::Stem),
            None if text == "path" => Ok(Self::Path),
            Some(("attr", key)) if !key.is_empty() => Ok(Self::Attribute(key.to_owned())),
            _ => Err(format!("`{text}` is none of stem, path and attr:<key>")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_globs_and_files_are_found_sorted_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("b/c")).unwrap();
        for file in ["_z.nc", "b/a.NC", "b/c/y.nc4", "b/readme.txt"] {
            std::fs::write(root.join(file), b"x").unwrap();
        }
        let names = |paths: &[PathBuf], from: &NameFrom| -> Vec<String> {
            find_files(paths, from).unwrap().into_iter().map(|file| file.unwrap().name).collect()
        };
        assert_eq!(names(&[root.to_owned()], &NameFrom::Stem), ["z", "a", "y"]);
        assert_eq!(names(&[root.to_owned()], &NameFrom::Path), ["z", "b:a", "b:c:y"]);
        assert_eq!(names(&[root.join("b/*")], &NameFrom::Stem), ["a", "y", "readme"]);
        assert_eq!(names(&[root.join("b/readme.txt")], &NameFrom::Path), ["readme"]);
        assert_eq!(names(&[root.join("_z.nc"), root.to_owned()], &NameFrom::Stem), ["z", "a", "y"]);
        for nothing in ["missing", "*.hdf", "b/c/*.txt"] {
            assert!(matches!(find_files(&[root.join(nothing)], &NameFrom::Stem), Err(Error::Nothing { .. })));
        }
    }

    #[test]
    fn names_are_chosen_by_word() {
        for from in [NameFrom::Stem, NameFrom::Path, NameFrom::Attribute("id".into())] {
            assert_eq!(from.to_string().parse(), Ok(from));
        }
        assert!("attr:".parse::<NameFrom>().is_err() && "name".parse::<NameFrom>().is_err());
    }
}
