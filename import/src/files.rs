//! Finds the files to import, and names their datasets.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use glob::{MatchOptions, Pattern};
use walkdir::WalkDir;

use crate::notice::{Notice, NoticeClass};
use crate::origin::{Archive, Compression, Origin};
use crate::reader::{File, kind};
use crate::remote::{self, Listing};
use crate::source::Source;
use crate::temporary::Temporary;
use crate::{Error, cf, paths, thread};

/// The endings, in any case, by which NetCDF and HDF5 files are found in a directory.
const ENDINGS: [&str; 7] = ["nc", "nc4", "cdf", "netcdf", "h5", "hdf5", "he5"];

/// Endings of compressed files that cannot be read, and the command that decompresses them.
const COMPRESSED: [(&str, &str); 6] = [
    ("xz", "unxz"),
    ("lz4", "unlz4"),
    ("lzma", "unlzma"),
    ("z", "uncompress"),
    ("zip", "unzip"),
    ("7z", "7z x"),
];

/// Endings of other files that may contain data but cannot be read, and what to do first.
const OTHERS: [(&str, &str); 13] = [
    ("tar", "it is an archive: name it to import the files in it"),
    ("tgz", "it is an archive: name it to import the files in it"),
    ("tar.gz", "it is an archive: name it to import the files in it"),
    ("tar.bz2", "it is an archive: name it to import the files in it"),
    ("tar.zst", "it is an archive: name it to import the files in it"),
    ("tar.xz", "it is an archive: unpack it first, with `tar -xf`"),
    ("zip", "it is an archive: unpack it first, with `unzip`"),
    ("grb", "it is a GRIB file: convert it first, with `grib_to_netcdf` or `cdo -f nc4 copy`"),
    ("grib", "it is a GRIB file: convert it first, with `grib_to_netcdf` or `cdo -f nc4 copy`"),
    ("grb2", "it is a GRIB file: convert it first, with `grib_to_netcdf` or `cdo -f nc4 copy`"),
    ("grib2", "it is a GRIB file: convert it first, with `grib_to_netcdf` or `cdo -f nc4 copy`"),
    ("hdf", "it is an HDF4 file, or its name says so: convert it first, with `h4toh5`"),
    ("cdl", "it is the text of a NetCDF file (CDL): make a file of it first, with `ncgen`"),
];

/// How names match globs: those that begin with a dot only if the pattern does.
const GLOB: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: false,
    require_literal_leading_dot: true,
};

/// How datasets are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum NameFrom {
    /// After the file's name, without its ending.
    #[default]
    Stem,
    /// After the file's path below the given directory, without its ending, and with `:` for `/`.
    Path,
    /// After a global attribute.
    Attribute(String),
}

/// A file that was found.
#[derive(Clone, Debug)]
pub(crate) struct FoundFile {
    /// The name of the file in messages.
    pub path: PathBuf,
    /// The directory to which its path is relative.
    base: PathBuf,
    pub origin: Origin,
    /// What is known about the file without opening it.
    pub source: Source,
}

/// The files that paths name.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The files, sorted within each path and without duplicates; or the reason why one cannot be
    /// imported.
    pub files: Vec<Result<FoundFile, (PathBuf, Error)>>,
    /// Files in directories that look like data, but cannot be read.
    pub notices: Vec<(PathBuf, Notice)>,
}

/// Finds the files that `paths` name. What is fetched, unpacked or decompressed for reading is in
/// temporary files.
pub(crate) fn find_files(paths: &[PathBuf], temporary: &Temporary) -> Result<Found, Error> {
    let mut search = Search { temporary: temporary.clone(), ..Search::default() };
    for path in paths {
        let (files, notices) = (search.found.files.len(), search.found.notices.len());
        let base = path.parent().map_or_else(PathBuf::new, Path::to_owned);
        if remote::is_url(path) {
            search.url(path)?;
            continue;
        }
        // Accepts any path that is named explicitly. If it is not a NetCDF file, opening it reports
        // that.
        match std::fs::metadata(path) {
            Ok(found) if found.is_dir() => search.directory(path, path),
            Ok(_) => search.named(&base, path),
            Err(e) if e.kind() == ErrorKind::NotFound => search.glob(path)?,
            Err(e) => search.fail(path, e.to_string()),
        }
        if search.found.files.len() == files {
            return Err(match search.found.notices.get(notices) {
                Some((path, notice)) => Error::File { path: path.clone(), reason: notice.detail.clone() },
                None => Error::Nothing { path: path.clone(), reason: nothing(path) },
            });
        }
    }
    let mut seen = HashSet::new();
    search.found.files.retain(|file| match file {
        Ok(file) => seen.insert(file.source.location.clone()),
        Err(_) => true,
    });
    Ok(search.found)
}

