//! The address of a store: a directory, a URL, or a prefix of an object store.

use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use url::Url;

use crate::error::{Error, Result};
use crate::storage::durability::{Disk, kind};
use crate::storage::files::Storage;
use crate::storage::patience::{PATIENCE, Patience};
use crate::storage::remote;

/// The location of a store, for [`Options::open`](crate::options::Options::open) and
/// [`Options::create`](crate::options::Options::create).
///
/// It can be made from a path, from text that is a path or a URL (see [`Storage::at`]), from a URL,
/// from an object store with a prefix in it, or from a [`Storage`].
#[derive(Clone)]
pub struct Location(Place);

#[derive(Clone)]
enum Place {
    /// A URL or a path, as the user typed it.
    Address(String),
    Path(PathBuf),
    Objects(Arc<dyn ObjectStore>, Path),
    Storage(Storage),
}

impl Location {
    /// The storage at this location. `options` configure the client of a provider: see
    /// [`Storage::with_options`].
    pub(crate) fn storage(self, options: Vec<(String, String)>) -> Result<Storage> {
        let storage = match self.0 {
            Place::Address(address) => return Storage::with_options(&address, options),
            Place::Path(path) => Storage::local(path)?,
            Place::Objects(objects, prefix) => Storage::new(objects, prefix),
            Place::Storage(storage) => storage,
        };
        match options.first() {
            Some((option, _)) => Err(unconfigured(storage.to_string(), option)),
            None => Ok(storage),
        }
    }
}

impl From<&FilePath> for Location {
    fn from(path: &FilePath) -> Self {
        Self(Place::Path(path.to_owned()))
    }
}

impl From<PathBuf> for Location {
    fn from(path: PathBuf) -> Self {
        Self(Place::Path(path))
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        Self(Place::Path(path.clone()))
    }
}

impl From<&str> for Location {
    fn from(address: &str) -> Self {
        Self(Place::Address(address.to_owned()))
    }
}

impl From<String> for Location {
    fn from(address: String) -> Self {
        Self(Place::Address(address))
    }
}

impl From<&String> for Location {
    fn from(address: &String) -> Self {
        Self(Place::Address(address.clone()))
    }
}

impl From<Url> for Location {
    fn from(url: Url) -> Self {
        Self(Place::Address(url.into()))
    }
}

impl From<&Url> for Location {
    fn from(url: &Url) -> Self {
        Self(Place::Address(url.as_str().to_owned()))
    }
}

impl From<(Arc<dyn ObjectStore>, Path)> for Location {
    fn from((objects, prefix): (Arc<dyn ObjectStore>, Path)) -> Self {
        Self(Place::Objects(objects, prefix))
    }
}

impl<T: ObjectStore> From<(Arc<T>, Path)> for Location {
    fn from((objects, prefix): (Arc<T>, Path)) -> Self {
        Self(Place::Objects(objects, prefix))
    }
}

impl From<Storage> for Location {
    fn from(storage: Storage) -> Self {
        Self(Place::Storage(storage))
    }
}

impl From<&Storage> for Location {
    fn from(storage: &Storage) -> Self {
        Self(Place::Storage(storage.clone()))
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let location = match &self.0 {
            Place::Address(address) => match url_of(address) {
                Some(url) => without_credentials(&url),
                None => address.clone(),
            },
            Place::Path(path) => path.display().to_string(),
            Place::Objects(_, prefix) => prefix.to_string(),
            Place::Storage(storage) => storage.to_string(),
        };
        write!(f, "Location({location})")
    }
}

impl Storage {
    /// The objects under `prefix` of `objects`. The address of the object store in memory
    /// identifies the store: two object stores at the same address are assumed to be the same.
    pub fn new(objects: Arc<dyn ObjectStore>, prefix: Path) -> Self {
        static OTHERS: AtomicU64 = AtomicU64::new(0);
        let number = OTHERS.fetch_add(1, Ordering::Relaxed);
        Self::of(objects, prefix, unnamed_root(number))
    }

