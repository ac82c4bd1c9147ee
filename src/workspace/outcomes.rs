//! What became of messages, counted: of a step, and of each minute of the last hour.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::event::{Event, Trigger};
use super::time::Time;

/// How many messages ended how. Tests and what is sent again are none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcomes {
    /// Answered 200–209.
    #[serde(skip_serializing_if = "is_none")]
    pub delivered: u64,
    /// Attempted, and answered by anything else or not at all.
    #[serde(skip_serializing_if = "is_none")]
    pub failed: u64,
    /// Not attempted: the webhook was off, or they were discarded.
    #[serde(skip_serializing_if = "is_none")]
    pub skipped: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none(n: &u64) -> bool {
    *n == 0
}

impl Outcomes {
    /// What an event says of messages.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let none = Self::default();
        match event {
            Event::AttemptDelivered(attempt) if attempt.trigger == Trigger::Message => Self { delivered: 1, ..none },
            Event::AttemptFailed(attempt) if attempt.trigger == Trigger::Message => Self { failed: 1, ..none },
            Event::MessagesSkipped(skipped) => Self { skipped: skipped.count, ..none },
            _ => none,
        }
    }

    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.delivered.saturating_add(self.failed).saturating_add(self.skipped)
    }
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, more: Self) {
        // What other nodes counted is added too, and nobody vouches for what stands in a store.
        self.delivered = self.delivered.saturating_add(more.delivered);
        self.failed = self.failed.saturating_add(more.failed);
        self.skipped = self.skipped.saturating_add(more.skipped);
    }
}

/// Minutes that are counted apart.
pub const MINUTES: usize = 60;

/// The outcomes of one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinuteOutcomes {
    /// Which, in minutes since 1970.
    pub minute: i64,
    /// What ended in it.
    #[serde(flatten)]
    pub outcomes: Outcomes,
}

/// The outcomes of the last hour by minute, from what several counted apart: oldest first, the last is the minute of `now`.
#[must_use]
pub fn last_hour<'a>(counted: impl IntoIterator<Item = &'a MinuteOutcomes>, now: Time) -> [Outcomes; MINUTES] {
    let first = first_minute(now);
    let mut sums = [Outcomes::default(); MINUTES];
    for of in counted {
        let place = of.minute.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        if let Some(sum) = place.and_then(|place| sums.get_mut(place)) {
            *sum += of.outcomes;
        }
    }
    sums
}

/// Counts the outcomes of the last hour by minute: the present one, and the 59 before it.
#[derive(Debug)]
pub struct LastHour([(i64, Outcomes); MINUTES]);

impl Default for LastHour {
    fn default() -> Self {
        // No clock shows this minute.
        Self([(i64::MIN, Outcomes::default()); MINUTES])
    }
}

impl LastHour {
    /// Adds what ended at `at`.
    pub fn count(&mut self, at: Time, more: Outcomes) {
        let minute = minute_of(at);
        let (of, outcomes) = &mut self.0[place_of(minute)];
        if *of != minute {
            (*of, *outcomes) = (minute, Outcomes::default());
        }
        *outcomes += more;
    }

    /// The minutes up to that of `now` in which anything ended, oldest first.
    #[must_use]
    pub fn until(&self, now: Time) -> Vec<MinuteOutcomes> {
        let minutes = (first_minute(now)..).take(MINUTES);
        let of = |minute: i64| match self.0[place_of(minute)] {
            (of, outcomes) if of == minute && outcomes.total() > 0 => Some(MinuteOutcomes { minute, outcomes }),
            _ => None,
        };
        minutes.filter_map(of).collect()
    }
}

fn first_minute(now: Time) -> i64 {
    minute_of(now).saturating_sub(MINUTES as i64 - 1)
}

fn minute_of(at: Time) -> i64 {
    at.unix_seconds().div_euclid(60)
}

fn place_of(minute: i64) -> usize {
    usize::try_from(minute.rem_euclid(MINUTES as i64)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Time {
        Time::from_unix_ms(minute * 60_000 + 59_999)
    }

    fn delivered(delivered: u64) -> Outcomes {
        Outcomes { delivered, ..Outcomes::default() }
    }

    fn shown(hour: &LastHour, now: Time) -> [Outcomes; MINUTES] {
        last_hour(&hour.until(now), now)
    }

    #[test]
    fn each_minute_is_counted_for_an_hour_and_no_longer() {
        let mut hour = LastHour::default();
        assert_eq!(hour.until(at(0)), []);
        for (minute, count) in [(100, 1), (100, 2), (101, 4), (159, 8)] {
            hour.count(at(minute), delivered(count));
        }
        assert_eq!(hour.until(at(159)).iter().map(|of| of.minute).collect::<Vec<_>>(), [100, 101, 159]);
        let seen = shown(&hour, at(159));
        assert_eq!((seen[0], seen[1], seen[2], seen[59]), (delivered(3), delivered(4), delivered(0), delivered(8)));
        let later = shown(&hour, at(160));
        assert_eq!((later[0], later[58], later[59]), (delivered(4), delivered(8), delivered(0)));
        assert_eq!(shown(&hour, at(500)), [Outcomes::default(); MINUTES]);
        // A minute of the next hour takes the place of the same one of this.
        hour.count(at(160), delivered(16));
        assert_eq!(shown(&hour, at(160))[59], delivered(16));
        // A clock that was set back counts on, where it is now.
        hour.count(at(40), delivered(32));
        assert_eq!(shown(&hour, at(40))[59], delivered(32));
    }

    #[test]
    fn what_several_counted_is_added_up_minute_by_minute() {
        let of = |minute: i64, count: u64| MinuteOutcomes { minute, outcomes: delivered(count) };
        let counted = [of(100, 1), of(159, 2), of(100, 4), of(99, 8), of(160, 16), of(i64::MIN, 32), of(159, u64::MAX)];
        let seen = last_hour(&counted, at(159));
        assert_eq!((seen[0], seen[59]), (delivered(5), delivered(u64::MAX)), "others are of another hour");
        assert_eq!(seen[1..59], [Outcomes::default(); 58]);
    }
}
