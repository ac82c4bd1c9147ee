//! How much there may be of everything that the port names.

use crate::workspace::history::CHANGES_SHOWN;
use crate::workspace::policy::MAILS_PER_DAY_MAX;

/// Unanswered commits of one shard connection at most.
pub const COMMITS_IN_FLIGHT_MAX: usize = 2;
/// Events in one commit at most.
pub const COMMIT_EVENTS_MAX: usize = 256;
/// Settled entries in one commit at most.
pub const COMMIT_SETTLED_MAX: usize = 1_000;
/// Bytes of one commit, beyond which no further step joins it (one step alone may be larger).
pub const COMMIT_BYTES_MAX: usize = 1024 * 1024;
/// Attempts kept for each workspace.
pub const ATTEMPTS_RETAINED: usize = 100;
/// Other events kept for each workspace: enough for the changes of the configuration that are shown and the
/// one before them, whatever else happened.
pub const HISTORY_RETAINED: usize = 400;
const _: () = {
    let changes = CHANGES_SHOWN + 1;
    // A switch-off needs a save between it and the one before, which is a change too.
    let switch_offs = changes / 2 + 1;
    // Every other event is the end of a switch-off's mail: of these, or of one that was owed before them.
    let mails_ended = switch_offs + MAILS_PER_DAY_MAX;
    assert!(changes + mails_ended <= HISTORY_RETAINED, "the history keeps too little for the changes that are shown");
};
/// Rejected entries kept for each shard; beyond it the oldest is deleted, counted and logged.
pub const REJECTED_RETAINED: usize = 10_000;
/// Bytes of them, as the store counts what they take; beyond it the oldest is deleted, too.
pub const REJECTED_BYTES_RETAINED: usize = 32 * 1024 * 1024;
/// Sessions of the operator that ended before their time and are remembered, each until it would have ended by itself.
pub const OPERATOR_SESSIONS_ENDED_MAX: usize = 1_024;
/// Commands waiting on a shard at most; more are refused ([`super::SubmitError::TooMany`]).
pub const COMMANDS_WAITING_MAX: usize = 1_000;
/// Commands that only take away ([`crate::workspace::command::Action::takes_away`]) and are stored on a full store while
/// so many wait on a shard at most.
pub const COMMANDS_WAITING_FULL_MAX: usize = 64;
