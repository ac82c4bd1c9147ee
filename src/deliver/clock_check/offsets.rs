//! How far our clock is off, given what other clocks showed. Pure.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{CLOCK_JUMP_MIN, CLOCK_OFF_MIN, CLOCK_SEEN_MAX, CLOCK_WITNESSES_MAX, CLOCK_WORKSPACES_MIN};
use crate::message::WorkspaceId;
use crate::workspace::time::Time;

/// What other clocks showed, as long as ours was not set since.
#[derive(Debug, Default)]
pub(super) struct ClockWitnesses {
    store: Option<ClockOffset>,
    /// By workspace what its endpoint showed last, at most [`CLOCK_WITNESSES_MAX`].
    endpoints: HashMap<WorkspaceId, EndpointClock>,
    /// When our own clock was looked at last, and what it showed.
    looked: Option<(Instant, Time)>,
}

#[derive(Debug)]
struct EndpointClock {
    host: Arc<str>,
    offset: ClockOffset,
}

/// How many milliseconds our clock was ahead of another at a moment; below zero it was behind.
#[derive(Debug, Clone, Copy)]
struct ClockOffset {
    ms: i64,
    at: Instant,
}

/// How far our clock is ahead of others, in milliseconds; below zero it is behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockOffsets {
    /// Of the store's; `None` when it does not tell.
    pub ahead_of_store_ms: Option<i64>,
    /// Of the endpoints': the median over the hosts; `None` with fewer than [`CLOCK_WORKSPACES_MIN`] workspaces.
    pub ahead_of_endpoints_ms: Option<i64>,
    /// How many hosts that is.
    pub hosts: usize,
}

/// What the offsets mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum ClockState {
    /// No other clock says that ours is off.
    #[default]
    Right,
    /// The store's clock alone says so.
    StoreDiffers,
    /// The endpoints' clocks alone say so.
    EndpointsDiffer,
    /// All say so.
    Off,
}

impl ClockWitnesses {
    pub(super) fn saw_store(&mut self, store: Option<Time>, now: Time, at: Instant) {
        self.look(now, at);
        self.store = store.map(|store| ClockOffset::new(now, store, at));
    }

    pub(super) fn saw_endpoint(&mut self, workspace: &WorkspaceId, host: &str, date: Time, now: Time, at: Instant) {
        self.look(now, at);
        let offset = ClockOffset::new(now, date, at);
        if let Some(known) = self.endpoints.get_mut(workspace) {
            known.offset = offset;
            if *known.host != *host {
                known.host = host.into();
            }
            return;
        }
        if self.endpoints.len() >= CLOCK_WITNESSES_MAX {
            let oldest = self.endpoints.iter().min_by_key(|(_, clock)| clock.offset.at);
            if let Some(oldest) = oldest.map(|(workspace, _)| workspace.clone()) {
                self.endpoints.remove(&oldest);
            }
        }
        self.endpoints.insert(workspace.clone(), EndpointClock { host: host.into(), offset });
    }

    pub(super) fn offsets(&mut self, now: Time, at: Instant) -> ClockOffsets {
        self.look(now, at);
        let mut by_host: HashMap<&str, ClockOffset> = HashMap::new();
        for EndpointClock { host, offset } in self.endpoints.values() {
            let newest = by_host.entry(host).or_insert(*offset);
            if newest.at < offset.at {
                *newest = *offset;
            }
        }
        let mut offsets: Vec<i64> = by_host.values().map(|offset| offset.ms).collect();
        let enough = self.endpoints.len() >= CLOCK_WORKSPACES_MIN;
        ClockOffsets {
            ahead_of_store_ms: self.store.map(|store| store.ms),
            ahead_of_endpoints_ms: if enough { median(&mut offsets) } else { None },
            hosts: offsets.len(),
        }
    }

    /// Forgets what is too old, and everything when our own clock was set: it was compared with another one then.
    fn look(&mut self, now: Time, at: Instant) {
        if let Some((then, showed)) = self.looked {
            let passed = milliseconds(at.saturating_duration_since(then));
            if (now.unix_ms() - showed.unix_ms() - passed).unsigned_abs() >= milliseconds(CLOCK_JUMP_MIN).unsigned_abs()
            {
                (self.store, self.endpoints) = (None, HashMap::new());
            }
        }
        self.looked = Some((at, now));
        let is_fresh = |offset: &ClockOffset| at < offset.at + CLOCK_SEEN_MAX;
        self.store = self.store.filter(is_fresh);
        self.endpoints.retain(|_, clock| is_fresh(&clock.offset));
    }
}

impl ClockOffset {
    fn new(ours: Time, other: Time, at: Instant) -> Self {
        Self { ms: ours.unix_ms().saturating_sub(other.unix_ms()), at }
    }
}

impl ClockOffsets {
    pub(super) fn state(&self) -> ClockState {
        let off = |ms: Option<i64>| ms.filter(|ms| ms.unsigned_abs() > milliseconds(CLOCK_OFF_MIN).unsigned_abs());
        match (off(self.ahead_of_store_ms), off(self.ahead_of_endpoints_ms)) {
            (Some(store), Some(endpoints)) if store.signum() == endpoints.signum() => ClockState::Off,
            (Some(_), _) => ClockState::StoreDiffers,
            (None, Some(_)) => ClockState::EndpointsDiffer,
            (None, None) => ClockState::Right,
        }
    }

    /// What an operator should know, without a full stop; nothing while all agree.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        let state = self.state();
        if state == ClockState::Right {
            return None;
        }
        let hosts = match self.hosts {
            1 => "1 host".to_owned(),
            hosts => format!("{hosts} hosts"),
        };
        let store = self.ahead_of_store_ms.map(|ms| format!("{} that of the store", apart(ms)));
        let endpoints = self.ahead_of_endpoints_ms;
        let endpoints = endpoints.map(|ms| format!("{} those of endpoints (the median of {hosts})", apart(ms)));
        let apart: Vec<String> = store.into_iter().chain(endpoints).collect();
        let apart = apart.join(" and ");
        let follows = match state {
            ClockState::Off => {
                "set this machine's clock; endpoints may refuse what it signs, so answers 401 and 403 are logged and \
                 not counted until then"
            }
            ClockState::StoreDiffers => "check both",
            ClockState::EndpointsDiffer | ClockState::Right => "check it",
        };
        Some(format!("The clock of this machine is {apart}: {follows}"))
    }
}

/// The middle one. Of the two middle ones the nearer to zero, and zero when they lie on two sides of it: so more than half
/// are at least as far off, on its side.
fn median(offsets: &mut [i64]) -> Option<i64> {
    offsets.sort_unstable();
    let (lower, upper) = (offsets.get(offsets.len().checked_sub(1)? / 2)?, offsets.get(offsets.len() / 2)?);
    let is_between = lower.signum() != upper.signum();
    Some(if is_between { 0 } else { *std::cmp::min_by_key(lower, upper, |offset| offset.unsigned_abs()) })
}

fn apart(ms: i64) -> String {
    let seconds = ms.unsigned_abs() / 1_000;
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7_200 => (seconds / 60, "minute"),
        _ => (seconds / 3_600, "hour"),
    };
    let plural = if count == 1 { "" } else { "s" };
    let side = if ms < 0 { "behind" } else { "ahead of" };
    format!("{count} {unit}{plural} {side}")
}

fn milliseconds(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
