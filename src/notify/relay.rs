//! The mail server: where it is, how to reach it safely, and one hand-over over SMTP.
//!
//! lettre's ready-made transport is not used: its timeout covers only the connecting, and it waits for
//! the answer to QUIT before it says what became of the mail. Its connection is used instead, command
//! by command, so that a refusal is known with its reason at once, whatever the server does next. It reads
//! UTF-8 only, and what mail servers say is not always UTF-8: TCP and TLS are our own, and lettre's connection
//! stands on a stream that is cleaned.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Starttls};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tracing::warn;
use url::{Host, Url};

use super::cleaned::{CleanedStream, Wire};
use super::hello;
use super::text::one_line;
use crate::workspace::decide::MailResult;

/// How long the goodbye may take once the outcome is known.
const QUIT_WAIT: Duration = Duration::from_secs(1);
/// What is refused at MAIL.
const SENDER: &str = "the sender";
/// Characters retained of what a mail server said.
const SAID_MAX: usize = 300;

/// One mail server.
#[derive(Clone)]
pub(super) struct Relay {
    host: String,
    port: u16,
    security: Security,
    login: Option<Credentials>,
    /// What it is greeted with; without a name the address of the connection.
    hello: Option<ClientId>,
}

/// What protects the connection.
#[derive(Clone)]
enum Security {
    /// TLS from the first byte (RFC 8314).
    Implicit(TlsSetup),
    /// STARTTLS (RFC 3207); a server that does not offer it gets no mail.
    StartTls(TlsSetup),
    /// Nothing.
    Plain,
}

/// How TLS is begun, and the name that the server must prove.
#[derive(Clone)]
struct TlsSetup {
    connector: TlsConnector,
    name: ServerName<'static>,
}

