//! Whether the open file is still the one at its path, and as this process wrote it. The system lets anybody delete, replace,
//! overwrite or cut off a file that is open: what is written then is acknowledged and found by nobody, least of all by the
//! next start, and what was put there is destroyed by it.

use std::fs::{File, Metadata, metadata};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Bytes of redb's head, in which every transaction writes its number and the sums of its trees: those of another file, or of
/// an earlier state of this one, differ.
const HEAD_BYTES: usize = 320;

/// The file that was opened.
#[derive(Debug)]
pub(super) struct HeldFile {
    path: PathBuf,
    file: File,
    /// As this process had written it last.
    head: Box<[u8; HEAD_BYTES]>,
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
        let file = File::open(path)?;
        let found = file.metadata()?;
        let head = head(&file)?;
        Ok(Self { path: path.to_owned(), file, head, identity: identity(&found), length: found.len() })
    }

    /// To be asked before anything is written.
    ///
    /// # Errors
    /// It was deleted, moved, replaced, overwritten or cut off.
    pub(super) fn check(&self) -> Result<(), Error> {
        let found = self.found()?;
        match head(&self.file) {
            Ok(head) if head != self.head => {
                return Err(Error::other(format!(
                    "{} was written to by another program while the service ran, as when a copy is put back into it. Nothing more was \
                 written to it. Stop the service first, then put the copy there",
                    self.path.display()
                )));
            }
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => return Err(error),
            _ => {}
        }
        if found.is_some_and(|length| length < self.length) {
            let how = format!("{} was cut off while the service ran", self.path.display());
            return Err(Error::new(ErrorKind::UnexpectedEof, how));
        }
        Ok(())
    }

    /// To be asked after something was written, before anybody is told that it is stored.
    ///
    /// # Errors
    /// It was deleted, moved or replaced.
    pub(super) fn check_written(&mut self) -> Result<(), Error> {
        self.length = self.found()?.unwrap_or(self.length);
        self.head = head(&self.file)?;
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

fn head(file: &File) -> Result<Box<[u8; HEAD_BYTES]>, Error> {
    let mut head = Box::new([0; HEAD_BYTES]);
    file.read_exact_at(&mut *head, 0)?;
    Ok(head)
}

fn identity(found: &Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}
