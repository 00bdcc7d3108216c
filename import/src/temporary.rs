//! Files that exist while they are read.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::{Builder, NamedTempFile, TempDir};

/// The names of directories in the system's directory for temporary files begin so.
const PREFIX: &str = "atlas-import-";

/// The temporary files of an import.
#[derive(Clone, Debug, Default)]
pub(crate) struct Temporary(Arc<Mutex<State>>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Unused,
    /// All files are in this directory.
    Used(TempDir),
    Ended,
}

impl Temporary {
    /// A new file.
    pub(crate) fn file(&self) -> io::Result<NamedTempFile> {
        self.within(|directory| NamedTempFile::new_in(directory.path()))
    }

    /// A new directory.
    pub(crate) fn directory(&self) -> io::Result<TempDir> {
        self.within(|directory| tempfile::tempdir_in(directory.path()))
    }

    /// A file in one of the directories.
    pub(crate) fn create(&self, path: &Path) -> io::Result<File> {
        self.within(|_| File::create(path))
    }

    /// Fails once the import has ended.
    pub(crate) fn check(&self) -> io::Result<()> {
        match *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Ended => Err(ended()),
            State::Unused | State::Used(_) => Ok(()),
        }
    }

    fn within<T>(&self, make: impl FnOnce(&TempDir) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*state, State::Unused) {
            *state = State::Used(Builder::new().prefix(PREFIX).tempdir()?);
        }
        match &*state {
            State::Used(directory) => make(directory),
            State::Unused | State::Ended => Err(ended()),
        }
    }

    /// The owner of the files. Once it has ended, no file can be made: else a file that is made while
    /// the directory is deleted could prevent that.
    pub(crate) fn owner(&self) -> Owner {
        Owner(self.clone())
    }
}

fn ended() -> io::Error {
    io::Error::other("the import has ended")
}

/// Deletes all temporary files of an import when it is dropped. Threads that read them may go on
/// for a while, or until the process ends.
pub(crate) struct Owner(Temporary);

impl Drop for Owner {
    fn drop(&mut self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Ended;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_end_with_their_owner() {
        let files = Temporary::default();
        let owner = files.owner();
        let (file, directory) = (files.file().unwrap(), files.directory().unwrap());
        let place = file.path().parent().unwrap().to_owned();
        assert_eq!(directory.path().parent(), Some(place.as_path()));
        drop(owner);
        assert!(!place.exists());
        assert!(files.file().is_err() && files.directory().is_err());
        drop((file, directory));
        // Also if files are made meanwhile.
        let files = Temporary::default();
        let owner = files.owner();
        let directory = files.directory().unwrap();
        let place = directory.path().parent().unwrap().to_owned();
        let (tell, made) = std::sync::mpsc::channel();
        let maker = std::thread::spawn(move || {
            let paths = (0..).map(|number: usize| directory.path().join(number.to_string()));
            for path in paths.take_while(|path| files.create(path).is_ok()) {
                let _ = tell.send(path);
            }
        });
        made.recv().unwrap();
        drop(owner);
        maker.join().unwrap();
        assert!(!place.exists());
        // An import without temporary files makes no directory.
        drop(Temporary::default().owner());
    }
}
