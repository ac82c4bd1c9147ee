//! What is confidential is sealed on its way into the journal and opened on its way out.

use bytes::Bytes;

use crate::config::SNAPSHOT_EVERY;
use crate::journal::port::{LoadError, Loaded};
use crate::journal::record;
use crate::message::WorkspaceId;
use crate::seal::{Keyring, Seal};
use crate::workspace::State;

/// The snapshot, sealed.
pub(super) fn snapshot(keyring: &Keyring, workspace: &WorkspaceId, state: &State) -> Bytes {
    if keyring.sealing().is_none() {
        return record::encode_snapshot(state);
    }
    let mut state = state.clone();
    keyring.seal(workspace, &mut state.webhook);
    record::encode_snapshot(&state)
}

/// Opens a workspace that was loaded. Where its seal is outdated, its next attempt writes the snapshot,
/// and with it the present seal.
///
/// # Errors
/// [`LoadError::Sealed`].
pub(super) fn open(keyring: &Keyring, workspace: &WorkspaceId, mut loaded: Loaded) -> Result<Loaded, LoadError> {
    match keyring.open(workspace, &mut loaded.state.webhook) {
        Ok(Seal::Present) => Ok(loaded),
        Ok(Seal::Outdated) => Ok(Loaded { since_snapshot: loaded.since_snapshot.max(SNAPSHOT_EVERY), ..loaded }),
        Err(error) => Err(LoadError::Sealed { workspace: workspace.clone(), detail: error.to_string() }),
    }
}
