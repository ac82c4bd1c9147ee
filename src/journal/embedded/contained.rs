//! Calls of redb on a file that may be damaged.
//!
//! redb compares the sums of pages only when it repairs a file. On a page that was damaged meanwhile it answers with an
//! error or panics, as it happens; here both are the same error, which names what was found.

use std::any::Any;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Database, StorageError};

use crate::telemetry::over_damage;

/// What `call` answers, with a panic as [`StorageError::Corrupted`].
pub(super) fn contained<T, E: From<StorageError>>(call: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
    // What a panic leaves half done is a transaction, which is never committed.
    over_damage(|| catch_unwind(AssertUnwindSafe(call)))
        .unwrap_or_else(|panic| Err(StorageError::Corrupted(text(panic.as_ref()).to_owned()).into()))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a page holds something else than it should")
}

/// An open file. To close it is to write to it, which a damaged one may not survive; whoever closes it has been told
/// by then.
pub(super) struct OpenFile {
    db: Option<Database>,
    /// Whether nothing may be written to it any more, as others have.
    is_abandoned: AtomicBool,
    /// Whether a test wrote to it by another way than the writer.
    #[cfg(test)]
    written_aside: AtomicBool,
}

impl OpenFile {
    pub(super) fn new(db: Database) -> Self {
        Self {
            db: Some(db),
            is_abandoned: AtomicBool::new(false),
            #[cfg(test)]
            written_aside: AtomicBool::new(false),
        }
    }

    #[cfg(test)]
    pub(super) fn note_written_aside(&self) {
        self.written_aside.store(true, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(super) fn was_written_aside(&self) -> bool {
        self.written_aside.swap(false, Ordering::Relaxed)
    }

    /// Leaves it as it is now: it is not closed, and stays locked until this process ends.
    pub(super) fn abandon(&self) {
        self.is_abandoned.store(true, Ordering::Relaxed);
    }
}

impl Deref for OpenFile {
    type Target = Database;

    #[expect(clippy::expect_used, reason = "it is taken out only when it is dropped")]
    fn deref(&self) -> &Database {
        self.db.as_ref().expect("it is open until it is dropped")
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let db = self.db.take();
        if *self.is_abandoned.get_mut() {
            return std::mem::forget(db);
        }
        let closed: Result<(), StorageError> = contained(|| {
            drop(db);
            Ok(())
        });
        if let Err(error) = closed {
            tracing::error!(%error, "the journal's file was not closed as it should be");
        }
    }
}