    /// A directory, which need not exist.
    pub fn local(path: impl AsRef<FilePath>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |reason: String| Error::Location { location: path.display().to_string(), reason };
        let absolute = std::path::absolute(path).map_err(|e| failed(e.to_string()))?;
        let there = absolute.ancestors().find_map(|path| Some((path, path.metadata().ok()?)));
        if let Some((there, kind)) = there.and_then(|(path, known)| Some((path, kind(&known, false)?))) {
            return Err(failed(if there == absolute {
                format!("it is {kind}, not a directory")
            } else {
                format!("{} is {kind}, not a directory", there.display())
            }));
        }
        let absolute = resolve(&absolute);
        let prefix = Path::from_absolute_path(&absolute).map_err(|e| failed(e.to_string()))?;
        let root = Url::parse("file:///").map_err(|e| failed(e.to_string()))?;
        let objects = Arc::new(LocalFileSystem::new());
        let disk = Disk::new(Arc::clone(&objects));
        let storage = Self::of(objects, prefix, root).with_durability(Arc::new(disk));
        Ok(match Url::from_file_path(&absolute) {
            Ok(address) => storage.with_address(address.into()),
            Err(()) => storage,
        })
    }

    /// The storage that a URL names (`file`, `memory`, `s3`, `gs`, `az`, `http` and similar
    /// schemes). Text that is not a URL is a local path.
    ///
    /// Credentials and settings come from the environment variables that [`object_store`] documents
    /// for the provider: those that start with `AWS_` for `s3`, with `GOOGLE_` (and
    /// `SERVICE_ACCOUNT`) for `gs`, with `AZURE_` (and `IDENTITY_ENDPOINT`) for `az`, and none for
    /// `http`. No other variables are read. [`with_options`](Self::with_options) takes settings
    /// explicitly.
    ///
    /// A connection may take 5 seconds, the start of the answer to a request without a body 10
    /// seconds, and the whole answer to any request 30 seconds. `AWS_CONNECT_TIMEOUT` and
    /// `AWS_TIMEOUT` change the first and the last. Requests with a temporary failure are repeated
    /// up to ten times, as long as the first attempt began less than 15 seconds ago.
    ///
    /// # Errors
    /// [`Error::Location`] if the URL, the path or a variable cannot be used.
    pub fn at(location: &str) -> Result<Self> {
        Self::with_options(location, [])
    }

    /// The storage that [`at`](Self::at) returns for `location`, with storage options.
    ///
    /// Their keys are the configuration keys of [`object_store`], with or without the provider's
    /// prefix: `region` or `aws_region`, `endpoint`, `access_key_id`, `allow_http`, `timeout`. If a
    /// key is given twice, the last value holds. An option takes precedence over the environment
    /// variable with its meaning. An option for credentials takes precedence over all variables for
    /// credentials.
    ///
    /// # Errors
    /// [`Error::Location`], as for [`at`](Self::at). Also if a key is unknown to the provider or is
    /// part of the address (the bucket), and if `location` has no client to configure: a local path
    /// or `memory`. The error names the key, and never shows the value of a secret.
    pub fn with_options(location: &str, options: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let options: Vec<_> = options.into_iter().collect();
        let Some(url) = url_of(location) else {
            check_unconfigured(location, &options)?;
            return Self::local(location);
        };
        // The errors of the storage client would show a password.
        if url.password().is_some() {
            let reason = "it has a password in it: give credentials as storage options or in the environment";
            return Err(unusable(&url, reason));
        }
        if url.scheme() == "file" {
            check_unconfigured(&without_credentials(&url), &options)?;
            let path = url.to_file_path().map_err(|()| unusable(&url, "it is not an absolute path"))?;
            return Self::local(path);
        }
        if url.scheme() == "memory" {
            static MEMORY: OnceLock<Arc<InMemory>> = OnceLock::new();
            check_unconfigured(&without_credentials(&url), &options)?;
            let prefix = Path::from_url_path(url.path()).map_err(|e| unusable(&url, &e.to_string()))?;
            let objects = Arc::clone(MEMORY.get_or_init(Arc::default));
            return Ok(Self::of(objects, prefix, root_of(&url)).with_address(without_credentials(&url)));
        }
        Self::remote(&url, std::env::vars_os(), &options, PATIENCE)
    }

