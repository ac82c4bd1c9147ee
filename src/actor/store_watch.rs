//! How the store is, told to the operator: one line when that changes, one a minute while it lasts, one when it is
//! over. It is told once for the whole node, since shards, hand-over and facade all meet the same trouble.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::{STORE_TOLD_EVERY, STORE_WATCH_EVERY};
use crate::deliver::ClockCheck;
use crate::journal::port::{Journal, StoreTrouble};
use crate::workspace::time::Clock;

/// What is wrong with the store, if anything is.
#[derive(Debug, Default)]
pub(in crate::actor) struct StoreCondition {
    trouble: Mutex<Option<Trouble>>,
    /// What it said when it was asked last, or why it said nothing, and which of these.
    why: Mutex<Option<(StoreTrouble, String)>>,
    /// What of this node's work it does not do although it answers, and why.
    refusal: Mutex<Option<String>>,
    /// What it refused callers lately, one sentence each.
    refused: Mutex<Vec<String>>,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    kind: StoreTrouble,
    since: Instant,
    told: Instant,
}

/// What there is to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConditionChange {
    Began(StoreTrouble),
    Lasts(StoreTrouble, Duration),
    Ended(StoreTrouble, Duration),
}

impl StoreCondition {
    /// What an operator should know although the node works.
    pub(in crate::actor) fn notices(&self) -> Vec<String> {
        let full = self.trouble.lock().is_some_and(|trouble| trouble.kind == StoreTrouble::Full);
        let full = full.then(|| {
            "the store is full: new messages are refused, what is stored is still delivered; free memory or raise its limit"
                .to_owned()
        });
        full.into_iter().chain(self.refused.lock().iter().cloned()).collect()
    }

    /// Why the store cannot be used, in its own words where it has any.
    pub(in crate::actor) fn why(&self) -> Option<(StoreTrouble, String)> {
        self.why.lock().clone()
    }

    /// The store does not do this for the node, or does everything.
    pub(in crate::actor) fn refuses(&self, refusal: Option<String>) {
        *self.refusal.lock() = refusal;
    }

    fn note(&self, seen: Option<StoreTrouble>, now: Instant) -> Option<ConditionChange> {
        let mut condition = self.trouble.lock();
        match (*condition, seen) {
            (None, None) => None,
            (Some(trouble), Some(kind)) if trouble.kind == kind => {
                if now < trouble.told + STORE_TOLD_EVERY {
                    return None;
                }
                *condition = Some(Trouble { told: now, ..trouble });
                Some(ConditionChange::Lasts(kind, now - trouble.since))
            }
            (_, Some(kind)) => {
                *condition = Some(Trouble { kind, since: now, told: now });
                Some(ConditionChange::Began(kind))
            }
            (Some(trouble), None) => {
                *condition = None;
                Some(ConditionChange::Ended(trouble.kind, now - trouble.since))
            }
        }
    }
}

/// Asks the store how it is, and what its clock shows, for as long as the service runs.
pub(in crate::actor) async fn watch_store(
    journal: Arc<dyn Journal>,
    condition: Arc<StoreCondition>,
    clock_check: Arc<ClockCheck>,
    clock: Clock,
) {
    loop {
        let seen = journal.ping().await.err();
        *condition.why.lock() = seen.as_ref().map(|error| (error.trouble, cause(error)));
        let refused = journal.refusals();
        condition.refused.lock().clone_from(&refused);
        let refusal = condition.refusal.lock().clone().into_iter().chain(refused).collect::<Vec<_>>().join("; ");
        let refusal = Some(refusal).filter(|refusal| seen.is_none() && !refusal.is_empty());
        let trouble = seen.as_ref().map(|error| error.trouble).or(refusal.as_ref().map(|_| StoreTrouble::Refused));
        if let Some(change) = condition.note(trouble, Instant::now()) {
            tell(change, seen.as_ref().map(|error| error as &(dyn Error + 'static)), refusal.as_deref());
        }
        // A store that does not answer tells no time. The answer is younger than the question and older than now.
        let store_time = if seen.is_none() { journal.time().await.ok().flatten() } else { None };
        clock_check.saw_store(store_time, clock(), Instant::now());
        clock_check.watch(clock(), Instant::now());
        tokio::time::sleep(STORE_WATCH_EVERY).await;
    }
}

/// The innermost cause.
pub(in crate::actor) fn cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn tell(change: ConditionChange, error: Option<&(dyn Error + 'static)>, refusal: Option<&str>) {
    match change {
        ConditionChange::Began(StoreTrouble::Away) => {
            warn!(error, "The store is away: nothing new is attempted until it is back.");
        }
        ConditionChange::Began(StoreTrouble::Full) => {
            warn!(error, "The store is full: new messages are refused; what is stored is still delivered.");
        }
        ConditionChange::Began(StoreTrouble::Refused) => {
            warn!(error, refusal, "The store does not do all that this node needs; it is asked again.");
        }
        ConditionChange::Lasts(StoreTrouble::Away, lasted) => {
            warn!(error, seconds = lasted.as_secs(), "The store is still away.");
        }
        ConditionChange::Lasts(StoreTrouble::Full, lasted) => {
            warn!(seconds = lasted.as_secs(), "The store is still full.");
        }
        ConditionChange::Lasts(StoreTrouble::Refused, lasted) => {
            warn!(error, refusal, seconds = lasted.as_secs(), "The store still does not do all that this node needs.");
        }
        ConditionChange::Ended(StoreTrouble::Full, lasted) => {
            info!(seconds = lasted.as_secs(), "The store takes new messages again.");
        }
        ConditionChange::Ended(StoreTrouble::Away | StoreTrouble::Refused, lasted) => {
            info!(seconds = lasted.as_secs(), "The store is back.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_change_one_a_minute_and_one_at_the_end() {
        let (condition, start) = (StoreCondition::default(), Instant::now());
        let (away, full) = (StoreTrouble::Away, StoreTrouble::Full);
        let mut told = Vec::new();
        for second in 0..200 {
            let seen = match second {
                10..140 => Some(away),
                140..150 => Some(full),
                _ => None,
            };
            told.extend(condition.note(seen, start + Duration::from_secs(second)));
            assert_eq!(!condition.notices().is_empty(), (140..150).contains(&second));
        }
        let seconds = Duration::from_secs;
        assert_eq!(
            told,
            [
                ConditionChange::Began(away),
                ConditionChange::Lasts(away, seconds(60)),
                ConditionChange::Lasts(away, seconds(120)),
                ConditionChange::Began(full),
                ConditionChange::Ended(full, seconds(10)),
            ]
        );
    }
}
