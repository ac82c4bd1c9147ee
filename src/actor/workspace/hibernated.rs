//! A workspace without work is hibernated: its actor ends, and only its snapshot, as in the journal, and what no journal
//! holds stay in its account. Whatever is undone for it next reactivates it, without a load.
//! `cargo bench --bench load -- --scenario idle` measures its memory.

use crate::actor::book::entries::HeldEntries;
use crate::actor::workspace::core::WorkspaceCore;
use crate::journal::codec::{self, CodecError};
use crate::journal::port::Loaded;
use crate::message::EntryId;
use crate::workspace::configuration::WebhookStatus;

/// What is left of a [`WorkspaceCore`].
#[derive(Debug)]
pub(in crate::actor) struct Hibernated {
    snapshot: Box<[u8]>,
    attempted: Box<[EntryId]>,
    since_snapshot: usize,
    /// See [`crate::actor::protocol::Seed::listed`].
    pub(in crate::actor) listed: Option<WebhookStatus>,
}

impl WorkspaceCore {
    /// Its hibernated form; `None` while anything is under way.
    pub(in crate::actor) fn hibernate(&self, entries: &HeldEntries) -> Option<Hibernated> {
        let testing = !self.test.is_idle() || self.state.test.is_some();
        if !entries.is_idle() || testing || !self.mails_begun.is_empty() {
            return None;
        }
        Some(Hibernated {
            snapshot: codec::encode_snapshot(&self.state).as_ref().into(),
            attempted: self.attempted.iter().copied().collect(),
            since_snapshot: self.since_snapshot,
            listed: self.listed,
        })
    }
}

impl Hibernated {
    /// Decodes it.
    ///
    /// # Errors
    /// Never for what this process wrote: every snapshot is read back so.
    pub(in crate::actor) fn loaded(&self) -> Result<Loaded, CodecError> {
        let state = codec::decode_snapshot(&self.snapshot)?;
        Ok(Loaded { state, since_snapshot: self.since_snapshot, attempted: self.attempted.to_vec() })
    }
}
