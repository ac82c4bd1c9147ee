//! The mails to the owner of a webhook: it was switched off, it fails, it delivers again.
//!
//! Architecture invariants: only this room knows lettre; a mail is handed over only after the event
//! that owes it is durable, so the caller holds an [`OwedMail`] as the outbox stores it; the same owed
//! mail is always the same bytes with the same Message-ID, so a repetition can be recognised.
//!
//! Reading order: what goes out (`template`, the words; `text`, what is escaped in them; `compose`, the bytes, by which `sender`) and how (`server`, where
//! to, with which `login`; `relay`, SMTP, over a `cleaned` stream, by `tls` or not, with a `hello` that the server takes; what a `refusal` is about,
//! its `progress` and `outcome`, and the `gap` between two).

mod template;
mod text;
mod compose;
mod sender;
mod cleaned;
mod tls;
mod login;
mod server;
mod hello;
mod refusal;
mod progress;
mod outcome;
mod relay;
mod gap;

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::Duration;

use lettre::message::Mailbox;
use parking_lot::Mutex;
use rustls::RootCertStore;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};

pub use self::compose::{CapturedMail, TestMail};
use self::compose::{ComposeError, Composed, compose, compose_test};
use self::gap::MailGap;
pub use self::hello::InvalidHello;
use self::outcome::Ended;
pub use self::progress::MailLimits;
use self::relay::{Parcel, Relay};
pub use self::sender::InvalidSender;
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
    /// How long the mail server may take for one mail.
    pub limits: MailLimits,
    /// Hand-overs at a time ([`config::MAILS_AT_ONCE`]).
    pub at_once: usize,
    /// Draws from 0 to 1, so that several nodes do not come back to the server together.
    pub spread: fn() -> f64,
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
    /// The sender is none.
    #[error("the sender {typed:?} (--mail-from) {why}")]
    From {
        /// As it was written.
        typed: String,
        /// What is wrong with it.
        why: InvalidSender,
    },
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
    limits: MailLimits,
    turns: Semaphore,
    /// Of the turns one at most is a test mail's: whoever is impatient holds up no owner's mail.
    tests: Semaphore,
    gap: Mutex<MailGap>,
    spread: fn() -> f64,
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
        let from = sender::read(&options.from).map_err(|why| MailerError::From { typed: options.from.clone(), why })?;
        Ok(Self(Arc::new(SharedMailer {
            outlet: Outlet::Relay(Box::new(relay)),
            from,
            public_url: options.public_url.clone(),
            limits: options.limits,
            turns: Semaphore::new(options.at_once.max(1)),
            tests: Semaphore::new(1),
            gap: Mutex::default(),
            spread: options.spread,
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
            limits: MailLimits::default(),
            turns: Semaphore::new(config::MAILS_AT_ONCE),
            tests: Semaphore::new(1),
            gap: Mutex::default(),
            spread: || 0.0,
        }))
    }

    /// Hands one mail over and says what the mail server made of it: at most [`MailLimits::whole`] later; where as many are being
    /// handed over as may be, or as the server takes, it is not begun. `mail` is what the outbox stores: a repeated call with it
    /// carries the same Message-ID.
    pub async fn send(&self, mail: &OwedMail) -> MailResult {
        self.send_unless_recalled(mail, pending()).await
    }

    /// The same; when `recalled` ends before the final dot is sent, the mail counts as not begun. What becomes of it
    /// afterwards only the mail server can say, so its answer is waited for.
    pub async fn send_unless_recalled(&self, mail: &OwedMail, recalled: impl Future<Output = ()>) -> MailResult {
        let composed = compose(mail, &self.0.from, self.0.public_url.as_deref());
        self.send_composed(composed, self.0.limits, ready(true), recalled).await
    }

    /// Hands a test mail over, in the same way, within `whole`. It is begun once the server is ready for it and `permit` says
    /// yes.
    pub async fn send_test(&self, mail: &TestMail, whole: Duration, permit: impl Future<Output = bool>) -> MailResult {
        let Ok(_test) = self.0.tests.try_acquire() else { return MailResult::NotBegun };
        let composed = compose_test(mail, &self.0.from, self.0.public_url.as_deref());
        self.send_composed(composed, MailLimits { whole, ..self.0.limits }, permit, pending()).await
    }

    async fn send_composed(
        &self,
        composed: Result<Composed, ComposeError>,
        limits: MailLimits,
        permit: impl Future<Output = bool>,
        recalled: impl Future<Output = ()>,
    ) -> MailResult {
        let mailer = &*self.0;
        let composed = match composed {
            Ok(composed) => composed,
            Err(error) => return MailResult::Refused(format!("{error}.")),
        };
        let Ok(_turn) = mailer.turns.try_acquire() else { return MailResult::NotBegun };
        let begun = Instant::now();
        if !mailer.gap.lock().begin(begun) {
            return MailResult::NotBegun;
        }
        match mailer.hand_over(composed, limits, permit, recalled).await {
            Ended::Mail(result) => {
                if matches!(result, MailResult::Sent | MailResult::Refused(_) | MailResult::Later(_)) {
                    mailer.gap.lock().served(begun);
                }
                result
            }
            Ended::Server(why) => {
                mailer.gap.lock().refused(begun, Instant::now(), (mailer.spread)());
                MailResult::Later(why)
            }
        }
    }
}

impl SharedMailer {
    async fn hand_over(
        &self,
        Composed { to, mail }: Composed,
        limits: MailLimits,
        permit: impl Future<Output = bool>,
        recalled: impl Future<Output = ()>,
    ) -> Ended {
        match &self.outlet {
            Outlet::Relay(relay) => {
                let parcel = Parcel { from: &self.from.email, to: &to, raw: &mail.raw };
                relay.hand_over(&parcel, limits, permit, recalled).await
            }
            Outlet::Capture(_) if !permit.await => Ended::Mail(MailResult::NotBegun),
            Outlet::Capture(shown) => Ended::Mail(match timeout(limits.whole, shown.send(mail)).await {
                Ok(Ok(())) => MailResult::Sent,
                Ok(Err(_)) => MailResult::Later("Nobody looks at the captured mails any more.".to_owned()),
                Err(_) => MailResult::Later(format!("Nobody took the captured mail within {:?}.", limits.whole)),
            }),
        }
    }
}
