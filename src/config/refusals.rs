//! Limits of what is told and tried while a Redis answers and refuses.

use std::time::Duration;

/// How often answers are looked for where no blocking read of their own can be made.
pub const ANSWERS_LOOK_EVERY: Duration = Duration::from_millis(50);
/// For how long Redis may refuse to be read before those who wait for an answer are told so: a right that is replaced by another
/// one, or a script that is too slow, is over by then.
pub const ANSWERS_REFUSED_MAX: Duration = Duration::from_secs(1);
/// For how long it is told that Redis refused something, after it did so last and did not do it since.
pub const REFUSAL_TOLD_FOR: Duration = Duration::from_secs(60);
/// How often it is tried whether Redis takes a new connection: what uses those that it has does not notice.
pub const CONNECTION_TRIED_EVERY: Duration = Duration::from_secs(60);
/// The same while it takes none.
pub const CONNECTION_TRIED_AGAIN: Duration = Duration::from_secs(5);
