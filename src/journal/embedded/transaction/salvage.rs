//! What can still be read of a workspace, whatever is damaged: its record, its lists, or single events.

use bytes::Bytes;
use redb::ReadableTable as _;

use super::{StorageResult, Transaction};
use crate::journal::embedded::contained::contained;
use crate::journal::embedded::tables::{self, Places, Record};
use crate::journal::port::Salvage;
use crate::journal::salvage::{self, Remains};
use crate::message::WorkspaceId;

impl Transaction<'_> {
    /// What can still be read of a workspace.
    pub(in crate::journal::embedded) fn salvage(&mut self, workspace: &WorkspaceId) -> StorageResult<Salvage> {
        let (mut odd, mut unreadable) = (0, 0);
        let record = readable(|| Ok(self.records.get(workspace)?.0.clone()), &mut odd)?.unwrap_or_default();
        let places = || {
            let stored = self.histories.get(workspace.as_str())?.map(|bytes| tables::decode_places(bytes.value()));
            Ok(stored.transpose()?)
        };
        let places = readable(places, &mut odd)?.flatten().unwrap_or_default();
        let mut standing = |places: &Places| {
            let mut found = Vec::with_capacity(places.len());
            for place in places {
                let one = || Ok(tables::events_at(&self.events, &Places::from([*place]), 0)?);
                found.extend(readable(one, &mut unreadable)?.unwrap_or_default());
            }
            StorageResult::Ok(found)
        };
        let (attempts, history) = (standing(&record.attempts)?, standing(&places)?);
        let skipped = || Ok(self.skipped.get(workspace.as_str())?.map(|newest| Bytes::copy_from_slice(newest.value())));
        let skipped = readable(skipped, &mut odd)?.flatten();
        let unreadable = usize::try_from(unreadable).unwrap_or(usize::MAX);
        let Record { snapshot, top, .. } = record;
        Ok(salvage::salvage(Remains { snapshot, attempts, history, unreadable, odd, skipped, top }))
    }
}

/// What is read, or `None` where it cannot be, which is counted.
fn readable<T>(read: impl FnOnce() -> StorageResult<T>, damaged: &mut u64) -> StorageResult<Option<T>> {
    match contained(read) {
        Ok(read) => Ok(Some(read)),
        Err(redb::Error::Corrupted(_)) => {
            *damaged += 1;
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
