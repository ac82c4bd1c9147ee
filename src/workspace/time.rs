//! A moment, in milliseconds: the resolution of everything that is stored or shown.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::StdFmtWrite;
use jiff::fmt::temporal::DateTimePrinter;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since the Unix epoch. Written as RFC 3339, UTC, with milliseconds
/// ([contract, section 4](crate::docs::contract#4-http)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Time(i64);

/// Reads the wall clock. Passed in wherever a time is needed, so that tests can choose it.
pub type Clock = fn() -> Time;

impl Time {
    /// The moment `ms` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_unix_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn unix_ms(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch: the form of `webhook-timestamp`.
    #[must_use]
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// How long after `earlier` this is; zero when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The moment `span` later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The moment `span` earlier.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)))
    }
}

/// The day of `at` in UTC as sentences write it, and on the day of `now` the time, too; both in seconds since the Unix epoch.
#[must_use]
pub fn in_sentence(at: u64, now: u64) -> String {
    let of = |at: u64, form: &str| {
        let at = i64::try_from(at).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
        at.map_or_else(|| "an impossible day".to_owned(), |at| at.strftime(form).to_string())
    };
    let day = of(at, "%-d %B %Y");
    if day == of(now, "%-d %B %Y") { format!("{day}, {}", of(at, "%H:%M UTC")) } else { day }
}

const RFC_3339: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Timestamp::from_millisecond(self.0) {
            Ok(at) => RFC_3339.print_timestamp(&at, StdFmtWrite(f)).map_err(|_| fmt::Error),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// The text is no RFC 3339 time.
#[derive(Debug, thiserror::Error)]
#[error("a time is written as 2026-01-31T12:00:00.000Z")]
pub struct InvalidTime(#[source] jiff::Error);

impl FromStr for Time {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Timestamp>().map(|at| Self(at.as_millisecond())).map_err(InvalidTime)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_tells_the_day_and_on_the_day_itself_the_time() {
        const DAY: u64 = 24 * 60 * 60;
        let midnight = 1_769_817_600;
        let at = midnight + 12 * 3_600 + 5 * 60;
        for (now, told) in [
            (midnight, "31 January 2026, 12:05 UTC"),
            (midnight + DAY - 1, "31 January 2026, 12:05 UTC"),
            (midnight + DAY, "31 January 2026"),
            (midnight - 1, "31 January 2026"),
        ] {
            assert_eq!(in_sentence(at, now), told, "{now}");
        }
        assert_eq!(in_sentence(u64::MAX, 0), "an impossible day");
    }

    #[test]
    fn a_time_is_told_in_milliseconds_and_in_whole_seconds_rounded_down() {
        let time = Time::from_unix_ms(1_614_147_929_999);
        assert_eq!((time.unix_ms(), time.unix_seconds()), (1_614_147_929_999, 1_614_147_929));
        assert_eq!(Time::from_unix_ms(-1).unix_seconds(), -1);
    }

    #[test]
    fn a_span_later_and_the_span_between_are_the_same() {
        let time = Time::from_unix_ms(5);
        let later = time.plus(Duration::from_millis(1_500));
        assert_eq!(later, Time::from_unix_ms(1_505));
        assert_eq!(later.since(time), Duration::from_millis(1_500));
        assert_eq!(time.since(later), Duration::ZERO);
    }
}
