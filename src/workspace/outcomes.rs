//! What became of messages, counted: of a step, and of each minute of the last hour.

use std::ops::AddAssign;

use super::event::{Event, Trigger};
use super::time::Time;

/// How many messages ended how. Tests and what is sent again are none of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Answered 200–209.
    pub delivered: u64,
    /// Attempted, and answered by anything else or not at all.
    pub failed: u64,
    /// Not attempted: the webhook was off, or they were discarded.
    pub skipped: u64,
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
        self.delivered + self.failed + self.skipped
    }
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, more: Self) {
        self.delivered += more.delivered;
        self.failed += more.failed;
        self.skipped += more.skipped;
    }
}

/// Minutes that are counted apart.
pub const MINUTES: usize = 60;

/// The outcomes of the last hour by minute: the present one, and the 59 before it.
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

    /// By minute, oldest first; the last is the minute of `now`.
    #[must_use]
    pub fn until(&self, now: Time) -> Vec<Outcomes> {
        let last = minute_of(now);
        let minutes = (1 - MINUTES as i64..=0).map(|before| last.saturating_add(before));
        let of = |minute: i64| match self.0[place_of(minute)] {
            (of, outcomes) if of == minute => outcomes,
            _ => Outcomes::default(),
        };
        minutes.map(of).collect()
    }
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

    #[test]
    fn each_minute_is_counted_for_an_hour_and_no_longer() {
        let mut hour = LastHour::default();
        assert_eq!(hour.until(at(0)), [Outcomes::default(); MINUTES]);
        for (minute, count) in [(100, 1), (100, 2), (101, 4), (159, 8)] {
            hour.count(at(minute), delivered(count));
        }
        let seen = hour.until(at(159));
        assert_eq!((seen[0], seen[1], seen[2], seen[59]), (delivered(3), delivered(4), delivered(0), delivered(8)));
        let later = hour.until(at(160));
        assert_eq!((later[0], later[58], later[59]), (delivered(4), delivered(8), delivered(0)));
        assert_eq!(hour.until(at(500)), [Outcomes::default(); MINUTES]);
        // A minute of the next hour takes the place of the same one of this.
        hour.count(at(160), delivered(16));
        assert_eq!(hour.until(at(160))[59], delivered(16));
        // A clock that was set back counts on, where it is now.
        hour.count(at(40), delivered(32));
        assert_eq!(hour.until(at(40))[59], delivered(32));
    }
}
