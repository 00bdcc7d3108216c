//! The locations that a worker may open.

use std::fmt;

use atlas::Storage;
use datafusion::common::{Result, config_datafusion_err};

/// A prefix of locations: a directory, or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    shown: String,
    parts: Vec<String>,
}

impl Prefix {
    /// The prefix for a directory or a URL. `s3://bucket/ocean` contains
    /// `s3://bucket/ocean/argo`, but not `s3://bucket/oceans`.
    ///
    /// # Errors
    /// `location` is not a directory or URL that can hold stores.
    pub fn new(location: &str) -> Result<Self> {
        let wrong =
            |reason: String| config_datafusion_err!("`{location}` cannot be a location of stores: {reason}");
        let storage = Storage::at(location).map_err(|e| wrong(e.to_string()))?;
        let address = storage.address().ok_or_else(|| wrong("it has no address".to_owned()))?;
        let parts = parts(address).ok_or_else(|| wrong("its path contains `..` or `.`".to_owned()))?;
        Ok(Self { shown: location.to_owned(), parts })
    }

    /// True if a store at `address` is under the prefix. Links are resolved, as they are when the
    /// store is opened.
    pub(crate) fn has(&self, address: &str) -> bool {
        let is_file = url::Url::parse(address).is_ok_and(|url| url.scheme() == "file");
        let local = is_file.then(|| Storage::at(address));
        let parts = match &local {
            Some(Ok(storage)) => storage.address().and_then(parts),
            Some(Err(_)) => None,
            None => parts(address),
        };
        parts.is_some_and(|parts| parts.starts_with(&self.parts))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The scheme, the authority and the segments of the path; `None` if the path could lead out of a
/// prefix.
fn parts(address: &str) -> Option<Vec<String>> {
    let url = url::Url::parse(address).ok()?;
    let mut parts = vec![url.scheme().to_owned(), url.authority().to_ascii_lowercase()];
    for part in url.path().split('/').filter(|part| !part.is_empty()) {
        let decoded = percent_encoding::percent_decode_str(part).decode_utf8().ok()?;
        // Object stores treat an encoded slash as a slash.
        for part in decoded.split('/').filter(|part| !part.is_empty()) {
            if part == ".." || part == "." {
                return None;
            }
            parts.push(part.to_owned());
        }
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_of_whole_names() {
        for (prefix, address, expected) in [
            ("s3://bucket/ocean", "s3://bucket/ocean", true),
            ("s3://bucket/ocean/", "s3://bucket/ocean/argo", true),
            ("s3://bucket", "s3://bucket/ocean", true),
            ("s3://bucket/ocean", "s3://bucket/oceans", false),
            ("s3://bucket/ocean", "s3://other/ocean", false),
            ("s3://bucket/ocean", "s3://bucket/ocean/../secret", false),
            ("s3://bucket/ocean", "s3://bucket/ocean/%2e%2e/secret", false),
            ("s3://bucket/ocean", "s3://bucket/ocean%2F..%2Fsecret", false),
            ("s3://bucket/ocean", "s3://bucket/oce%61n/argo", true),
            ("s3://bucket/ocean", "memory:///ocean", false),
            ("/no such directory/a", "file:///no%20such%20directory/a/b", true),
            ("/no such directory/a", "file:///no%20such%20directory/ab", false),
        ] {
            let found = Prefix::new(prefix).unwrap().has(address);
            assert_eq!(found, expected, "{address} under {prefix}");
        }
        assert!(Prefix::new("gopher://x").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_do_not_lead_out_of_a_prefix() {
        let directory = tempfile::tempdir().unwrap();
        let [allowed, secret] = ["allowed", "secret"].map(|name| directory.path().join(name));
        for path in [&allowed, &secret] {
            std::fs::create_dir_all(path.join("store")).unwrap();
        }
        std::os::unix::fs::symlink(&secret, allowed.join("link")).unwrap();
        std::os::unix::fs::symlink(&allowed, directory.path().join("other")).unwrap();
        let url = |path: std::path::PathBuf| url::Url::from_file_path(path).unwrap().to_string();
        let prefix = Prefix::new(allowed.to_str().unwrap()).unwrap();
        assert!(prefix.has(&url(allowed.join("store"))));
        assert!(prefix.has(&url(directory.path().join("other/store"))));
        assert!(!prefix.has(&url(allowed.join("link/store"))));
        assert!(!prefix.has(&url(allowed.join("link/new"))));
        assert!(!prefix.has(&url(allowed.join("link/store")).replace("file:", " FILE:")));
        assert!(!prefix.has(&url(secret.join("store"))));
    }
}
