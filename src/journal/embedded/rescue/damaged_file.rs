//! A damaged file as redb is shown it: whole, closed as it should be, and never written to.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::os::unix::fs::FileExt as _;

use redb::{BackendError, StorageBackend};

/// Where redb notes in a file's head, by a bit, that it was not closed as it should be. Whoever only reads the trees
/// needs none of what is restored then.
const FLAGS_AT: u64 = 9;
const NOT_CLOSED: u8 = 2;

/// A file that this process has locked.
#[derive(Debug)]
pub(super) struct DamagedFile {
    file: File,
    length: u64,
}

impl DamagedFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, length })
    }
}

fn unasked() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "a damaged file is never written to")
}

impl StorageBackend for DamagedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length)
    }

    /// What was cut off is read as zeros, which is no page.
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let there = usize::try_from(self.length.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        self.file.read_exact_at(&mut out[..there], offset)?;
        let flags = FLAGS_AT.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
        if let Some(flags) = flags.and_then(|at| out.get_mut(at)) {
            *flags &= !NOT_CLOSED;
        }
        Ok(())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(unasked())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
        Err(unasked())
    }

    // The lock of the whole file keeps everybody out, so every lock within it is free.

    fn try_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn try_lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(true)
    }

    fn lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn lock_shared_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn unlock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<(), BackendError> {
        Ok(())
    }

    fn query_lock_range(&self, _: Bound<u64>, _: Bound<u64>) -> Result<bool, BackendError> {
        Ok(false)
    }
}
