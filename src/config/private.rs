//! Whether a file or directory is this process' own: what is confidential in it must not be read or changed by others.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Read or written by others.
const OTHERS: u32 = 0o077;
/// Written by others.
const WRITTEN_BY_OTHERS: u32 = 0o022;
/// A directory in which only its owner, and that of an entry, may take the entry away.
const STICKY: u32 = 0o1000;

/// Links on the way to a file at most: Linux follows no more.
const LINKS_MAX: usize = 40;

/// Why a file or directory is not to be trusted; each sentence holds the command that mends it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum Exposed {
    /// Others may read or write a file.
    #[error("others may {verb} {} (mode {mode:03o}): `chmod 600 {}`, or see --allow-shared-files", path.display(), path.display())]
    File { path: PathBuf, mode: u32, verb: &'static str },
    /// Others may put something in a directory.
    #[error(
        "others may write in the directory {} (mode {mode:03o}): `chmod go-w {}`, or see --allow-shared-files",
        path.display(), path.display()
    )]
    Directory { path: PathBuf, mode: u32 },
    /// Another user may do with it as they like.
    #[error(
        "{} belongs to the user {owner}, and this process runs as {own}: `chown -h {own} {}`, or see --allow-shared-files",
        path.display(), path.display()
    )]
    Owner { path: PathBuf, owner: u32, own: u32 },
}

/// Whether files that others may read are taken nevertheless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FileSharing {
    /// They are refused.
    #[default]
    Refused,
    /// They are taken, as where Docker or Kubernetes mounts them.
    Allowed,
}

impl FileSharing {
    /// Judges an open file that holds something confidential, and where it stands: who may write there may put another one in
    /// its place. What is no regular file, such as a pipe, is its opener's.
    ///
    /// # Errors
    /// See [`Exposed`].
    pub fn check_file(self, path: &Path, metadata: &Metadata) -> Result<(), Exposed> {
        if self == Self::Allowed || !metadata.is_file() {
            return Ok(());
        }
        let own = rustix::process::geteuid().as_raw();
        check_owner(path, metadata.uid(), own)?;
        let mode = metadata.mode() & 0o777;
        if mode & OTHERS != 0 {
            let verb = if mode & 0o044 != 0 { "read" } else { "write" };
            return Err(Exposed::File { path: path.to_owned(), mode, verb });
        }
        // Each link may be replaced where it stands, and the file where that does.
        let mut at = path.to_owned();
        for _ in 0..LINKS_MAX {
            check_place(&at, own)?;
            let Ok(target) = std::fs::read_link(&at) else { break };
            at = at.parent().unwrap_or(Path::new("")).join(target);
        }
        std::fs::canonicalize(path).map_or(Ok(()), |file| check_place(&file, own))
    }

    /// Judges a directory in which such files are kept; what it holds is looked at file by file.
    ///
    /// # Errors
    /// See [`Exposed`].
    pub fn check_directory(self, path: &Path, metadata: &Metadata) -> Result<(), Exposed> {
        if self == Self::Allowed {
            return Ok(());
        }
        check_owner(path, metadata.uid(), rustix::process::geteuid().as_raw())?;
        let mode = metadata.mode() & 0o777;
        let path = path.to_owned();
        if mode & WRITTEN_BY_OTHERS == 0 { Ok(()) } else { Err(Exposed::Directory { path, mode }) }
    }

    /// Judges a file by its path; of one that is not there, the place where it will be.
    ///
    /// # Errors
    /// See [`Exposed`]. That it cannot be looked at is told by whoever opens it.
    pub fn check_path(self, path: &Path) -> Result<(), Exposed> {
        let looked: io::Result<Metadata> = std::fs::metadata(path);
        match looked {
            Ok(metadata) => self.check_file(path, &metadata),
            Err(_) if self == Self::Allowed => Ok(()),
            Err(_) => check_place(path, rustix::process::geteuid().as_raw()),
        }
    }
}

/// The directory in which a file stands: its owner may put another file there, and so may whoever may write in it. In one that
/// is sticky, such as the system's for temporary files, these replace only what is theirs, as a link of theirs.
fn check_place(path: &Path, own: u32) -> Result<(), Exposed> {
    let here = Path::new(".");
    let directory = path.parent().map_or(here, |parent| if parent.as_os_str().is_empty() { here } else { parent });
    // Whoever opened the file has been here.
    let Ok(metadata) = std::fs::metadata(directory) else { return Ok(()) };
    check_owner(directory, metadata.uid(), own)?;
    let mode = metadata.mode();
    if mode & WRITTEN_BY_OTHERS == 0 {
        return Ok(());
    }
    if mode & STICKY == 0 {
        return Err(Exposed::Directory { path: directory.to_owned(), mode: mode & 0o777 });
    }
    std::fs::symlink_metadata(path).map_or(Ok(()), |entry| check_owner(path, entry.uid(), own))
}

/// Its own user, or the one who may do everything anyway.
fn check_owner(path: &Path, owner: u32, own: u32) -> Result<(), Exposed> {
    if owner == own || owner == 0 { Ok(()) } else { Err(Exposed::Owner { path: path.to_owned(), owner, own }) }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

    use super::*;

    #[test]
    fn what_another_user_owns_is_refused_with_the_command_that_mends_it() {
        let path = Path::new("/etc/outbound/token");
        for (owner, own) in [(1_000, 1_000), (0, 1_000), (0, 0)] {
            check_owner(path, owner, own).unwrap();
        }
        for (owner, own) in [(1_001, 1_000), (1_000, 0)] {
            let error = check_owner(path, owner, own).unwrap_err().to_string();
            assert!(error.contains(&format!("`chown -h {own} /etc/outbound/token`")), "{error}");
        }
    }

    #[test]
    fn whose_directory_it_is_may_put_another_file_there() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("token"), directory.path().join("link"));
        std::fs::write(&path, "").unwrap();
        symlink(&path, &link).unwrap();
        // Root's are taken from everybody, so root gives these to another user.
        let this = rustix::process::geteuid().as_raw();
        let owner = if this == 0 { 1_000 } else { this };
        let give = |path: &Path, to: u32| {
            if this == 0 {
                lchown(path, Some(to), None).unwrap()
            }
        };
        give(directory.path(), owner);
        give(&link, owner);
        let (own, set_mode) =
            (owner + 1, |mode| std::fs::set_permissions(directory.path(), Permissions::from_mode(mode)));
        for mode in [0o700, 0o755, 0o1777] {
            set_mode(mode).unwrap();
            check_place(&path, owner).unwrap();
            let error = check_place(&path, own).unwrap_err().to_string();
            assert!(error.contains(&format!("`chown -h {own} {}`", directory.path().display())), "{mode:o}: {error}");
        }
        // A link of somebody else's, in the directory that everybody shares.
        if this == 0 {
            give(directory.path(), 0);
            let error = check_place(&link, own).unwrap_err().to_string();
            assert!(error.contains(&format!("`chown -h {own} {}`", link.display())), "{error}");
            set_mode(0o755).unwrap();
            check_place(&link, own).unwrap();
        }
    }
}
