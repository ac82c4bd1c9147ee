//! A held shard's forward reads: from the last durable transaction, woken by the engine's notification of new entries.

use std::ops::Bound;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use redb::{ReadTransaction, ReadableTableMetadata as _};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::engine::{Failure, reason};
use super::store::{self, EmbeddedStore};
use super::tables::{Names, entries_in, id};
use super::transaction::StorageResult;
use crate::journal::port::{Poll, Polled, ShardIntake, StoreError, StoreTrouble};

/// Does not keep the file open.
pub(super) struct EmbeddedIntake {
    store: Weak<EmbeddedStore>,
    failure: Failure,
    appended: watch::Receiver<()>,
    names: Names,
}

impl EmbeddedIntake {
    pub(super) fn new(store: &Arc<EmbeddedStore>, shard: u16) -> Self {
        Self {
            store: Arc::downgrade(store),
            failure: Arc::clone(store.failure()),
            appended: store.appended(shard),
            names: Names::of(shard),
        }
    }

    fn read(&self, request: &Poll) -> Result<Polled, StoreError> {
        let store = self.store.upgrade().ok_or_else(|| self.closed())?;
        store.check()?;
        store.reading(|txn| read(txn, &self.names, request)).map_err(|error| {
            store.fail_if_damaged(&error);
            store::failed("reading new entries", error)
        })
    }

    fn closed(&self) -> StoreError {
        StoreError {
            trouble: StoreTrouble::Away,
            what: format!("reading new entries: {}", reason(&self.failure)),
            source: None,
        }
    }
}

#[async_trait]
impl ShardIntake for EmbeddedIntake {
    async fn poll(&mut self, request: &Poll) -> Result<Polled, StoreError> {
        let deadline = Instant::now() + request.block;
        loop {
            // Marked as heard before the read, so that what is appended after the read is notified again.
            self.appended.mark_unchanged();
            let polled = self.read(request)?;
            if request.probe || !polled.messages.is_empty() || !polled.commands.is_empty() {
                return Ok(polled);
            }
            match timeout_at(deadline, self.appended.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Err(self.closed()),
                Err(_) => return Ok(polled),
            }
        }
    }
}

fn read(txn: &ReadTransaction, names: &Names, request: &Poll) -> StorageResult<Polled> {
    let messages = txn.open_table(names.messages())?;
    let mut polled = Polled::default();
    if let Some((after, count)) = request.messages {
        polled.messages = entries_in(&messages, (Bound::Excluded(id(after)), Bound::Unbounded), count)?;
    }
    if let Some((after, count)) = request.commands {
        let commands = txn.open_table(names.commands())?;
        polled.commands = entries_in(&commands, (Bound::Excluded(id(after)), Bound::Unbounded), count)?;
    }
    if request.probe {
        polled.length = Some(messages.len()?);
    }
    Ok(polled)
}
