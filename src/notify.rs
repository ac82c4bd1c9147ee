//! The mails to the owner of a webhook: it was switched off, it fails, it delivers again.
//!
//! Architecture invariants: only this room knows lettre; a mail is handed over only after the event
//! that owes it is durable, so the caller holds an [`OwedMail`] as the outbox stores it; the same owed
//! mail is always the same bytes with the same Message-ID, so a repetition can be recognised.
//!
//! Reading order: what goes out (`template`, the words; `text`, what is escaped in them; `compose`, the bytes) and how (`server`, where
//! to, with which `login`; `relay`, SMTP, over a `cleaned` stream, by `tls` or not, with a `hello` that the server takes; what a `refusal` is about,
//! and the `outcome`).

mod template;
mod text;
mod compose;
mod cleaned;
mod tls;
mod login;
mod server;
mod hello;
mod refusal;
mod outcome;
mod relay;

use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use rustls::RootCertStore;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

pub use self::compose::{CapturedMail, TestMail};
use self::compose::{ComposeError, Composed, compose, compose_test};
pub use self::hello::InvalidHello;
use self::relay::Relay;
use self::server::MailServer;
pub use self::server::UrlError;
use crate::config;
use crate::journal::port::OwedMail;
use crate::workspace::decide::MailResult;

/// The sender of mails that are only shown.
const CAPTURE_FROM: &str = "outbound@localhost";

/// How mails leave.
#[derive(Debug, Clone)]
pub struct MailerOptions {
    /// `smtps://user:password@host`, `smtp://host?tls=required` (STARTTLS), `smtp://localhost`
    /// (unprotected, this machine only) or `smtp://host?tls=none` (unprotected).
    pub smtp_url: String,
    /// The sender: `outbound@acme.example` or `Outbound <outbound@acme.example>`.
    pub from: String,
    /// The facade's address as the outside sees it: with it the mail links to the webhook's screen.
    pub public_url: Option<String>,
    /// The name that the mail server is greeted with. Without one it is the public URL's host, or else this machine's
    /// name, where that is a full one, or else the address of the connection.
    pub hello: Option<String>,
    /// Whose certificates of mail servers hold.
    pub roots: Arc<RootCertStore>,
    /// One hand-over, from the connecting to the answer ([`config::MAIL_TIMEOUT`]).
    pub timeout: Duration,
    /// Hand-overs at a time ([`config::MAILS_AT_ONCE`]).
    pub at_once: usize,
}

/// A mailer cannot be made of the configuration.
#[derive(Debug, thiserror::Error)]
pub enum MailerError {
    /// The mail server's URL cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The name to greet with is none.
    #[error("the name to greet the mail server with (--smtp-hello): {0}")]
    Hello(#[from] InvalidHello),
    /// The sender is no address, or not one that every mail server takes.
    #[error(
        "the sender {0:?} is no mail address of ASCII letters; write outbound@example.com or Outbound <outbound@example.com>"
    )]
    From(String),
}

/// Hands mails to the mail server. Cheap to clone; bounds how many at a time over all clones. Keeps no
/// connection, so its clones may be used on several threads' runtimes at once.
#[derive(Debug, Clone)]
pub struct Mailer(Arc<SharedMailer>);

#[derive(Debug)]
struct SharedMailer {
    outlet: Outlet,
    from: Mailbox,
    public_url: Option<String>,
    timeout: Duration,
    turns: Semaphore,
}

/// Where mails go.
#[derive(Debug)]
enum Outlet {
    /// To a mail server.
    Relay(Box<Relay>),
    /// To whoever shows them: they are sent to nobody.
    Capture(mpsc::Sender<CapturedMail>),
}

impl Mailer {
    /// A mailer that hands mails to the mail server that `options` name. Nothing is connected yet.
    ///
    /// # Errors
    /// The mail server's URL, the sender or the name to greet with cannot be used.
    pub fn new(options: &MailerOptions) -> Result<Self, MailerError> {
        let hello = hello::chosen(options.hello.as_deref(), options.public_url.as_deref())?;
        let relay = Relay::new(MailServer::new(&options.smtp_url, &options.roots)?, hello);
        let no_sender = || MailerError::From(options.from.clone());
        let from: Mailbox = options.from.parse().map_err(|_| no_sender())?;
        if !from.email.to_string().is_ascii() {
            return Err(no_sender());
        }
        Ok(Self(Arc::new(SharedMailer {
            outlet: Outlet::Relay(Box::new(relay)),
            from,
            public_url: options.public_url.clone(),
            timeout: options.timeout,
            turns: Semaphore::new(options.at_once.max(1)),
        })))
    }

    /// A mailer that needs no mail server: each mail is composed as for one and then sent to
    /// `shown`. The demo shows mails this way.
    #[must_use]
    pub fn capture(shown: mpsc::Sender<CapturedMail>, public_url: Option<String>) -> Self {
        #[expect(clippy::expect_used, reason = "a constant, and a test sends a mail with it")]
        let from = CAPTURE_FROM.parse().expect("the constant is a mail address");
        Self(Arc::new(SharedMailer {
            outlet: Outlet::Capture(shown),
            from,
            public_url,
            timeout: config::MAIL_TIMEOUT,
            turns: Semaphore::new(config::MAILS_AT_ONCE),
        }))
    }

    /// Hands one mail over and says what the mail server made of it: at most [`MailerOptions::timeout`]
    /// later; where as many are being handed over as may be, it is not begun. `mail` is what the outbox stores: a
    /// repeated call with it carries the same Message-ID.
    pub async fn send(&self, mail: &OwedMail) -> MailResult {
        self.send_composed(compose(mail, &self.0.from, self.0.public_url.as_deref())).await
    }

    /// Hands a test mail over, in the same way.
    pub async fn send_test(&self, mail: &TestMail) -> MailResult {
        self.send_composed(compose_test(mail, &self.0.from, self.0.public_url.as_deref())).await
    }

    async fn send_composed(&self, composed: Result<Composed, ComposeError>) -> MailResult {
        let mailer = &*self.0;
        let composed = match composed {
            Ok(composed) => composed,
            Err(error) => return MailResult::Refused(format!("{error}.")),
        };
        let Ok(_turn) = mailer.turns.try_acquire() else { return MailResult::NotBegun };
        mailer.hand_over(composed).await
    }
}

impl SharedMailer {
    async fn hand_over(&self, Composed { to, mail }: Composed) -> MailResult {
        match &self.outlet {
            Outlet::Relay(relay) => relay.hand_over(&self.from.email, &to, &mail.raw, self.timeout).await,
            Outlet::Capture(shown) => match timeout(self.timeout, shown.send(mail)).await {
                Ok(Ok(())) => MailResult::Sent,
                Ok(Err(_)) => MailResult::Later("Nobody looks at the captured mails any more.".to_owned()),
                Err(_) => MailResult::Later(format!("Nobody took the captured mail within {:?}.", self.timeout)),
            },
        }
    }
}
