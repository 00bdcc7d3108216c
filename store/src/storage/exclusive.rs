//! Giving a file a name that no other file has. Commits on file systems rely on it.
//!
//! See `docs/decisions/2026-11-27-exclusive-create.md`.

use std::io::{self, ErrorKind};
use std::path::Path;

/// A way to give a complete file its name that fails if the name is taken. Many file systems lack
/// some ways.
#[derive(Clone, Copy)]
pub(super) struct Way {
    name: &'static str,
    /// Gives the file at the first path the second path. The first path may be gone afterwards.
    attempt: fn(&Path, &Path) -> io::Result<()>,
}

/// The ways, in the order in which they are tried.
pub(super) const WAYS: &[Way] = &[
    Way { name: "hard links", attempt: |from, to| std::fs::hard_link(from, to) },
    Way { name: "a rename that replaces nothing", attempt: rename_no_replace },
];

/// Gives the file `from` the name `to`, in the first of `ways` that the file system supports.
///
/// # Errors
/// [`ErrorKind::AlreadyExists`] if the name is taken, [`ErrorKind::Unsupported`] if the file system
/// supports none of the ways.
pub(super) fn publish(ways: &[Way], from: &Path, to: &Path) -> io::Result<()> {
    if let Some(directory) = to.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut lacking = Vec::with_capacity(ways.len());
    for way in ways {
        match (way.attempt)(from, to) {
            Err(error) if is_lacking(&error) => lacking.push(format!("{} ({error})", way.name)),
            done => return done,
        }
    }
    let lacking = lacking.join(" nor ");
    Err(io::Error::new(ErrorKind::Unsupported, format!("{} has neither {lacking}", file_system(to))))
}

/// True if an error means that the file system does not support the operation, rather than that the
/// operation failed.
fn is_lacking(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let errors = [
            Errno::PERM,
            Errno::OPNOTSUPP,
            Errno::NOTSUP,
            Errno::INVAL,
            Errno::NOSYS,
            Errno::MLINK,
            Errno::XDEV,
            Errno::NOTTY,
        ];
        if errors.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error())) {
            return true;
        }
    }
    // ERROR_INVALID_FUNCTION, ERROR_NOT_SUPPORTED, ERROR_TOO_MANY_LINKS
    #[cfg(windows)]
    if [1, 50, 1142].iter().any(|code| error.raw_os_error() == Some(*code)) {
        return true;
    }
    error.kind() == ErrorKind::Unsupported
}

/// `renameat2` with `RENAME_NOREPLACE`, and `renameatx_np` with `RENAME_EXCL`.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_no_replace(from: &Path, to: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_no_replace(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::new(ErrorKind::Unsupported, "not on this operating system"))
}

/// The file system that a path is on, as errors name it.
fn file_system(path: &Path) -> String {
    #[cfg(target_os = "linux")]
    if let Some((point, kind)) = std::fs::read_to_string("/proc/self/mountinfo")
        .ok()
        .and_then(|mounts| mount_of(&mounts, path).map(|(point, kind)| (point, kind.to_owned())))
    {
        return format!("the file system at {point}, `{kind}`,");
    }
    format!("the file system of {}", path.parent().unwrap_or(path).display())
}

/// The innermost mount that contains `path`, and its file system: see `proc_pid_mountinfo(5)`.
#[cfg(target_os = "linux")]
fn mount_of<'a>(mounts: &'a str, path: &Path) -> Option<(String, &'a str)> {
    let mounts = mounts.lines().filter_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = mount.split(' ').nth(4)?;
        let point = point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
        Some((point, kind.split(' ').next()?))
    });
    // Of two mounts at one path, the later hides the earlier.
    mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.len())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The ways of a file system that lacks some of them.
    pub(in crate::storage) const NO_LINKS: &[Way] = &[LACKING, WAYS[1]];
    pub(in crate::storage) const NO_WAY: &[Way] = &[LACKING, LACKING];
    const LACKING: Way = Way { name: "it", attempt: |_, _| Err(ErrorKind::Unsupported.into()) };

    #[test]
    fn of_two_who_create_a_file_one_does() {
        for ways in [WAYS, &WAYS[..1], NO_LINKS] {
            let directory = tempfile::tempdir().unwrap();
            let to = directory.path().join("records/1");
            for round in 0..20 {
                let won: Vec<_> = std::thread::scope(|scope| {
                    let writers: Vec<_> = (0..4)
                        .map(|writer| {
                            let (from, to) = (directory.path().join(format!("{writer}")), to.clone());
                            scope.spawn(move || {
                                std::fs::write(&from, format!("{writer} in {round}")).unwrap();
                                match publish(ways, &from, &to) {
                                    Ok(()) => Some(writer),
                                    Err(error) => {
                                        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
                                        None
                                    }
                                }
                            })
                        })
                        .collect();
                    writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect()
                });
                let [winner] = won[..] else { panic!("{won:?} won") };
                assert_eq!(std::fs::read_to_string(&to).unwrap(), format!("{winner} in {round}"));
                std::fs::remove_file(&to).unwrap();
            }
        }
    }

    #[test]
    fn what_a_file_system_lacks_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("a"), directory.path().join("b"));
        std::fs::write(&from, "").unwrap();
        let error = publish(NO_WAY, &from, &to).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let error = error.to_string();
        assert!(
            error.contains("file system") && error.contains("neither it (unsupported) nor it"),
            "{error}"
        );
        // Other failures are no reason to try another way.
        let denied = Way { name: "it", attempt: |_, _| Err(ErrorKind::StorageFull.into()) };
        let error = publish(&[denied, WAYS[1]], &from, &to).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        assert!(!to.exists());
    }

    #[cfg(unix)]
    #[test]
    fn errors_of_file_systems_without_links_are_known() {
        use rustix::io::Errno;
        for errno in [Errno::PERM, Errno::OPNOTSUPP, Errno::INVAL, Errno::NOSYS, Errno::MLINK] {
            assert!(is_lacking(&errno.into()), "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::NOSPC, Errno::IO, Errno::EXIST, Errno::NOENT, Errno::ROFS] {
            assert!(!is_lacking(&errno.into()), "{errno}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_innermost_mount_is_found() {
        let mounts = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
            40 22 8:17 / /media/my\\040stick rw,nosuid - exfat /dev/sdb1 rw\n\
            41 22 0:45 / /media rw - tmpfs tmpfs rw\n";
        let of = |path: &str| mount_of(mounts, Path::new(path)).unwrap();
        assert_eq!(of("/home/x"), ("/".to_owned(), "ext4"));
        assert_eq!(of("/media/my stick/store/_commits/1"), ("/media/my stick".to_owned(), "exfat"));
        assert_eq!(of("/media/mystick"), ("/media".to_owned(), "tmpfs"));
    }
}
