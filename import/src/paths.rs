//! Paths as text. On most systems paths may have bytes that are not UTF-8.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use url::Url;

/// A path or a name as text. Bytes that are not UTF-8 become `%XX`, so that different names stay
/// different.
pub(crate) fn text(path: &OsStr) -> Cow<'_, str> {
    path.to_str().map_or_else(|| Cow::Owned(encoded(path, "")), Cow::Borrowed)
}

/// A path with `%XX` for bytes that are not UTF-8, and for the characters `special`.
fn encoded(path: &OsStr, special: &str) -> String {
    let mut text = String::new();
    let add = |text: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Writing to a String does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    };
    for chunk in path.as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match special.contains(character) {
                true => add(&mut text, character.encode_utf8(&mut [0; 4]).as_bytes()),
                false => text.push(character),
            }
        }
        add(&mut text, chunk.invalid());
    }
    text
}

/// Where a file is, as text: its absolute path, and after `#` its path in the archive at that path.
/// If these are not UTF-8, it is a `file:` URL, so that no two files have the same location.
pub(crate) fn location(path: &Path, member: Option<&Path>) -> String {
    let is_text = |path: &Path| path.to_str().is_some();
    let url = match is_text(path) && member.is_none_or(is_text) {
        true => None,
        false => Url::from_file_path(path).ok(),
    };
    let (base, special) = match url {
        Some(url) => (String::from(url), "%"),
        None => (text(path.as_os_str()).into_owned(), ""),
    };
    match member {
        Some(member) => format!("{base}#{}", encoded(member.as_os_str(), special)),
        None => base,
    }
}

/// The path of a file at a [`location`].
pub(crate) fn at(location: &str) -> PathBuf {
    let url = Url::parse(location).ok().filter(|url| url.scheme() == "file");
    url.and_then(|url| url.to_file_path().ok()).unwrap_or_else(|| PathBuf::from(location))
}

/// True if there is a file at a [`location`], or for a file in an archive, the archive.
pub(crate) fn is_there(location: &str) -> bool {
    let archive = location.rsplit_once('#').map(|(archive, _)| archive);
    at(location).exists() || archive.is_some_and(|archive| at(archive).is_file())
}

#[cfg(all(test, unix))]
mod tests {
    use std::collections::HashSet;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_file_in_an_archive_is_there_with_the_archive() {
        let directory = tempfile::tempdir().unwrap();
        let archive = directory.path().join("a.tar");
        let member = location(&archive, Some(Path::new("in/x.nc")));
        assert!(!is_there(&member));
        std::fs::write(&archive, "").unwrap();
        assert!(is_there(&member) && is_there(&location(&archive, None)));
        assert!(!is_there(&location(&directory.path().join("b#c"), None)));
    }

    #[test]
    fn different_paths_are_different_text() {
        let names: [&[u8]; 6] = [
            b"/d/lat\xe91.nc",
            b"/d/lat\xe81.nc",
            "/d/laté1.nc".as_bytes(),
            b"/d/l\xff%E9",
            b"/d/%E9 #",
            b"/d/",
        ];
        let paths = names.map(|name| Path::new(OsStr::from_bytes(name)));
        let texts: HashSet<_> = paths.iter().map(|path| text(path.as_os_str())).collect();
        assert_eq!(texts.len(), paths.len());
        assert!(texts.contains("/d/lat%E91.nc") && texts.contains("/d/laté1.nc"));

        let mut locations = HashSet::new();
        for path in paths.into_iter().chain([Path::new("/d/lat%E91.nc")]) {
            assert_eq!(at(&location(path, None)), path);
            assert!(locations.insert(location(path, None)));
            for member in paths {
                assert!(locations.insert(location(path, Some(member))), "{path:?} {member:?}");
            }
        }
        assert_eq!(location(Path::new("/d/a%20é.nc"), None), "/d/a%20é.nc");
        assert_eq!(location(Path::new("/d/a.tar"), Some(Path::new("x/%.nc"))), "/d/a.tar#x/%.nc");
        assert_eq!(location(paths[0], None), "file:///d/lat%E91.nc");
    }
}
