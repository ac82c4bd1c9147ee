//! A disk in memory that remembers every write, counts syncs, and fails when it is told to.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::StorageBackend;

use crate::journal::embedded::store::EmbeddedStore;
use crate::journal::embedded::{Embedded, JournalFileError, file};

/// One change, in the order in which it was made.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
    Sync,
}

#[derive(Debug, Default)]
pub(super) struct Disk {
    bytes: Mutex<Vec<u8>>,
    changes: Mutex<Vec<Change>>,
    pub(super) syncs: AtomicUsize,
    pub(super) failing: AtomicBool,
    /// A sync ends only when this is over.
    pub(super) slow: AtomicBool,
}

impl Disk {
    /// A disk with these bytes.
    pub(super) fn of(bytes: Vec<u8>) -> Arc<Self> {
        Arc::new(Self { bytes: Mutex::new(bytes), ..Self::default() })
    }

    /// A journal on it with the writer on its own thread.
    pub(super) fn journal(self: &Arc<Self>) -> Result<Embedded, JournalFileError> {
        let (db, shards) = file::on(Attached(Arc::clone(self)), Some(super::SHARDS))?;
        Ok(Embedded {
            store: EmbeddedStore::on_thread((db, None), shards, super::wall)?,
            clock: super::wall,
            node: parking_lot::Mutex::default(),
            glance: parking_lot::Mutex::default(),
        })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    pub(super) fn changes(&self) -> Vec<Change> {
        self.changes.lock().unwrap().clone()
    }

    pub(super) fn changed(&self) -> usize {
        self.changes.lock().unwrap().len()
    }

    fn change(&self, change: Change) -> io::Result<()> {
        if self.failing.load(Ordering::SeqCst) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        apply(&mut self.bytes.lock().unwrap(), &change);
        self.changes.lock().unwrap().push(change);
        Ok(())
    }
}

/// Makes the change in an image.
pub(super) fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, data) => {
            let start = usize::try_from(*offset).unwrap();
            image[start..start + data.len()].copy_from_slice(data);
        }
        Change::Length(length) => image.resize(usize::try_from(*length).unwrap(), 0),
        Change::Sync => {}
    }
}

#[derive(Debug)]
struct Attached(Arc<Disk>);

impl StorageBackend for Attached {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.bytes.lock().unwrap();
        let start = usize::try_from(offset).unwrap();
        let found = bytes.get(start..start + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.change(Change::Length(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        while self.0.slow.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1)); // Until the test says so.
        }
        self.0.syncs.fetch_add(1, Ordering::SeqCst);
        self.0.change(Change::Sync)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.change(Change::Write(offset, data.to_vec()))
    }
}