    /// A storage on the network. Settings come from `options`, and otherwise from `environment`.
    pub(super) fn remote(
        url: &Url,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        options: &[(String, String)],
        patience: Patience,
    ) -> Result<Self> {
        let (objects, prefix) =
            remote::open(url, environment, options, patience).map_err(|reason| unusable(url, &reason))?;
        Ok(Self::of(objects, prefix, root_of(url)).with_address(without_credentials(url)))
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.root().scheme() == "file" {
            write!(f, "/{}", self.prefix)
        } else {
            write!(f, "{}://{}/{}", self.root().scheme(), self.root().authority(), self.prefix)
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({self})")
    }
}

/// The URL of an address that is not a path. A single letter is a drive of Windows rather than a
/// scheme.
fn url_of(address: &str) -> Option<Url> {
    Url::parse(address).ok().filter(|url| url.scheme().len() > 1)
}

fn check_unconfigured(location: &str, options: &[(String, String)]) -> Result<()> {
    options.first().map_or(Ok(()), |(option, _)| Err(unconfigured(location.to_owned(), option)))
}

/// The error for storage options of a location without a client.
fn unconfigured(location: String, option: &str) -> Error {
    let reason =
        format!("the storage option `{option}` is only for addresses of object stores, such as s3://…");
    Error::Location { location, reason }
}

/// An absolute path without links and `..`, which have no meaning in the path of an object. Parts
/// of the path that do not exist yet are resolved by their text alone.
fn resolve(path: &FilePath) -> PathBuf {
    let existing = path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    let Some((ancestor, mut resolved)) = existing else { return path.to_owned() };
    for part in path.strip_prefix(ancestor).unwrap_or(path).components() {
        match part {
            Component::ParentDir => {
                resolved.pop();
            }
            Component::Normal(name) => resolved.push(name),
            _ => {}
        }
    }
    resolved
}

#[allow(clippy::expect_used)]
fn unnamed_root(number: u64) -> Url {
    Url::parse(&format!("atlas-{number}://store")).expect("the address is well formed")
}

/// The URL of the object store of a URL.
fn root_of(url: &Url) -> Url {
    let mut root = url.clone();
    root.set_path("");
    remove_credentials(&mut root);
    root
}

/// Errors of libraries repeat the address, which may contain credentials.
fn unusable(url: &Url, reason: &str) -> Error {
    let location = without_credentials(url);
    Error::Location { reason: reason.replace(url.as_str(), &location), location }
}

fn without_credentials(url: &Url) -> String {
    let mut url = url.clone();
    remove_credentials(&mut url);
    url.to_string()
}

fn remove_credentials(url: &mut Url) {
    // In `abfss://container@account.dfs.core.windows.net/`, the container is where other URLs have a
    // user.
    if !matches!(url.scheme(), "abfs" | "abfss") {
        let _ = url.set_username("");
    }
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_shows_no_credentials() {
        let storage = Storage::at("memory://user@host/a/b?key=secret").unwrap();
        assert_eq!(storage.to_string(), "memory://host/a/b");
        for scheme in ["memory", "https", "gopher"] {
            let error = Storage::at(&format!("{scheme}://user:secret@host/a")).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn a_storage_is_found_again_by_its_address() {
        for (location, expected) in [
            ("/tmp/no such store", "file:///tmp/no%20such%20store"),
            ("file:///tmp/100%25", "file:///tmp/100%25"),
            ("memory://user@host/a%20b?key=secret", "memory://host/a%20b"),
            ("s3://user@bucket/a/b", "s3://bucket/a/b"),
            ("abfss://ocean@account.dfs.core.windows.net/a", "abfss://ocean@account.dfs.core.windows.net/a"),
        ] {
            let storage = Storage::at(location).unwrap();
            assert_eq!(storage.address(), Some(expected));
            let again = Storage::at(expected).unwrap();
            assert_eq!((again.path("x"), again.root()), (storage.path("x"), storage.root()));
        }
        assert_eq!(Storage::new(Arc::new(InMemory::new()), Path::from("a")).address(), None);
    }

    #[test]
    fn a_path_may_lead_up_and_need_not_exist() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("a")).unwrap();
        let at = |path: &str| Storage::local(root.join(path)).unwrap().to_string();
        assert_eq!(at("a/../new store/é"), root.join("new store/é").to_string_lossy());
        assert_eq!(at("b/../c/./d"), root.join("c/d").to_string_lossy());
        assert_eq!(at("a"), root.join("a").to_string_lossy());
        std::fs::write(root.join("file"), "").unwrap();
        assert!(Storage::local(root.join("file")).is_err());
    }

    #[test]
    fn a_path_is_local() {
        assert_eq!(Storage::at("/tmp/no such store").unwrap().to_string(), "/tmp/no such store");
        assert_eq!(Storage::at("file:///tmp/x").unwrap().to_string(), "/tmp/x");
    }

    #[test]
    fn options_are_for_clients_of_providers() {
        let with = |location: &str, options: &[(&str, &str)]| {
            let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
            Storage::with_options(location, options)
        };
        for location in ["/tmp/no such store", "file:///tmp/x", "memory:///x", "no such store"] {
            let error = with(location, &[("region", "a-value")]).unwrap_err();
            assert!(matches!(error, Error::Location { .. }), "{error:?}");
            assert!(error.to_string().contains("`region`"), "{error}");
            assert!(!format!("{error} {error:?}").contains("a-value"), "{error:?}");
        }
        let storage = with("s3://bucket/store", &[("region", "eu-north-1")]).unwrap();
        assert_eq!(storage.to_string(), "s3://bucket/store");
        let error = with("s3://bucket/store", &[("reign", "a-value")]).unwrap_err().to_string();
        assert!(error.contains("`reign`") && !error.contains("a-value"), "{error}");
    }

    #[test]
    fn a_location_is_a_path_a_url_or_a_place_in_an_object_store() {
        let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let url = Url::parse("memory:///a").unwrap();
        for (location, expected) in [
            (Location::from("memory:///a"), "memory:///a"),
            (Location::from("memory:///a".to_owned()), "memory:///a"),
            (Location::from(&url), "memory:///a"),
            (Location::from(url.clone()), "memory:///a"),
            (Location::from("/tmp/x"), "/tmp/x"),
            (Location::from(FilePath::new("/tmp/x")), "/tmp/x"),
            (Location::from(PathBuf::from("/tmp/x")), "/tmp/x"),
            (Location::from(&Storage::at("memory:///a").unwrap()), "memory:///a"),
        ] {
            assert_eq!(format!("{location:?}"), format!("Location({expected})"));
            assert_eq!(location.storage(Vec::new()).unwrap().to_string(), expected);
        }
        for location in [
            Location::from((objects, Path::from("a"))),
            Location::from((Arc::new(InMemory::new()), Path::from("a"))),
        ] {
            assert!(location.clone().storage(Vec::new()).unwrap().to_string().ends_with("://store/a"));
            let error = location.storage(vec![("region".to_owned(), "r".to_owned())]).unwrap_err();
            assert!(error.to_string().contains("`region`"), "{error}");
        }
        let secret = Location::from("s3://user:secret@bucket/a?sig=secret");
        assert_eq!(format!("{secret:?}"), "Location(s3://bucket/a)");
    }
}
