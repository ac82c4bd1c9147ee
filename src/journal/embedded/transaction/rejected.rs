//! What is set aside, and its way back.

use bytes::Bytes;
use redb::{ReadableTable as _, ReadableTableMetadata as _, TableHandle as _};

use super::{StorageResult, Transaction};
use crate::journal::embedded::tables::{self, META, Names};
use crate::journal::port::{REJECTED_BYTES_RETAINED, REJECTED_RETAINED, Rejected};
use crate::message::EntryId;

impl Transaction<'_> {
    /// Keeps rejected entries, and deletes the oldest ones when there are too many.
    pub(super) fn reject(&mut self, shard: u16, all: &[Rejected]) -> StorageResult<()> {
        let names = Names::of(shard);
        let mut meta = self.txn.open_table(META)?;
        let table = &mut self.shard(shard)?.rejected;
        // Remembered apart from the entries: a number must not come again when the last entry is requeued.
        let above_last = table.last()?.map_or(0, |(number, _)| number.value() + 1);
        let mut number = meta.get(names.rejected().name())?.map_or(0, |next| next.value()).max(above_last);
        let known = meta.get(names.rejected_bytes())?.map(|bytes| bytes.value());
        let mut bytes = match known {
            Some(bytes) => bytes,
            // A file of an earlier version does not tell.
            None => table.iter()?.map(|item| Ok(item?.1.value().len() as u64)).sum::<StorageResult<u64>>()?,
        };
        let mut deleted = 0;
        for rejected in all {
            let fields = rejected.fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
            let encoded = tables::encode_fields(fields);
            table.insert(number, encoded.as_slice())?;
            (number, bytes) = (number + 1, bytes + encoded.len() as u64);
            while is_too_much(table.len()?, bytes)
                && let Some((_, oldest)) = table.pop_first()?
            {
                bytes = bytes.saturating_sub(oldest.value().len() as u64);
                deleted += 1;
            }
        }
        meta.insert(names.rejected().name(), number)?;
        meta.insert(names.rejected_bytes(), bytes)?;
        if deleted > 0 {
            tracing::warn!(
                shard,
                deleted,
                "rejected entries were deleted: the shard keeps the last {REJECTED_RETAINED}, of {REJECTED_BYTES_RETAINED} \
                 bytes in all"
            );
            self.rejected_deleted += deleted;
        }
        Ok(())
    }

    /// Moves a rejected entry to the end of the messages of `to`. `None` when it is gone.
    pub(in crate::journal::embedded) fn requeue(
        &mut self,
        shard: u16,
        id: EntryId,
        to: u16,
        fields: &[(Bytes, Bytes)],
    ) -> StorageResult<Option<EntryId>> {
        if self.discard(shard, &[id])? == 0 {
            return Ok(None);
        }
        let fields = fields.iter().map(|(name, value)| (name.as_ref(), value.as_ref())).collect::<Vec<_>>();
        self.publish(to, &fields).map(Some)
    }

    /// Deletes rejected entries; how many of them were there.
    pub(in crate::journal::embedded) fn discard(&mut self, shard: u16, ids: &[EntryId]) -> StorageResult<u64> {
        let (mut discarded, mut bytes) = (0, 0);
        for id in ids {
            if let Some(removed) = self.shard(shard)?.rejected.remove(id.ms)? {
                (discarded, bytes) = (discarded + 1, bytes + removed.value().len() as u64);
            }
        }
        let names = Names::of(shard);
        let mut meta = self.txn.open_table(META)?;
        let left = meta.get(names.rejected_bytes())?.map(|all| all.value().saturating_sub(bytes));
        left.map(|left| meta.insert(names.rejected_bytes(), left).map(drop)).transpose()?;
        self.changed |= discarded > 0;
        Ok(discarded)
    }
}

/// Whether a shard has set aside more than it keeps; the newest stays, however large.
fn is_too_much(entries: u64, bytes: u64) -> bool {
    entries > REJECTED_RETAINED as u64 || (entries > 1 && bytes > REJECTED_BYTES_RETAINED as u64)
}
