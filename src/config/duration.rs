//! Durations as operators write them: a whole number and a unit, such as `500ms`, `2s`, `5m` or `30d`.

use std::time::Duration;

/// The longest wait that is taken: no wait of this program is meant to outlast a day, and sums
/// of a few of them cannot overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// A unit and its milliseconds.
pub type Unit = (&'static str, u64);

/// The units of waits.
const WAIT_UNITS: [Unit; 4] = [("ms", 1), SECONDS, MINUTES, HOURS];
/// The units of lifetimes.
pub const LIFETIME_UNITS: [Unit; 4] = [SECONDS, MINUTES, HOURS, ("d", 24 * HOURS.1)];
const SECONDS: Unit = ("s", 1_000);
const MINUTES: Unit = ("m", 60 * SECONDS.1);
const HOURS: Unit = ("h", 60 * MINUTES.1);

/// The text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDuration {
    /// No number, no unit, or another unit.
    #[error("write a whole number and a unit, such as 500ms, 2s, 5m or 1h")]
    Form,
    /// Over [`DURATION_MAX`].
    #[error("it is longer than {} hours", DURATION_MAX.as_secs() / 3600)]
    TooLong,
    /// Zero where nothing could ever happen in time.
    #[error("it must be longer than 0")]
    Zero,
}

/// Reads a wait, zero too.
///
/// # Errors
/// The form, or longer than [`DURATION_MAX`].
pub fn parse(text: &str) -> Result<Duration, InvalidDuration> {
    parse_in(text, &WAIT_UNITS, DURATION_MAX)
}

/// Reads a duration of at most `max` in one of the units, zero too.
///
/// # Errors
/// The form, or longer than `max`.
pub fn parse_in(text: &str, units: &[Unit], max: Duration) -> Result<Duration, InvalidDuration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit = units.iter().find(|(name, _)| *name == unit).filter(|_| !number.is_empty());
    let (_, unit_ms) = unit.ok_or(InvalidDuration::Form)?;
    // Digits alone fail to parse only when they are too many.
    let ms = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit_ms));
    ms.map(Duration::from_millis).filter(|duration| *duration <= max).ok_or(InvalidDuration::TooLong)
}

/// Reads a wait that must not be zero.
///
/// # Errors
/// As [`parse`], or zero.
pub fn parse_positive(text: &str) -> Result<Duration, InvalidDuration> {
    parse(text).and_then(|duration| if duration.is_zero() { Err(InvalidDuration::Zero) } else { Ok(duration) })
}

/// Pauses between tries: each twice as long as the one before, up to a bound.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// The pause after the first failure.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl Pauses {
    /// The pause after a failure that `before` others in a row came before.
    #[must_use]
    pub fn after(self, before: u32) -> Duration {
        self.first.saturating_mul(2_u32.saturating_pow(before)).min(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_four_units_are_read() {
        assert_eq!(parse("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(parse("5m"), Ok(Duration::from_secs(300)));
        assert_eq!(parse("24h"), Ok(DURATION_MAX));
    }

    #[test]
    fn a_number_without_a_unit_and_a_unit_without_a_number_are_refused() {
        for text in ["", "5", "s", "ms", "5 s", " 5s", "5S", "1.5s", "-1s", "+1s", "5sec", "5d", "٣s"] {
            assert_eq!(parse(text), Err(InvalidDuration::Form), "{text:?}");
        }
    }

    #[test]
    fn what_overflows_is_too_long_and_not_short() {
        for text in ["25h", "86400001ms", "18446744073709551615s", "99999999999999999999999s"] {
            assert_eq!(parse(text), Err(InvalidDuration::TooLong), "{text}");
        }
    }

    #[test]
    fn zero_is_refused_where_it_is_senseless() {
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_positive("0ms"), Err(InvalidDuration::Zero));
        assert_eq!(parse_positive("1ms"), Ok(Duration::from_millis(1)));
    }
}