/// The files that were found so far.
#[derive(Default)]
struct Search {
    found: Found,
    /// Directories, and their paths after following links.
    directories: HashMap<PathBuf, PathBuf>,
    temporary: Temporary,
}

impl Search {
    fn fail(&mut self, path: &Path, reason: impl Into<String>) {
        let error = Error::File { path: path.to_owned(), reason: reason.into() };
        self.found.files.push(Err((path.to_owned(), error)));
    }

    /// Adds a file, which is decompressed if its name says that it is compressed.
    fn add(&mut self, path: PathBuf, base: PathBuf, origin: Origin, source: Source) {
        let origin = match Compression::of(&path.to_string_lossy()) {
            Some(compression) => Origin::Compressed(compression, Box::new(origin), self.temporary.clone()),
            None => origin,
        };
        self.found.files.push(Ok(FoundFile { path, base, origin, source }));
    }

    fn notice(&mut self, path: &Path, subject: String, detail: String) {
        let notice = Notice { class: NoticeClass::LeftOut, subject, detail, cells: 0 };
        self.found.notices.push((path.to_owned(), notice));
    }

    /// Adds a file that was named explicitly, or the files in it if it is an archive.
    fn named(&mut self, base: &Path, path: &Path) {
        if Archive::is_named(&path.to_string_lossy()) && path.is_file() {
            self.archive(path);
        } else {
            self.file(base, path);
        }
    }

    /// Adds the NetCDF files in an archive.
    fn archive(&mut self, path: &Path) {
        let archive = Arc::new(Archive::new(path, &self.temporary));
        let members = match archive.members() {
            Ok(members) => members,
            Err(reason) => return self.fail(path, reason),
        };
        let absolute = self.absolute(path);
        let mut members: Vec<_> = members.into_iter().filter(|member| has_ending(&member.path)).collect();
        members.sort_by(|a, b| a.path.cmp(&b.path));
        if members.is_empty() {
            return self.fail(path, "there is no NetCDF file in it");
        }
        for member in members {
            let inside = path.join(&member.path);
            let origin = Origin::Member(Arc::clone(&archive), member.place);
            let source = Source {
                location: paths::location(&absolute, Some(&member.path)),
                size: member.size,
                modified: member.modified,
                checksum: None,
            };
            self.add(inside, path.to_owned(), origin, source);
        }
    }

    /// Adds the file at a URL, or all NetCDF files below it.
    fn url(&mut self, url: &Path) -> Result<(), Error> {
        let failed = |reason: String| Error::File { path: url.to_owned(), reason };
        let text = url.to_string_lossy();
        let listing = Listing::of(&text, &self.temporary).map_err(failed)?;
        let files = match listing.file().map_err(failed)? {
            Some(file) => vec![file],
            None => {
                let files = listing.below().map_err(|reason| {
                    failed(format!("it is no file, and its server does not list what is below it ({reason})"))
                })?;
                files.into_iter().filter(|(path, ..)| has_ending(path)).collect()
            }
        };
        if files.is_empty() {
            return Err(Error::Nothing { path: url.to_owned(), reason: "there is no NetCDF file below it" });
        }
        for (path, source, remote) in files {
            if Archive::is_named(&path.to_string_lossy()) {
                self.fail(&path, "it is an archive, and not on this machine: fetch it first");
                continue;
            }
            let origin = Origin::Remote(Arc::new(remote));
            self.add(path, url.to_owned(), origin, source);
        }
        Ok(())
    }

