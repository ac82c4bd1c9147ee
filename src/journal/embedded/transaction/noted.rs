//! What is noted of no workspace: the keys that seal something, and the operator's sessions that ended.

use redb::ReadableTable as _;

use super::{StorageResult, Transaction};
use crate::journal::embedded::tables::{self, ENDED_SESSION, META};
use crate::journal::port::OPERATOR_SESSIONS_ENDED_MAX;

impl Transaction<'_> {
    /// Notes a key as sealing something, or without a print notes it no more.
    pub(in crate::journal::embedded) fn note_sealing_key(&mut self, id: &str, print: Option<u64>) -> StorageResult<()> {
        let mut meta = self.txn.open_table(META)?;
        let name = tables::sealing_key(id);
        match print {
            Some(print) => drop(meta.insert(name.as_str(), print)?),
            None => drop(meta.remove(name.as_str())?),
        }
        self.changed = true;
        Ok(())
    }

    /// Remembers until `until_ms` that a session of the operator ended. `false`: as many are remembered already.
    pub(in crate::journal::embedded) fn end_session(&mut self, id: &str, until_ms: u64) -> StorageResult<bool> {
        let mut meta = self.txn.open_table(META)?;
        let (mut over, mut known) = (Vec::new(), 0);
        for item in meta.range(ENDED_SESSION..)? {
            let (name, until) = item?;
            if !name.value().starts_with(ENDED_SESSION) {
                break;
            }
            known += 1;
            if until.value() <= self.now_ms {
                over.push(name.value().to_owned());
            }
        }
        for name in &over {
            meta.remove(name.as_str())?;
        }
        self.changed = true;
        let name = tables::ended_session(id);
        if known - over.len() >= OPERATOR_SESSIONS_ENDED_MAX && meta.get(name.as_str())?.is_none() {
            return Ok(false);
        }
        meta.insert(name.as_str(), until_ms)?;
        Ok(true)
    }
}
