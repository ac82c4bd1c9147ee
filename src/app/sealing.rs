//! Which keys a journal needs. It remembers those that seal something, so a start without one of them is told of
//! before anything is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{info, warn};

use crate::journal::Journal;
use crate::journal::port::{LoadError, ReadError, StoreError};
use crate::seal::{Keyring, keys_of};

/// Why the keys of this node do not fit the journal.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// A key is missing.
    #[error(
        "the secrets of {workspaces} workspace(s) are encrypted with the key `{id}`, which this node does not have: add \
         it behind the first one in OUTBOUND_SECRET_KEY or --secret-key-file, or start with --without-keys {id}, \
         and these workspaces stay unavailable"
    )]
    Missing {
        /// Its id.
        id: String,
        /// How many workspaces need it.
        workspaces: u64,
    },
    /// What the journal needs cannot be read or noted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many workspaces need what to be opened.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needed {
    /// By the key's id; a workspace that needs two counts for both.
    pub by_key: BTreeMap<String, u64>,
    /// Workspaces with something confidential in plain text.
    pub plain: u64,
    /// Workspaces that cannot be read.
    pub unreadable: u64,
}

/// Refuses keys that do not suffice, apart from those that are not to be missed (`without`), and notes the one that
/// seals from now on. The answer is what to seal and open with. `node` is this node's id.
///
/// # Errors
/// See [`SealingError`].
pub async fn check(
    journal: &dyn Journal,
    keyring: &Arc<Keyring>,
    without: &[String],
    node: &str,
) -> Result<Arc<Keyring>, SealingError> {
    let mut noted = journal.sealing_keys().await?;
    if noted.iter().any(|id| !keyring.has(id)) {
        // Whether something is still sealed with it is known only from everything that is stored.
        let needed = needed(journal).await?.by_key;
        // Asked last: another node that runs may seal the first workspace with it at any moment.
        let in_use = in_use_elsewhere(journal, node).await?;
        for id in noted.iter().filter(|id| !keyring.has(id)) {
            match needed.get(id) {
                None if in_use.contains(id) => {}
                None => journal.note_sealing_key(id, false).await?,
                Some(_) if without.contains(id) => {
                    warn!(
                        key = id,
                        "A key is missing that secrets are encrypted with; their workspaces are unavailable."
                    );
                }
                Some(&workspaces) => return Err(SealingError::Missing { id: id.clone(), workspaces }),
            }
        }
        noted.retain(|id| keyring.has(id) || needed.contains_key(id) || in_use.contains(id));
    }
    match keyring.sealing() {
        Some(id) if !noted.iter().any(|noted| noted == id) => journal.note_sealing_key(id, true).await?,
        Some(_) => {}
        None if noted.is_empty() => warn!(
            "Signing secrets and custom headers are stored in plain text: set OUTBOUND_SECRET_KEY or \
             --secret-key-file to ID:KEY, such as k1:$(openssl rand -base64 32)."
        ),
        None => {
            warn!("Secrets are encrypted in this journal and this node has no key: no webhook can be saved here.");
            return Ok(Arc::new(Keyring::missing()));
        }
    }
    if let Some(key) = keyring.sealing() {
        info!(key, "Signing secrets and custom headers are encrypted where they are stored.");
    }
    Ok(Arc::clone(keyring))
}

/// The keys that other nodes seal with, by id.
async fn in_use_elsewhere(journal: &dyn Journal, node: &str) -> Result<Vec<String>, StoreError> {
    let others = journal.nodes().await?.nodes.into_iter().map(|seen| seen.record).filter(|record| record.id != node);
    let sealing = others.filter_map(|record| Some(record.secret_keys.first()?.split(':').next()?.to_owned()));
    Ok(sealing.collect())
}

/// What the workspaces of the journal need, all of them.
///
/// # Errors
/// The store is away.
pub async fn needed(journal: &dyn Journal) -> Result<Needed, StoreError> {
    let mut needed = Needed::default();
    let mut place = None;
    loop {
        let page = journal.walk(place.as_deref()).await?;
        for workspace in &page.workspaces {
            let state = match journal.snapshot(workspace).await {
                Ok(state) => Ok(state),
                Err(ReadError::Load(error)) => Err(error),
                Err(ReadError::Store(error)) => return Err(error),
            };
            needed.count(state.map(|state| state.webhook));
        }
        place = page.next;
        if place.is_none() {
            return Ok(needed);
        }
    }
}

impl Needed {
    fn count(&mut self, webhook: Result<crate::workspace::state::Webhook, LoadError>) {
        let Some(keys) = webhook.ok().and_then(|mut webhook| keys_of(&mut webhook).ok()) else {
            self.unreadable += 1;
            return;
        };
        for key in keys {
            match key {
                Some(id) => *self.by_key.entry(id).or_default() += 1,
                None => self.plain += 1,
            }
        }
    }
}