/// Why there is no connection to hand a mail over on.
#[derive(Debug, thiserror::Error)]
enum ConnectError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Smtp(#[from] SmtpError),
    #[error("it offers no STARTTLS; without TLS no mail is handed over")]
    NoStartTls,
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
    /// Its host is no name that a certificate can be made out to.
    #[error("the mail server's URL names the host {0:?}, which no certificate can be made out to; write its full name")]
    HostName(String),
    /// TLS cannot be set up.
    #[error("TLS to the mail server cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl Relay {
    /// Reads `smtps://user:password@host:465`, `smtp://host:587?tls=required` or, without protection,
    /// `smtp://localhost:25` and `smtp://host:25?tls=none`. Certificates are verified by `roots`; the server is
    /// greeted with `hello`, or else with the address of the connection.
    pub(super) fn new(url: &str, hello: Option<ClientId>, roots: &Arc<RootCertStore>) -> Result<Self, UrlError> {
        let url = Url::parse(url).map_err(UrlError::Syntax)?;
        let bare = url.path().is_empty() || url.path() == "/";
        if !bare || url.fragment().is_some() {
            return Err(UrlError::Superfluous(url.path().to_owned()));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(UrlError::NoHost)?;
        let host = ascii_host(host.trim_matches(['[', ']']));
        let tls = || TlsSetup::new(&host, roots);
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
        Ok(Self { port: url.port().unwrap_or(port), host, security, login, hello })
    }

    /// Hands one mail over. The caller bounds the time; dropping the future closes the connection.
    pub(super) async fn hand_over(&self, from: &Address, to: &Address, raw: &[u8], connect: Duration) -> MailResult {
        let (mut connection, hello) = match self.connect(connect).await {
            Ok(connected) => connected,
            Err(error) => return MailResult::Later(self.unusable(&error)),
        };
        let result = self.transact(&mut connection, from, to, raw).await;
        let result = result.unwrap_or_else(|(what, error)| self.judge(what, &error, &hello, &[from, to]));
        // The outcome is known: whatever becomes of the goodbye changes nothing.
        drop(timeout(QUIT_WAIT, connection.abort()).await);
        result
    }

    /// Connects, greets, protects and logs in; also says what it greeted with. Whatever fails here is the
    /// operator's to mend and says nothing about the mail, so even a 5xx is "later".
    async fn connect(&self, limit: Duration) -> Result<(AsyncSmtpConnection, ClientId), ConnectError> {
        let stream = self.dial(limit).await?;
        let hello = match &self.hello {
            Some(hello) => hello.clone(),
            None => hello::of_connection(stream.local_addr()?),
        };
        let mut connection = match &self.security {
            Security::Plain => greet(Wire::Plain(stream), b"", &hello).await?.0,
            Security::Implicit(tls) => greet(tls.begin(stream).await?, b"", &hello).await?.0,
            Security::StartTls(tls) => {
                let (mut connection, wire) = greet(Wire::Plain(stream), b"", &hello).await?;
                if !connection.can_starttls() {
                    return Err(ConnectError::NoStartTls);
                }
                connection.command(Starttls).await?;
                // With it goes what came unprotected behind its answer (RFC 3207 section 4.2).
                drop(connection);
                let Some(Wire::Plain(stream)) = Arc::into_inner(wire).map(Mutex::into_inner) else {
                    return Err(ConnectError::NoStartTls);
                };
                // A server does not greet again; lettre's connection begins with a greeting.
                greet(tls.begin(stream).await?, b"220 protected\r\n", &hello).await?.0
            }
        };
        if let Some(login) = &self.login {
            connection.auth(DEFAULT_MECHANISMS, login).await?;
        }
        Ok((connection, hello))
    }

    /// Connects to the first of the host's addresses that answers, each within `limit`.
    async fn dial(&self, limit: Duration) -> io::Result<TcpStream> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
        for address in lookup_host((self.host.as_str(), self.port)).await? {
            match timeout(limit, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    fn unusable(&self, error: &ConnectError) -> String {
        let said = one_line(&error.to_string(), SAID_MAX);
        let helps = match error {
            ConnectError::Io(error) if is_unknown_issuer(error) => {
                "; if its certificate comes from an authority of your own, name that with --smtp-ca"
            }
            ConnectError::Smtp(error) if error.status().is_some() && hello::is_refused(&said, &[]) => {
                "; choose the name that we greet with by --smtp-hello"
            }
            ConnectError::Io(_) | ConnectError::Smtp(_) | ConnectError::NoStartTls => "",
        };
        if !helps.is_empty() {
            warn!(server = %self, error = said, "The mail server cannot be used{helps}.");
        }
        format!("The mail server {self} cannot be used: {said}{helps}")
    }

    /// An error comes with what was refused.
    async fn transact(
        &self,
        connection: &mut AsyncSmtpConnection,
        from: &Address,
        to: &Address,
        raw: &[u8],
    ) -> Result<MailResult, (&'static str, SmtpError)> {
        let mut parameters = Vec::new();
        if !to.to_string().is_ascii() {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                return Ok(MailResult::Refused(format!(
                    "The mail server {self} takes only addresses of ASCII letters; save the webhook with another owner_email."
                )));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        let sender = connection.command(Mail::new(Some(from.clone()), parameters)).await;
        sender.map_err(|error| (SENDER, error))?;
        let recipient = connection.command(Rcpt::new(to.clone(), Vec::new())).await;
        recipient.map_err(|error| ("the recipient", error))?;
        connection.command(Data).await.map_err(|error| ("the mail", error))?;
        connection.message(raw).await.map_err(|error| ("the mail", error))?;
        Ok(MailResult::Sent)
    }

    /// 5xx is for good (RFC 5321 section 4.2.1), but not where the operator can mend it: the name that we greeted
    /// with, the sender's address, a missing login. Everything else, an answer that never came included, may end
    /// otherwise next time.
    fn judge(&self, what: &str, error: &SmtpError, hello: &ClientId, addresses: &[&Address]) -> MailResult {
        let said = said(error);
        if error.status().is_some() && hello::is_refused(&said, addresses) {
            warn!(
                server = %self, greeted_with = %hello, answer = said,
                "The mail server refuses the name that it is greeted with; choose another one with --smtp-hello."
            );
            return MailResult::Later(format!(
                "The mail server {self} refuses {hello}, the name that it is greeted with; the operator can choose \
                 another one (--smtp-hello): {said}"
            ));
        }
        let code = error.status().map(|code| code.to_string());
        let mend = if code.as_deref() == Some("530") || asks_for_login(&said, addresses) {
            Some("give user and password in --smtp-url, or let the server take mails from here without them")
        } else if what == SENDER {
            Some("choose an address that it takes with --mail-from")
        } else {
            None
        };
        if let Some(mend) = mend.filter(|_| error.is_permanent()) {
            warn!(server = %self, answer = said, "The mail server refuses {what}: {mend}.");
            MailResult::Later(format!(
                "The mail server {self} refuses {what}, which the operator can mend ({mend}): {said}"
            ))
        } else if error.is_permanent() {
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

impl TlsSetup {
    fn new(host: &str, roots: &Arc<RootCertStore>) -> Result<Self, UrlError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| UrlError::HostName(host.to_owned()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(UrlError::Tls)?
            .with_root_certificates(Arc::clone(roots))
            .with_no_client_auth();
        Ok(Self { connector: Arc::new(config).into(), name })
    }

    async fn begin(&self, stream: TcpStream) -> io::Result<Wire> {
        Ok(Wire::Tls(Box::new(self.connector.connect(self.name.clone(), stream).await?)))
    }
}

/// Reads the greeting, `said` before what comes over the wire, and greets back. The wire can be had back once
/// the connection is dropped.
async fn greet(
    wire: Wire,
    said: &[u8],
    hello: &ClientId,
) -> Result<(AsyncSmtpConnection, Arc<Mutex<Wire>>), ConnectError> {
    let peer = wire.peer()?;
    let wire = Arc::new(Mutex::new(wire));
    let stream = CleanedStream::new(Arc::clone(&wire), peer, said);
    Ok((AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello).await?, wire))
}

/// Whether TLS failed because nobody whom we know vouches for the server's certificate.
fn is_unknown_issuer(error: &io::Error) -> bool {
    // An authority that was made anew has the name of the old one, and another key.
    let unknown = [CertificateError::UnknownIssuer, CertificateError::BadSignature];
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidCertificate(error)) if unknown.contains(error))
}

/// A host beyond ASCII in A-labels; a URL of this scheme holds it percent-encoded.
fn ascii_host(host: &str) -> String {
    match Host::parse(&percent_decoded(host)) {
        Ok(Host::Domain(name)) if !host.is_ascii() || host.contains('%') => name,
        _ => host.to_owned(),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn percent_decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Whether a refusal asks us to log in first (RFC 4954): servers that pass a mail on only for those whom they know say
/// so of the recipient.
fn asks_for_login(said: &str, addresses: &[&Address]) -> bool {
    let said = hello::without_addresses(said, addresses);
    ["relay access", "relaying", "to relay", "not relay", "relay not", "relay denied", "authentication required"]
        .iter()
        .any(|words| said.contains(words))
}

/// What the error says, its causes included, as the end of a sentence.
fn said(error: &SmtpError) -> String {
    one_line(&error.to_string(), SAID_MAX)
}