    fn file(&mut self, base: &Path, path: &Path) {
        let metadata = match std::fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(e) => return self.fail(path, e.to_string()),
        };
        let location = paths::location(&self.absolute(path), None);
        let source = Source::of_file(location, &metadata);
        let origin = Origin::File(path.to_owned());
        self.add(path.to_owned(), base.to_owned(), origin, source);
    }

    /// The path of a file from the root, with the links of its directory resolved: the same however
    /// the file is named.
    fn absolute(&mut self, path: &Path) -> PathBuf {
        let Some((directory, name)) = path.parent().zip(path.file_name()) else { return path.to_owned() };
        if let Some(known) = self.directories.get(directory) {
            return known.join(name);
        }
        let here = or_here(directory);
        let resolved = here.canonicalize().or_else(|_| std::path::absolute(here));
        let resolved = resolved.unwrap_or_else(|_| directory.to_owned());
        let absolute = resolved.join(name);
        self.directories.insert(directory.to_owned(), resolved);
        absolute
    }

    /// Adds all files below a directory that have an ending of NetCDF or HDF5 files. Hidden files
    /// and directories are skipped.
    fn directory(&mut self, base: &Path, directory: &Path) {
        if let Some(what) = kind::special_directory(directory) {
            return self.fail(directory, what);
        }
        let mut entries = WalkDir::new(directory).follow_links(true).sort_by_file_name().into_iter();
        while let Some(entry) = entries.next() {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(directory).to_owned();
                    // A dangling link matters only if it has the name of a NetCDF file.
                    let missing = error.io_error().is_some_and(|e| e.kind() == ErrorKind::NotFound);
                    if !(is_hidden(&path) || missing && !has_ending(&path)) {
                        let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
                        self.fail(&path, reason);
                    }
                    continue;
                }
            };
            let (path, found) = (entry.path(), entry.file_type());
            if entry.depth() > 0 && is_hidden(path) {
                if found.is_dir() {
                    entries.skip_current_dir();
                }
            } else if found.is_dir() {
                if let Some(what) = kind::special_directory(path).filter(|_| entry.depth() > 0) {
                    self.notice(path, "directories".to_owned(), what.to_owned());
                    entries.skip_current_dir();
                }
            } else if has_ending(path) {
                self.file(base, path);
            } else if let Some((ending, what)) = not_read(path) {
                self.notice(path, format!("*.{ending}"), what);
            }
        }
    }

    /// The files and directories that a glob matches. Their paths are relative to the directory
    /// before its first wildcard.
    fn glob(&mut self, pattern: &Path) -> Result<(), Error> {
        if !is_glob(pattern) {
            return Ok(());
        }
        let mut parts: Vec<Component<'_>> = pattern.components().collect();
        let wild = parts.iter().position(|part| is_glob(part.as_ref())).unwrap_or(parts.len());
        let patterns = parts.split_off(wild);
        let base: PathBuf = parts.into_iter().collect();
        let patterns: Vec<(&OsStr, Pattern)> = patterns
            .into_iter()
            .map(|part| Ok((part.as_os_str(), Pattern::new(&paths::text(part.as_os_str()))?)))
            .collect::<Result<_, glob::PatternError>>()
            .map_err(|e| Error::File { path: pattern.to_owned(), reason: e.to_string() })?;
        for path in self.matching(base.clone(), &patterns) {
            match path.is_dir() {
                true => self.directory(&base, &path),
                false => self.named(&base, &path),
            }
        }
        Ok(())
    }

    /// The paths below `path` that match patterns of names, sorted. The walk of the crate `glob`
    /// passes over names that are not UTF-8, or panics.
    fn matching(&mut self, path: PathBuf, patterns: &[(&OsStr, Pattern)]) -> Vec<PathBuf> {
        let Some(((name, pattern), rest)) = patterns.split_first() else { return vec![path] };
        let mut found = if !is_glob(name.as_ref()) {
            vec![path.join(name)]
        } else if *name == "**" {
            self.directories_below(path)
        } else {
            self.names_in(&path, pattern).into_iter().map(|name| path.join(name)).collect()
        };
        found.retain(|path| if rest.is_empty() { path.symlink_metadata().is_ok() } else { path.is_dir() });
        found.into_iter().flat_map(|path| self.matching(path, rest)).collect()
    }

    /// The names in a directory that match a pattern, sorted.
    fn names_in(&mut self, directory: &Path, pattern: &Pattern) -> Vec<OsString> {
        let mut names = Vec::new();
        match std::fs::read_dir(or_here(directory)) {
            Ok(entries) => {
                for entry in entries {
                    match entry {
                        Ok(entry) => names.push(entry.file_name()),
                        Err(e) => self.fail(directory, e.to_string()),
                    }
                }
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => self.fail(directory, e.to_string()),
        }
        names.retain(|name| pattern.matches_with(&paths::text(name), GLOB));
        names.sort();
        names
    }

    /// A directory and all directories below it, without hidden ones, sorted.
    fn directories_below(&mut self, directory: PathBuf) -> Vec<PathBuf> {
        let here = or_here(&directory);
        let walk = WalkDir::new(here).follow_links(true).sort_by_file_name().into_iter();
        let mut directories = Vec::new();
        for entry in walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.path())) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {
                    let below = entry.path().strip_prefix(here).unwrap_or(entry.path());
                    directories.push(directory.join(below));
                }
                Ok(_) => {}
                // A link that leads nowhere is no directory.
                Err(e) if e.io_error().is_some_and(|e| e.kind() == ErrorKind::NotFound) => {}
                Err(e) => self.fail(e.path().unwrap_or(&directory), e.to_string()),
            }
        }
        directories
    }
}

