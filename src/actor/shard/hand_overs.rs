//! The mails of a shard that are being handed over, each in a task of its own.
//!
//! A shard that is given up must not leave them behind: whoever holds it next sends every mail that is still owed. So before
//! its final dot a mail is recalled, and an answer that nobody can record any more is not waited for; closing the connection
//! then makes some servers forget the mail, and frees the place of another shard's.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio::sync::watch;

use crate::actor::protocol::ToShard;
use crate::journal::port::OwedMail;
use crate::notify::Mailer;
use crate::workspace::decide::MailResult;

/// The hand-overs end when this is dropped.
#[derive(Debug)]
pub(super) struct HandOvers {
    /// Changes when all that were begun are recalled; its end abandons them.
    recalls: watch::Sender<()>,
}

impl Default for HandOvers {
    fn default() -> Self {
        Self { recalls: watch::Sender::new(()) }
    }
}

impl HandOvers {
    /// Begins to hand `mail` over; `tell` gets what becomes of it.
    pub(super) fn begin(&self, mailer: Option<Mailer>, mail: OwedMail, tell: impl FnOnce(ToShard) + 'static) {
        let (mut recalls, mut end) = (self.recalls.subscribe(), self.recalls.subscribe());
        actix_rt::spawn(async move {
            let recalled = async move { drop(recalls.changed().await) };
            let abandoned = async move { while end.changed().await.is_ok() {} };
            let result = tokio::select! {
                biased;
                () = abandoned => return,
                result = hand_over(mailer, &mail, recalled) => result,
            };
            tell(ToShard::MailSent(mail.workspace, mail.id, result));
        });
    }

    /// Those whose final dot has not been sent end as not begun.
    pub(super) fn recall(&self) {
        self.recalls.send_replace(());
    }

    /// All that were begun end, and nobody is told.
    pub(super) fn abandon(&mut self) {
        *self = Self::default();
    }
}

async fn hand_over(mailer: Option<Mailer>, mail: &OwedMail, recalled: impl Future<Output = ()>) -> MailResult {
    let Some(mailer) = mailer else {
        return MailResult::Later("no mail server is configured: set --smtp-url".to_owned());
    };
    AssertUnwindSafe(mailer.send_unless_recalled(mail, recalled))
        .catch_unwind()
        .await
        .unwrap_or_else(|_| MailResult::Later("handing the mail over failed inside the service".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::RootCertStore;
    use support::smtp::{Fault, SmtpServer};

    use super::*;
    use crate::actor::shard::mails::tests::owed;
    use crate::notify::{MailLimits, MailerOptions};

    /// A shard that comes back to this node begins the mail again: an old hand-over beside it would send it twice.
    #[test]
    fn hand_overs_that_are_abandoned_close_their_connections_and_tell_nobody() {
        actix_rt::System::new().block_on(async {
            let smtp = SmtpServer::start([Fault::Stall("."), Fault::Stall("RCPT")]).await;
            let mailer = Mailer::new(&MailerOptions {
                smtp_url: format!("smtp://{}", smtp.address),
                from: "outbound@acme.example".to_owned(),
                public_url: None,
                hello: None,
                roots: Arc::new(RootCertStore::empty()),
                limits: MailLimits::default(),
                at_once: 2,
                spread: || 0.0,
            });
            let mailer = mailer.unwrap();
            let (mut hand_overs, (tell, told)) = (HandOvers::default(), std::sync::mpsc::channel());
            for _ in 0..2 {
                let tell = tell.clone();
                let tell = move |_| tell.send(()).unwrap();
                hand_overs.begin(Some(mailer.clone()), owed("acme"), tell);
            }
            smtp.until(|(open, _)| *open == 2).await;
            support::process::until("one has its dot", async || smtp.received().len() == 1).await;
            hand_overs.recall();
            smtp.until(|(open, all)| (*open, *all) == (1, 2)).await;
            hand_overs.abandon();
            smtp.until(|(open, _)| *open == 0).await;
            drop(tell);
            assert_eq!(told.iter().count(), 1, "of the recalled one");
        });
    }
}
