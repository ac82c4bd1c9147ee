//! How mails leave, and their limits.

use std::path::PathBuf;
use std::time::Duration;

use super::duration::Pauses;

/// How mails leave.
#[derive(Debug, Clone)]
pub struct MailConfig {
    /// `smtp://`, `smtps://`, with user and password when needed; `?tls=required` for STARTTLS.
    pub smtp_url: String,
    /// The sender's address.
    pub from: String,
    /// The name that the mail server is greeted with.
    pub hello: Option<String>,
    /// A file with certificate authorities (PEM) that count for the mail server beside the system's.
    pub authorities: Option<PathBuf>,
}

/// How long one address of the mail server may take to connect to.
pub const MAIL_CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the mail server may take for the answer to a command (RFC 5321 section 4.5.3.2).
pub const MAIL_ANSWER_TIMEOUT: Duration = Duration::from_secs(5 * 60);
/// How long it may take for the answer to the whole mail (RFC 5321 section 4.5.3.2.6): who leaves earlier sends again what was
/// taken.
pub const MAIL_TAKEN_TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// One hand-over, connecting to answer, so that no server keeps others' places for long.
pub const MAIL_TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// How long a drain waits for the answer to a whole mail; the shard delivers nothing meanwhile.
pub const MAIL_DRAIN_MAX: Duration = Duration::from_secs(5);
/// Hand-overs at a time, a node.
pub const MAILS_AT_ONCE: usize = 4;
/// How long a shard begins no mail after one that had to wait for others. That one has not begun meanwhile.
pub const MAIL_TURN_WAIT: Duration = Duration::from_millis(250);
/// Between the beginnings of two mails of a node once its mail server said that it takes no more, as often as it says so.
pub const MAIL_GAPS: Pauses = Pauses { first: Duration::from_millis(250), most: Duration::from_secs(30) };
/// When the last such answer is so long ago, mails begin without a gap again.
pub const MAIL_GAP_FORGOTTEN: Duration = Duration::from_secs(10 * 60);
/// Pauses between tries of one mail.
pub const MAIL_BACKOFF: Pauses = Pauses { first: Duration::from_secs(5), most: Duration::from_secs(30 * 60) };