/// A directory that can be opened: the empty path is the current one.
fn or_here(directory: &Path) -> &Path {
    if directory.as_os_str().is_empty() { Path::new(".") } else { directory }
}

/// Why a path names no NetCDF file.
fn nothing(path: &Path) -> &'static str {
    match (path.is_dir(), is_glob(path)) {
        (true, _) => "there is no NetCDF file in it",
        (false, true) => "there is no NetCDF file that it matches",
        (false, false) => "there is no such file or directory",
    }
}

fn is_glob(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// True for the name of a NetCDF file, which may be compressed.
fn has_ending(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let inner = Path::new(Compression::stripped(&name));
    let ending = inner.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
    ending.is_some_and(|ending| ENDINGS.contains(&ending.as_str()))
}

/// The ending of a file that looks like data but cannot be read, and what to do.
fn not_read(path: &Path) -> Option<(String, String)> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let within = |ending: &str| name.strip_suffix(ending)?.strip_suffix('.');
    let compressed = COMPRESSED.iter().find_map(|(ending, tool)| {
        let inner = Path::new(within(ending)?);
        let what = format!("it is compressed: decompress it first, with `{tool}`");
        has_ending(inner)
            .then(|| (format!("{}.{ending}", inner.extension().unwrap_or_default().to_string_lossy()), what))
    });
    compressed.or_else(|| {
        let (ending, what) =
            OTHERS.iter().find(|(ending, _)| within(ending).is_some_and(|name| !name.is_empty()))?;
        Some(((*ending).to_owned(), (*what).to_owned()))
    })
}

impl FoundFile {
    /// The name of the dataset. Reading the name from the file takes no longer than `limit`.
    pub(crate) fn name(&self, name_from: &NameFrom, limit: Duration) -> Result<String, Error> {
        let file_name = paths::text(self.path.file_name().unwrap_or_default());
        let path = &self.path.with_file_name(Compression::stripped(&file_name));
        let name = match name_from {
            NameFrom::Stem => path.file_stem().map(|stem| paths::text(stem).into_owned()),
            NameFrom::Path => {
                let below = path.strip_prefix(&self.base).unwrap_or(path).with_extension("");
                let parts: Vec<_> = below.iter().map(|part| paths::text(part).into_owned()).collect();
                Some(parts.join(":"))
            }
            NameFrom::Attribute(key) => self.attribute(key, limit)?,
        };
        name.as_deref().and_then(legal_name).ok_or_else(|| {
            let reason = format!("it has nothing to be named after ({name_from})");
            Error::File { path: self.path.clone(), reason }
        })
    }

    /// The text of a global attribute.
    pub(crate) fn attribute(&self, key: &str, limit: Duration) -> Result<Option<String>, Error> {
        let (path, origin, key) = (self.path.clone(), self.origin.clone(), key.to_owned());
        let found = thread::start(&self.path, move || {
            let failed = |reason| Error::File { path: path.clone(), reason };
            let local = origin.open(&mut || true).map_err(failed)?;
            let opened = File::open(local.path()).map_err(failed)?;
            let attributes = opened.contents().attributes.iter().filter(|of_group| of_group.group.is_empty());
            let attribute =
                attributes.flat_map(|root| &root.attributes).find(|attribute| attribute.name == key);
            let value = attribute.and_then(|attribute| cf::attribute_value(&attribute.value));
            Ok(value.map(|value| value.to_string().trim().to_owned()))
        });
        thread::wait(&self.path, found, limit)
    }
}

