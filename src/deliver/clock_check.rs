//! Whether this machine's clock is right: the store's clock and the `Date` headers of endpoints tell
//! ([contract, section 2](crate::docs::contract#2-the-post-out)).
//!
//! One for all couriers of a node. An endpoint that checks when a request was signed refuses every one of ours while
//! our clock is off, and that is our fault.

mod offsets;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::ENDPOINT_DATE_EVERY;
use crate::message::WorkspaceId;
use crate::workspace::time::Time;
use offsets::{ClockState, ClockWitnesses};

pub use offsets::ClockOffsets;

/// What a node knows of its own clock.
#[derive(Debug, Default)]
pub struct ClockCheck {
    witnesses: Mutex<ClockWitnesses>,
    /// What was logged last.
    told: Mutex<ClockState>,
}

/// When the `Date` header of an endpoint is looked at next: not at each response, for it takes a lock.
#[derive(Debug, Default)]
pub(super) struct DateDue(AtomicI64);

impl ClockCheck {
    /// The store's clock showed `store` when ours showed `now`. `None`: the store did not tell, or has no clock.
    pub fn saw_store(&self, store: Option<Time>, now: Time, at: Instant) {
        self.witnesses.lock().saw_store(store, now, at);
    }

    /// An endpoint of the workspace sent `date`, the value of its `Date` header, when our clock showed `now`.
    pub(super) fn saw_date(&self, workspace: &WorkspaceId, host: &str, date: &str, now: Time, at: Instant) {
        // What is no date tells nothing. HTTP writes dates as mail does, always in GMT (RFC 9110 section 5.6.7).
        if let Ok(date) = DateTimeParser::new().parse_timestamp(date) {
            let date = Time::from_unix_ms(date.as_millisecond());
            self.witnesses.lock().saw_endpoint(workspace, host, date, now, at);
        }
    }

    /// How far our clock is off, when it shows `now`.
    #[must_use]
    pub fn offsets(&self, now: Time, at: Instant) -> ClockOffsets {
        self.witnesses.lock().offsets(now, at)
    }

    /// Whether a refusal (401, 403) is our fault: the store and the endpoints both say that our clock is off.
    pub(super) fn excuses(&self, now: Time, at: Instant) -> bool {
        self.offsets(now, at).state() == ClockState::Off
    }

    /// Logs a line when what the clocks say has changed. Called every second or so.
    pub fn watch(&self, now: Time, at: Instant) {
        let offsets = self.offsets(now, at);
        let state = offsets.state();
        if std::mem::replace(&mut *self.told.lock(), state) == state {
            return;
        }
        match offsets.sentence() {
            Some(sentence) => warn!("{sentence}."),
            None => info!("The clock of this machine agrees with the others again."),
        }
    }
}

impl DateDue {
    /// Whether [`ENDPOINT_DATE_EVERY`] has passed since it was due; then it is due again after that.
    pub(super) fn is_due(&self, now: Time) -> bool {
        // A clock that was set back makes it due, too.
        let since = now.unix_ms().abs_diff(self.0.load(Ordering::Relaxed));
        let due = Duration::from_millis(since) >= ENDPOINT_DATE_EVERY;
        if due {
            self.0.store(now.unix_ms(), Ordering::Relaxed);
        }
        due
    }
}
