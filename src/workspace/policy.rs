//! The numbers that decisions depend on and that an operator may choose.

use std::time::Duration;

/// Mails a workspace in [`MAIL_LIMIT_SPAN`] ([contract, section 3](crate::docs::contract#3-the-rules)).
pub const MAILS_PER_DAY_MAX: usize = 10;
/// Of these, mails that tell something else than a switch-off: however often an endpoint fails and recovers,
/// as many switch-offs can still be told.
pub const OTHER_MAILS_PER_DAY_MAX: usize = 5;
/// Test mails a workspace in [`MAIL_LIMIT_SPAN`], beside the others: who may save may write any address.
pub const TEST_MAILS_PER_DAY_MAX: usize = 3;
/// The error of a streak that a warning tells.
pub const WARNING_ERRORS: u32 = 5;
/// The span of [`MAILS_PER_DAY_MAX`], and how long a mail is tried.
pub const MAIL_LIMIT_SPAN: Duration = Duration::from_secs(24 * 60 * 60);
/// Between two test POSTs of a workspace ([contract, section 3](crate::docs::contract#3-the-rules)).
pub const TEST_INTERVAL: Duration = Duration::from_secs(1);

/// How long the secret before a rotation is signed with too: a day, in which the endpoint takes up the
/// new one.
pub const SECRET_OVERLAP: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest that may be chosen for it.
pub const SECRET_OVERLAP_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Looks of one subject at the secret within this span are one: a page that is loaded again is no other look.
pub const VIEW_INTERVAL: Duration = Duration::from_secs(60);

/// What an operator chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Errors in a row that leave the webhook on; one more switches it off. 10 by default.
    pub error_limit: u32,
    /// Which errors count.
    pub counting: Counting,
    /// Attempts of one workspace in flight at most.
    pub in_flight_max: u32,
    /// Whether a mail server is configured.
    pub mail_server: bool,
    /// Whether the owner is warned after [`WARNING_ERRORS`] errors. The error that switches off is told
    /// by the mail of the switch-off alone, so with an `error_limit` below that there is no warning.
    pub mail_warning: bool,
    /// Whether the owner is told that a webhook delivers again after errors had switched it off.
    pub mail_recovered: bool,
}

impl Policy {
    /// How many more errors switch the webhook off: `limit + 1 − errors`. At least 1, so that a limit
    /// that was lowered below the counter does not leave a webhook on that is never attempted.
    #[must_use]
    pub fn errors_left(&self, errors: u32) -> u32 {
        self.error_limit.saturating_add(1).saturating_sub(errors).max(1)
    }
}

/// Which errors count towards the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counting {
    /// A success sets the counter to 0.
    #[default]
    Consecutive,
    /// Only a save does.
    SinceSaved,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            error_limit: 10,
            counting: Counting::Consecutive,
            in_flight_max: 32,
            mail_server: true,
            mail_warning: false,
            mail_recovered: false,
        }
    }
}
