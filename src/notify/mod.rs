//! The mail to the owner of a webhook that was switched off.

use crate::journal::port::OwedMail;
use crate::workspace::decide::MailResult;

/// Hands mails to the mail server. Cheap to clone; bounds how many at a time.
#[derive(Debug, Clone)]
pub struct Mailer {}

impl Mailer {
    /// Hands one mail over and says what the server made of it, at most `config::MAIL_TIMEOUT` later.
    /// A repeated call for the same mail carries the same Message-ID.
    pub async fn send(&self, mail: &OwedMail) -> MailResult {
        let _ = mail;
        unimplemented!()
    }
}
