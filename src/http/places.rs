//! Places for requests that are being answered. Callers with a valid token have places of their own, so that
//! whoever has none can take none of theirs.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::auth::shown::Shown;
use super::problem::{Problem, ProblemKind};
use super::shares::{NoShare, Share, Shares};
use crate::config::{REQUESTS_AT_ONCE, REQUESTS_PER_WORKSPACE_AT_ONCE, STRANGER_REQUESTS_AT_ONCE};

/// All places.
pub(super) struct RequestPlaces {
    known: Shares,
    strangers: Arc<Semaphore>,
}

/// A place; free again when it is dropped.
pub(super) enum Place {
    Known(#[expect(dead_code, reason = "held, not read")] Share),
    Stranger(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit),
}

impl RequestPlaces {
    pub(super) fn new() -> Self {
        Self {
            known: Shares::new(REQUESTS_AT_ONCE, REQUESTS_PER_WORKSPACE_AT_ONCE),
            strangers: Arc::new(Semaphore::new(STRANGER_REQUESTS_AT_ONCE)),
        }
    }

    /// A place for who shows `shown`.
    pub(super) fn take(&self, shown: &Shown) -> Result<Place, Problem> {
        let workspace = match shown {
            Shown::Nothing => {
                let place = Arc::clone(&self.strangers).try_acquire_owned();
                return place.map(Place::Stranger).map_err(|_| overloaded("too many requests are being answered"));
            }
            Shown::Admin => None,
            Shown::Workspace(workspace) => Some(workspace),
        };
        self.known.try_take(workspace, 1).map(Place::Known).map_err(|taken| match taken {
            NoShare::ByNode => overloaded("too many requests are being answered"),
            NoShare::ByWorkspace => overloaded("too many requests of this workspace are being answered"),
        })
    }
}

fn overloaded(what: &str) -> Problem {
    Problem::new(ProblemKind::Overloaded, format!("{what}; try again in a second"))
}
