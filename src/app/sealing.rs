//! Which keys a journal needs. It remembers those that seal something, so a start without one of them is told of
//! before anything is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{info, warn};

use crate::journal::Journal;
use crate::journal::port::{LoadError, ReadError, StoreError};
use crate::message::WorkspaceId;
use crate::seal::{Keyring, keys_of};
use crate::workspace::state::Webhook;

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
    /// Another key has its id.
    #[error(
        "the id `{id}` belongs to another key in this journal, which {workspaces} workspace(s) are encrypted with: an id names one \
         key for ever. Give this node that key; a new key gets an id of its own and stands in front of it, as in \
         OUTBOUND_SECRET_KEY=\"NEW:… {id}:…\". Where the old one is lost, use the new id and start with --without-keys {id}"
    )]
    OtherKey {
        /// The id that both have.
        id: String,
        /// How many workspaces need the other one.
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
    /// Those of them that a key of that id was given for which does not open them.
    pub misfits: BTreeMap<String, u64>,
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
    refuse_other_keys(journal, keyring, Some(node)).await?;
    let mut noted: Vec<String> = journal.sealing_keys().await?.into_iter().map(|key| key.id).collect();
    if noted.iter().any(|id| !keyring.has(id)) {
        // Whether something is still sealed with it is known only from everything that is stored.
        let needed = needed(journal, keyring).await?.by_key;
        // Asked last: another node that runs may seal the first workspace with it at any moment.
        let in_use = prints_in_use_elsewhere(journal, node).await?;
        let in_use: Vec<&str> = in_use.iter().filter_map(|print| print.split(':').next()).collect();
        for id in noted.iter().filter(|id| !keyring.has(id)) {
            match needed.get(id) {
                None if in_use.contains(&id.as_str()) => {}
                None => journal.note_sealing_key(id, None).await?,
                Some(_) if without.contains(id) => {
                    warn!(
                        key = id,
                        "A key is missing that secrets are encrypted with; their workspaces are unavailable."
                    );
                }
                Some(&workspaces) => return Err(SealingError::Missing { id: id.clone(), workspaces }),
            }
        }
        noted.retain(|id| keyring.has(id) || needed.contains_key(id) || in_use.contains(&id.as_str()));
    }
    match keyring.sealing() {
        Some(id) if !noted.iter().any(|noted| noted == id) => {
            journal.note_sealing_key(id, keyring.print_of(id)).await?;
        }
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

/// Refuses a key whose id another one has in this journal: what was sealed with that one would not open, and what is sealed
/// from now on would be told apart by nobody. Others than `node` may run; without it, none does.
///
/// # Errors
/// [`SealingError::OtherKey`], or the store is away.
pub async fn refuse_other_keys(
    journal: &dyn Journal,
    keyring: &Keyring,
    node: Option<&str>,
) -> Result<(), SealingError> {
    let mut unsure = journal.sealing_keys().await?;
    unsure.retain(|key| keyring.has(&key.id) && key.print != keyring.print_of(&key.id));
    if unsure.is_empty() {
        return Ok(());
    }
    let Needed { by_key, misfits, .. } = needed(journal, keyring).await?;
    let in_use = match node {
        Some(node) => prints_in_use_elsewhere(journal, node).await?,
        None => Vec::new(),
    };
    for key in unsure {
        let id = &key.id;
        let (needed, misfits) = (by_key.get(id).copied(), misfits.get(id).copied().unwrap_or_default());
        // Of a key without a print one that opens something is the one; single values may be damaged.
        let is_other = if key.print.is_some() { misfits > 0 } else { misfits > 0 && needed == Some(misfits) };
        let of_id = |print: &&String| print.split(':').next() == Some(id);
        let is_other_elsewhere = in_use.iter().filter(of_id).any(|print| !keyring.prints().contains(print));
        if is_other || is_other_elsewhere {
            return Err(SealingError::OtherKey { id: key.id, workspaces: misfits });
        }
        journal.note_sealing_key(id, keyring.print_of(id)).await?;
    }
    Ok(())
}

/// The prints of the keys that other nodes seal with.
async fn prints_in_use_elsewhere(journal: &dyn Journal, node: &str) -> Result<Vec<String>, StoreError> {
    let others = journal.nodes().await?.nodes.into_iter().map(|seen| seen.record).filter(|record| record.id != node);
    Ok(others.filter_map(|record| record.secret_keys.into_iter().next()).collect())
}

/// What the workspaces of the journal need, all of them, and whether the keys given are what they need.
///
/// # Errors
/// The store is away.
pub async fn needed(journal: &dyn Journal, keyring: &Keyring) -> Result<Needed, StoreError> {
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
            needed.count(workspace, state.map(|state| state.webhook), keyring);
        }
        place = page.next;
        if place.is_none() {
            return Ok(needed);
        }
    }
}

impl Needed {
    fn count(&mut self, workspace: &WorkspaceId, webhook: Result<Webhook, LoadError>, keyring: &Keyring) {
        let keys = webhook.ok().and_then(|mut webhook| Some((keys_of(&mut webhook).ok()?, webhook)));
        let Some((keys, mut webhook)) = keys else {
            self.unreadable += 1;
            return;
        };
        for id in keyring.misfits(workspace, &mut webhook) {
            *self.misfits.entry(id).or_default() += 1;
        }
        for key in keys {
            match key {
                Some(id) => *self.by_key.entry(id).or_default() += 1,
                None => self.plain += 1,
            }
        }
    }
}
