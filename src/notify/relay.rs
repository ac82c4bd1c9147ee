//! The mail server: where it is, how to reach it safely, and one hand-over over SMTP.
//!
//! lettre's ready-made transport is not used: its timeout covers only the connecting, and it waits for
//! the answer to QUIT before it says what became of the mail. Its connection is used instead, command
//! by command, so that a refusal is known with its reason at once, whatever the server does next.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use url::Url;

use super::text::one_line;
use crate::workspace::decide::MailResult;

/// How long the goodbye may take once the outcome is known.
const QUIT_WAIT: Duration = Duration::from_secs(1);
/// Characters retained of what a mail server said.
const SAID_MAX: usize = 300;

/// One mail server.
#[derive(Clone)]
pub(super) struct Relay {
    host: String,
    port: u16,
    security: Security,
    login: Option<Credentials>,
}

/// What protects the connection.
#[derive(Clone)]
enum Security {
    /// TLS from the first byte (RFC 8314).
    Implicit(TlsParameters),
    /// STARTTLS (RFC 3207); a server that does not offer it gets no mail.
    StartTls(TlsParameters),
    /// Nothing.
    Plain,
}

/// The mail server's URL cannot be used. It may hold a password, so it is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It is no URL.
    #[error("the mail server's URL is no URL; write smtps://user:password@host, or smtp://host?tls=required")]
    Syntax(#[source] url::ParseError),
    /// It is something else's.
    #[error("the mail server's URL begins with {0}://; write smtps://… (TLS) or smtp://…?tls=required (STARTTLS)")]
    Scheme(String),
    /// It names no host.
    #[error("the mail server's URL names no host; write smtps://user:password@host, or smtp://host?tls=required")]
    NoHost,
    /// It has a part that means nothing here.
    #[error("the mail server's URL may hold user, password, host, port and ?tls=required or ?tls=none; take {0:?} out")]
    Superfluous(String),
    /// A user without a password or a password without a user.
    #[error("the mail server's URL holds only one of user and password; give both, percent-encoded, or none")]
    HalfLogin,
    /// It would send mails unprotected over a network.
    #[error(
        "the mail server's URL asks for no TLS and {0} is not this machine; add ?tls=required for STARTTLS, or \
         ?tls=none when everybody on the way may read the mails"
    )]
    Unprotected(String),
    /// TLS cannot be set up.
    #[error("TLS to the mail server cannot be set up; check its host name and the certificates to trust")]
    Tls(#[source] SmtpError),
}

impl Relay {
    /// Reads `smtps://user:password@host:465`, `smtp://host:587?tls=required` or, without protection,
    /// `smtp://localhost:25` and `smtp://host:25?tls=none`. `trusted` (PEM) is trusted beside the
    /// authorities of the web.
    pub(super) fn new(url: &str, trusted: Option<&[u8]>) -> Result<Self, UrlError> {
        let url = Url::parse(url).map_err(UrlError::Syntax)?;
        let bare = url.path().is_empty() || url.path() == "/";
        if !bare || url.fragment().is_some() {
            return Err(UrlError::Superfluous(url.path().to_owned()));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(UrlError::NoHost)?;
        let host = host.trim_matches(['[', ']']).to_owned();
        let tls = || tls_parameters(&host, trusted);
        let (security, port) = match (url.scheme(), url.query()) {
            ("smtps", None) => (Security::Implicit(tls()?), 465),
            ("smtp", Some("tls=required")) => (Security::StartTls(tls()?), 587),
            ("smtp", Some("tls=none")) => (Security::Plain, 25),
            ("smtp", None) if is_loopback(&host) => (Security::Plain, 25),
            ("smtp", None) => return Err(UrlError::Unprotected(host)),
            ("smtp" | "smtps", Some(query)) => return Err(UrlError::Superfluous(query.to_owned())),
            (scheme, _) => return Err(UrlError::Scheme(scheme.to_owned())),
        };
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            ("", Some(_)) | (_, None) => return Err(UrlError::HalfLogin),
            (user, Some(password)) => Some(Credentials::new(percent_decoded(user), percent_decoded(password))),
        };
        Ok(Self { port: url.port().unwrap_or(port), host, security, login })
    }

