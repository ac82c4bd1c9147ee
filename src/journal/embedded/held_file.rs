//! Whether the open file is still the one at its path. The system lets anybody delete, replace or cut off a file that is
//! open: what is written then is acknowledged and found by nobody, least of all by the next start.

use std::fs::{Metadata, metadata};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The file that was opened.
#[derive(Debug)]
pub(super) struct HeldFile {
    path: PathBuf,
    /// Its device and its number there.
    identity: (u64, u64),
    /// How long it was when this process had written to it last; nobody else may make it shorter.
    length: u64,
}

impl HeldFile {
    /// The file that was opened at `path` just now.
    ///
    /// # Errors
    /// It is gone already, or not to be looked at.
    pub(super) fn new(path: &Path) -> Result<Self, Error> {
        let found = metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: identity(&found), length: found.len() })
    }

    /// To be asked before anything is written.
    ///
    /// # Errors
    /// It was deleted, moved, replaced or cut off.
    pub(super) fn check(&self) -> Result<(), Error> {
        match self.found()? {
            Some(length) if length < self.length => Err(Error::new(
                ErrorKind::UnexpectedEof,
                format!("{} was cut off while the service ran", self.path.display()),
            )),
            _ => Ok(()),
        }
    }

    /// To be asked after something was written, before anybody is told that it is stored.
    ///
    /// # Errors
    /// It was deleted, moved or replaced.
    pub(super) fn check_written(&mut self) -> Result<(), Error> {
        self.length = self.found()?.unwrap_or(self.length);
        Ok(())
    }

    /// Its length; nothing where it may not be looked at, which says nothing of it.
    fn found(&self) -> Result<Option<u64>, Error> {
        match metadata(&self.path) {
            Ok(found) if identity(&found) == self.identity => Ok(Some(found.len())),
            Ok(_) => Err(self.lost("another file was put in its place")),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Err(self.lost("it was deleted or moved"))
            }
            Err(_) => Ok(None),
        }
    }

    fn lost(&self, how: &str) -> Error {
        Error::other(format!(
            "{} is not the file any more that this service has opened: {how} while the service ran, and what is stored now would \
             be found by nobody. Put the file there that is to be used",
            self.path.display()
        ))
    }
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}