/// Converts a text to a legal dataset name, which has no `/` and does not start with `_`.
pub(crate) fn legal_name(name: &str) -> Option<String> {
    let name = name.trim_start_matches('_').replace(['/', '\0'], ":");
    (!name.is_empty()).then_some(name)
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

    const LIMIT: Duration = Duration::from_secs(60);

    fn find(paths: &[PathBuf]) -> Result<Found, Error> {
        find_files(paths, &Temporary::default())
    }

    fn found(paths: &[PathBuf]) -> Found {
        find(paths).unwrap()
    }

    fn names(paths: &[PathBuf], from: &NameFrom) -> Vec<String> {
        let files = found(paths).files.into_iter();
        files.map(|file| file.unwrap().name(from, LIMIT).unwrap()).collect()
    }

    #[test]
    fn directories_globs_and_files_are_found_sorted_and_named() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("b/c")).unwrap();
        for file in ["_z.nc", "b/a.NC", "b/c/y.nc4", "b/readme.txt"] {
            std::fs::write(root.join(file), b"x").unwrap();
        }
        assert_eq!(names(&[root.to_owned()], &NameFrom::Stem), ["z", "a", "y"]);
        assert_eq!(names(&[root.to_owned()], &NameFrom::Path), ["z", "b:a", "b:c:y"]);
        assert_eq!(names(&[root.join("b/*")], &NameFrom::Stem), ["a", "y", "readme"]);
        assert_eq!(names(&[root.join("b/readme.txt")], &NameFrom::Path), ["readme"]);
        assert_eq!(names(&[root.join("_z.nc"), root.to_owned()], &NameFrom::Stem), ["z", "a", "y"]);
        assert_eq!(names(&[root.join("**/*.nc*")], &NameFrom::Path), ["z", "b:c:y"]);
        assert_eq!(names(&[root.join("[ab]/c/?.nc4")], &NameFrom::Path), ["b:c:y"]);
        assert_eq!(names(&[root.join("b/**")], &NameFrom::Stem), ["a", "y"]);
        assert!(find(&[root.join("**b/*")]).unwrap_err().to_string().contains("wildcard"));
        std::fs::create_dir(root.join("empty")).unwrap();
        for (nothing, expected) in [
            ("missing", "there is no such file or directory"),
            ("*.hdf", "there is no NetCDF file that it matches"),
            ("b/c/*.txt", "there is no NetCDF file that it matches"),
            ("empty", "there is no NetCDF file in it"),
        ] {
            let found = find(&[root.join(nothing)]);
            assert!(matches!(found, Err(Error::Nothing { reason, .. }) if reason == expected), "{nothing}");
        }
    }

    #[test]
    fn all_endings_are_found_and_nothing_hidden() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join(".hidden")).unwrap();
        std::fs::create_dir_all(root.join("open")).unwrap();
        let files = ["a.nc", "b.NC4", "c.cdf", "d.NetCDF", "e.h5", "f.HDF5", "g.he5", "open/h.nc"];
        for file in files.into_iter().chain([".x.nc", ".hidden/y.nc", "z.txt", "log.gz", "nc"]) {
            std::fs::write(root.join(file), b"x").unwrap();
        }
        let names = |path: PathBuf| -> Vec<String> {
            assert_eq!(found(std::slice::from_ref(&path)).notices, []);
            names(&[path], &NameFrom::Stem)
        };
        assert_eq!(names(root.to_owned()), ["a", "b", "c", "d", "e", "f", "g", "h"]);
        assert_eq!(names(root.join("*.nc")), ["a"]);
        // Files that are named explicitly are imported even if hidden.
        assert_eq!(names(root.join(".hidden")), ["y"]);
        assert_eq!(names(root.join(".x.nc")), [".x"]);
    }

    #[test]
    fn what_may_be_meant_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("store.zarr/t")).unwrap();
        for file in [
            "a.nc",
            "b.nc.gz",
            "c.NC.GZ",
            "d.nc4.zst",
            "d.nc.xz",
            "e.grib2",
            "f.tar.gz",
            "store.zarr/.zgroup",
        ] {
            std::fs::write(root.join(file), b"x").unwrap();
        }
        let all = found(&[root.to_owned()]);
        let names: Vec<_> = all
            .files
            .iter()
            .map(|file| file.as_ref().unwrap().name(&NameFrom::Stem, LIMIT).unwrap())
            .collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
        let told: Vec<_> =
            all.notices.iter().map(|(_, notice)| (notice.subject.as_str(), notice.detail.as_str())).collect();
        assert_eq!(told[0], ("*.nc.xz", "it is compressed: decompress it first, with `unxz`"));
        assert!(told[1].1.contains("GRIB") && told[2].1.contains("name it to import"), "{told:?}");
        assert_eq!(told[3], ("directories", "it is a Zarr store, which is not read"));
        // If a directory has no other files, this is an error.
        for file in ["a.nc", "b.nc.gz", "c.NC.GZ", "d.nc4.zst"] {
            std::fs::remove_file(root.join(file)).unwrap();
        }
        let error = find(&[root.to_owned()]).unwrap_err();
        assert!(error.to_string().ends_with("d.nc.xz: it is compressed: decompress it first, with `unxz`"));
        let zarr = found(&[root.join("store.zarr")]);
        assert!(zarr.files[0].as_ref().unwrap_err().1.to_string().contains("Zarr"));
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_nowhere_or_in_circles_are_errors_of_their_own() {
        use std::os::unix::fs::symlink;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::write(root.join("a.nc"), b"x").unwrap();
        symlink(root.join("missing"), root.join("b.nc")).unwrap();
        symlink(root.join("missing"), root.join("c.txt")).unwrap();
        symlink(root, root.join("d")).unwrap();
        let files = found(&[root.to_owned()]).files;
        let failed: Vec<_> = files.iter().filter_map(|file| Some(file.as_ref().err()?.0.clone())).collect();
        assert_eq!(files.len(), 3);
        assert_eq!(failed, [root.join("b.nc"), root.join("d")]);
    }

    #[cfg(unix)]
    #[test]
    fn files_whose_names_are_not_utf_8_have_names_of_their_own() {
        use std::os::unix::ffi::OsStrExt;
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        let below = root.join(OsStr::from_bytes(b"\xfc"));
        if std::fs::create_dir(&below).is_err() {
            return; // The file system has no such names.
        }
        for file in [&b"lat\xe91.nc"[..], b"lat\xe81.nc.gz", b"\xfc/lat\xe91.nc", b"lat.nc"] {
            std::fs::write(root.join(OsStr::from_bytes(file)), b"x").unwrap();
        }
        let sorted = |paths: &[PathBuf], from| {
            let mut names = names(paths, from);
            names.sort();
            names
        };
        let all = ["%FC:lat%E91", "lat", "lat%E81", "lat%E91"];
        assert_eq!(sorted(&[root.to_owned()], &NameFrom::Path), all);
        assert_eq!(sorted(&[root.join("*.nc*")], &NameFrom::Stem), ["lat", "lat%E81", "lat%E91"]);
        assert_eq!(sorted(&[root.join("*")], &NameFrom::Path), all);
        assert_eq!(sorted(&[root.join("**/*")], &NameFrom::Path), all);
        assert_eq!(sorted(&[root.join("*/l*.nc")], &NameFrom::Path), ["%FC:lat%E91"]);
        assert_eq!(sorted(&[root.to_owned(), root.join("*")], &NameFrom::Path), all);
        let nothing = find(&[root.join("*.cdf")]).unwrap_err().to_string();
        assert!(nothing.ends_with("*.cdf: there is no NetCDF file that it matches"), "{nothing}");
    }

    #[test]
    fn names_are_chosen_by_word() {
        for from in [NameFrom::Stem, NameFrom::Path, NameFrom::Attribute("id".into())] {
            assert_eq!(from.to_string().parse(), Ok(from));
        }
        assert!("attr:".parse::<NameFrom>().is_err() && "name".parse::<NameFrom>().is_err());
    }
}