    /// Hands one mail over. The caller bounds the time; dropping the future closes the connection.
    pub(super) async fn hand_over(&self, from: &Address, to: &Address, raw: &[u8], connect: Duration) -> MailResult {
        let mut connection = match self.connect(connect).await {
            Ok(connection) => connection,
            Err(error) => return MailResult::Later(format!("The mail server {self} cannot be used: {}", said(&error))),
        };
        let result = self.transact(&mut connection, from, to, raw).await;
        // The outcome is known: whatever becomes of the goodbye changes nothing.
        drop(tokio::time::timeout(QUIT_WAIT, connection.abort()).await);
        result
    }

    /// Connects, greets, protects and logs in. Whatever fails here is the operator's to mend and says
    /// nothing about the mail, so even a 5xx is "later".
    async fn connect(&self, timeout: Duration) -> Result<AsyncSmtpConnection, SmtpError> {
        let hello = ClientId::default();
        let implicit = match &self.security {
            Security::Implicit(parameters) => Some(parameters.clone()),
            Security::StartTls(_) | Security::Plain => None,
        };
        let address = (self.host.as_str(), self.port);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(timeout), &hello, implicit, None).await?;
        if let Security::StartTls(parameters) = &self.security {
            connection.starttls(parameters.clone(), &hello).await?;
        }
        if let Some(login) = &self.login {
            connection.auth(DEFAULT_MECHANISMS, login).await?;
        }
        Ok(connection)
    }

    async fn transact(
        &self,
        connection: &mut AsyncSmtpConnection,
        from: &Address,
        to: &Address,
        raw: &[u8],
    ) -> MailResult {
        let mut parameters = Vec::new();
        if !to.to_string().is_ascii() {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return MailResult::Refused(format!(
                    "The mail server {self} takes only addresses of ASCII letters; save the webhook with another owner_email."
                ));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let sender = connection.command(Mail::new(Some(from.clone()), parameters)).await;
        if let Err(error) = sender {
            return self.judge("the sender", &error);
        }
        if let Err(error) = connection.command(Rcpt::new(to.clone(), Vec::new())).await {
            return self.judge("the recipient", &error);
        }
        if let Err(error) = connection.command(Data).await {
            return self.judge("the mail", &error);
        }
        match connection.message(raw).await {
            Ok(_) => MailResult::Sent,
            Err(error) => self.judge("the mail", &error),
        }
    }

    /// 5xx is for good (RFC 5321 section 4.2.1), except 530, which asks us to log in or to use TLS
    /// first (RFC 4954, RFC 3207) and so is the operator's to mend. Everything else, an answer that
    /// never came included, may end otherwise next time.
    fn judge(&self, what: &str, error: &SmtpError) -> MailResult {
        let login_missing = error.status().is_some_and(|code| code.to_string() == "530");
        let said = said(error);
        if error.is_permanent() && !login_missing {
            MailResult::Refused(format!("The mail server {self} refused {what}: {said}"))
        } else if error.status().is_some() {
            MailResult::Later(format!("The mail server {self} did not take {what} yet: {said}"))
        } else {
            MailResult::Later(format!(
                "The mail server {self} broke off before it said whether it takes {what}: {said}"
            ))
        }
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Without the password.
impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({self})")
    }
}

fn tls_parameters(host: &str, trusted: Option<&[u8]>) -> Result<TlsParameters, UrlError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = trusted {
        builder = builder.add_root_certificate(Certificate::from_pem(pem).map_err(UrlError::Tls)?);
    }
    builder.build_rustls().map_err(UrlError::Tls)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What the error says, its causes included, as the end of a sentence.
fn said(error: &SmtpError) -> String {
    one_line(&error.to_string(), SAID_MAX)
}
