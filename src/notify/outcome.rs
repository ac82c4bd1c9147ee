//! What becomes of a mail that the mail server did not take, and what is said of it.

use std::error::Error as _;
use std::fmt;
use std::io;

use lettre::Address;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tracing::warn;

use super::progress::Silence;
use super::refusal::{NegativeAnswer, OurFault, Stage};
use super::server::{MailServer, Security};
use super::text::one_line;
use super::tls;
use crate::workspace::decide::MailResult;

/// The code for a command that the server did not expect here: nothing of it is the owner's.
const BAD_SEQUENCE: u16 = 503;
/// Characters retained of what a mail server said.
const SAID_MAX: usize = 300;

/// What helps where a server takes no login of a kind that we know.
const NO_LOGIN_HELPS: &str = "; have it allow one of them, or, where it takes mails from here without, take user and password out \
                              of --smtp-url";

/// Why there is no connection to hand a mail over on.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{}", tls::told(.0))]
    Io(#[from] io::Error),
    #[error("{}", said(.0))]
    Smtp(#[from] SmtpError),
    #[error("it does not begin TLS: {}", said(.0))]
    StartTls(#[source] SmtpError),
    #[error("{}", said(.0))]
    Login(#[source] SmtpError),
    #[error("it offers no STARTTLS; without TLS no mail is handed over")]
    NoStartTls,
    #[error("it offers no login that we know (PLAIN, LOGIN)")]
    NoLogin {
        /// It may do so over TLS, which it offers.
        starttls: bool,
    },
}

/// Why the server has not taken the mail.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotTaken {
    #[error("{}", said(.0))]
    Smtp(#[from] SmtpError),
    /// It said something else than what answers the command.
    #[error("{} {}", .0.code(), .0.message().collect::<Vec<_>>().join(" "))]
    OutOfTurn(Response),
    #[error("it takes only addresses of ASCII letters")]
    Ascii,
}

/// What a hand-over came to.
#[derive(Debug)]
pub(super) enum Ended {
    /// That of the mail.
    Mail(MailResult),
    /// The server takes none of ours, or not so many: the mail is sent later, as others are.
    Server(String),
}

/// A hand-over that did not succeed.
#[derive(Debug)]
pub(super) struct Outcome<'a> {
    pub(super) server: &'a MailServer,
    /// How far it came.
    pub(super) stage: Stage,
    /// Of the sender and of the owner.
    pub(super) addresses: [&'a Address; 2],
}

impl Outcome<'_> {
    /// No answer came in time.
    pub(super) fn silent(&self, silence: Silence) -> Ended {
        let Self { server, stage, .. } = self;
        let far = match stage {
            Stage::Greeting if !matches!(server.security, Security::Implicit(_)) => {
                ", not even with a greeting; where TLS begins at once, mostly at port 465, write smtps:// in --smtp-url"
            }
            Stage::Mail => "; whether it took the mail is unknown",
            _ => "; nothing was handed over",
        };
        let why = match silence {
            Silence::Answer(limit) => format!("The mail server {server} did not answer within {limit:?}{far}."),
            Silence::Whole(limit) => format!("The mail server {server} was not done within {limit:?}{far}."),
        };
        match (stage, silence) {
            (Stage::Mail, _) => Ended::Mail(MailResult::Unknown(why)),
            // A limit of ours, which a test mail has a short one of: the server may be no slower than it may be.
            (_, Silence::Whole(_)) | (Stage::Recipient | Stage::Data | Stage::Content, _) => {
                Ended::Mail(MailResult::Later(why))
            }
            (Stage::Connecting | Stage::Greeting | Stage::Introduction | Stage::Sender, _) => Ended::Server(why),
        }
    }

    /// There is no connection. That is the operator's to mend and says nothing about the mail, so even a 5xx is "later".
    pub(super) fn unusable(&self, error: &ConnectError) -> Ended {
        let Self { server, .. } = self;
        let helps = match error {
            ConnectError::Io(error) => {
                tls::what_helps(error, matches!(server.security, Security::Implicit(_))).to_owned()
            }
            ConnectError::Smtp(error) => {
                self.our_fault(error).map_or_else(String::new, |fault| format!("; {}", self.mend(fault)))
            }
            ConnectError::Login(error) if self.our_fault(error) == Some(OurFault::NoTls) => {
                format!("; {}", self.mend(OurFault::NoTls))
            }
            // It knows no AUTH, or none now, or none of this kind.
            ConnectError::Login(error) if matches!(error.status().map(u16::from), Some(500 | 502..=504)) => {
                NO_LOGIN_HELPS.to_owned()
            }
            ConnectError::Login(error) if error.is_permanent() => "; see user and password in --smtp-url".to_owned(),
            ConnectError::NoLogin { starttls: true } if matches!(server.security, Security::Plain) => {
                format!("; mostly it wants TLS first: {}", self.mend(OurFault::NoTls))
            }
            ConnectError::NoLogin { .. } => NO_LOGIN_HELPS.to_owned(),
            ConnectError::Login(_) | ConnectError::StartTls(_) | ConnectError::NoStartTls => String::new(),
        };
        let said = self.shown(error);
        if !helps.is_empty() {
            warn!(%server, error = said, "The mail server cannot be used{helps}.");
        }
        Ended::Server(format!("The mail server {server} cannot be used: {said}{helps}"))
    }

    /// The server was greeted with `hello` and did not take the sender, the owner's address or the mail.
    ///
    /// 5xx is for good (RFC 5321 section 4.2.1), but not where it is about us, which the operator can mend. Everything
    /// else, an answer that never came included, may end otherwise next time.
    pub(super) fn not_taken(&self, why: &NotTaken, hello: &ClientId) -> Ended {
        let (Self { server, .. }, what) = (self, what(self.stage));
        let said = self.shown(why);
        let error = match why {
            NotTaken::Smtp(error) if error.status().is_some() => error,
            NotTaken::Smtp(_) => {
                return self.unknown(format!("The mail server {server} did not say whether it takes {what}: {said}"));
            }
            NotTaken::OutOfTurn(_) => {
                return self.unknown(format!(
                    "The mail server {server} gave an answer out of turn where it was told {what}, so whether it takes it \
                     is unknown: {said}"
                ));
            }
            NotTaken::Ascii => {
                return Ended::Mail(MailResult::Refused(format!(
                    "The mail server {server} takes only addresses of ASCII letters; save the webhook with another \
                     owner_email."
                )));
            }
        };
        let later = match self.our_fault(error) {
            Some(OurFault::Hello) => {
                warn!(
                    %server, greeted_with = %hello, answer = said,
                    "The mail server refuses the name that it is greeted with; {}.", self.mend(OurFault::Hello)
                );
                format!(
                    "The mail server {server} refuses {hello}, the name that it is greeted with; the operator can choose \
                     another one (--smtp-hello): {said}"
                )
            }
            Some(fault) => {
                let (refused, mend) = (self.refused(fault), self.mend(fault));
                warn!(%server, answer = said, "The mail server refuses {refused}: {mend}.");
                format!("The mail server {server} refuses {refused}, which the operator can mend ({mend}): {said}")
            }
            None if error.is_permanent() && error.status().map(u16::from) != Some(BAD_SEQUENCE) => {
                let why = format!("The mail server {server} refused {what}: {said}");
                return Ended::Mail(MailResult::Refused(why));
            }
            None => format!("The mail server {server} did not take {what} yet: {said}"),
        };
        match self.with_answer(error, |answer| answer.is_crowded()) {
            Some(true) => Ended::Server(later),
            _ => Ended::Mail(MailResult::Later(later)),
        }
    }

    /// There was no answer, or none to what it was told.
    fn unknown(&self, why: String) -> Ended {
        Ended::Mail(if self.stage == Stage::Mail { MailResult::Unknown(why) } else { MailResult::Later(why) })
    }

    /// What the server said, fit for a sentence that owners read.
    fn shown(&self, said: &impl fmt::Display) -> String {
        let said = said.to_string();
        let login = self.server.login.as_ref();
        one_line(&login.map_or_else(|| said.clone(), |login| login.without(&said)), SAID_MAX)
    }

    /// Whether EHLO is refused in a way that HELO may not be.
    pub(super) fn refuses_ehlo(&self, error: &SmtpError) -> bool {
        self.with_answer(error, |answer| answer.refuses_ehlo()).unwrap_or_default()
    }

    /// What of ours a refusal is about.
    fn our_fault(&self, error: &SmtpError) -> Option<OurFault> {
        self.with_answer(error, |answer| answer.our_fault()).flatten()
    }

    /// What is read from the server's answer, if the error is one.
    fn with_answer<T>(&self, error: &SmtpError, read: impl FnOnce(&NegativeAnswer<'_>) -> T) -> Option<T> {
        Some(read(&NegativeAnswer {
            stage: self.stage,
            code: error.status()?.into(),
            text: &error.source().map(ToString::to_string).unwrap_or_default(),
            addresses: &self.addresses,
            secure: !matches!(self.server.security, Security::Plain),
        }))
    }

    /// What the server refuses of ours, in a sentence.
    fn refused(&self, fault: OurFault) -> &'static str {
        match fault {
            OurFault::Hello => "the name that it is greeted with",
            OurFault::NoTls => "mails without TLS",
            OurFault::Login if self.server.login.is_some() => "mails to others from this login",
            OurFault::Login => "mails without a login",
            OurFault::Sender => "the sender",
            OurFault::Machine => "mails from this machine",
        }
    }

    /// What the operator can do, as an order.
    fn mend(&self, fault: OurFault) -> &'static str {
        match fault {
            OurFault::Hello => "choose the name that we greet with by --smtp-hello",
            OurFault::NoTls => "write ?tls=required behind the address in --smtp-url",
            OurFault::Login if self.server.login.is_some() => "see what the login in --smtp-url may do",
            OurFault::Login => {
                "give user and password in --smtp-url, or let the server take mails from here without them"
            }
            OurFault::Sender => "choose an address that it takes with --mail-from",
            OurFault::Machine => {
                "see what it says of this machine and of the sender's domain, or name another server, or a login, with \
                 --smtp-url"
            }
        }
    }
}

/// What the server is told at this stage.
fn what(stage: Stage) -> &'static str {
    match stage {
        Stage::Connecting | Stage::Greeting | Stage::Introduction => "our name",
        Stage::Sender => "the sender",
        Stage::Recipient => "the recipient",
        Stage::Data | Stage::Content | Stage::Mail => "the mail",
    }
}

/// What the error says: our own reason where we have one, or else lettre's words.
fn said(error: &SmtpError) -> String {
    let Some(cause) = error.source() else { return error.to_string() };
    if cause.is::<io::Error>() {
        cause.to_string()
    } else if error.is_response() {
        // lettre's parser names its own parts; only lines of several codes come so far.
        let cause = cause.to_string();
        let of_the_parser = cause.starts_with("error ");
        let cause = if of_the_parser { "its lines have several codes" } else { cause.as_str() };
        format!("its answer cannot be read: {cause}")
    } else {
        error.to_string()
    }
}
