//! The mail server that `--smtp-url` names: where it is, and how it is reached safely.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::RootCertStore;
use url::{Host, Url};

use super::login::Login;
use super::tls::{NoTlsSetup, TlsSetup};

/// One mail server.
#[derive(Clone)]
pub(super) struct MailServer {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) security: Security,
    pub(super) login: Option<Login>,
}

/// What protects the connection.
#[derive(Clone)]
pub(super) enum Security {
    /// TLS from the first byte (RFC 8314).
    Implicit(TlsSetup),
    /// STARTTLS (RFC 3207); a server that does not offer it gets no mail.
    StartTls(TlsSetup),
    /// Nothing.
    Plain,
}

/// The mail server's URL cannot be used. It may hold a password, so it is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// User or password hold a sign that ends them.
    #[error(
        "the mail server's URL has an @ behind a /, ? or #; percent-encode /, ?, #, @ and % in user and password, as %2F for /"
    )]
    Login,
    /// It is no URL.
    #[error(
        "the mail server's URL is no URL; write smtps://user:password@host, or smtp://host?tls=required, and percent-encode \
         /, ?, #, @ and % in user and password"
    )]
    Syntax(#[source] url::ParseError),
    /// It is something else's.
    #[error("the mail server's URL begins with {0}://; write smtps://… (TLS) or smtp://…?tls=required (STARTTLS)")]
    Scheme(String),
    /// It names no host.
    #[error("the mail server's URL names no host; write smtps://user:password@host, or smtp://host?tls=required")]
    NoHost,
    /// It has a part that means nothing here.
    #[error(
        "the mail server's URL may hold user, password, host, port and ?tls=required or ?tls=none; take what else stands \
         behind them out"
    )]
    Superfluous,
    /// It says twice what protects the connection.
    #[error(
        "smtps:// is TLS from the first byte; take what stands behind the ? of the mail server's URL out, or write \
         smtp://…?tls=required for STARTTLS"
    )]
    TlsTwice,
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

impl MailServer {
    /// Reads `smtps://user:password@host:465`, `smtp://host:587?tls=required` or, without protection,
    /// `smtp://localhost:25` and `smtp://host:25?tls=none`. Certificates are verified by `roots`.
    pub(super) fn new(url: &str, roots: &Arc<RootCertStore>) -> Result<Self, UrlError> {
        if ends_early(url) {
            return Err(UrlError::Login);
        }
        let url = Url::parse(url).map_err(UrlError::Syntax)?;
        let bare = url.path().is_empty() || url.path() == "/";
        if !bare || url.fragment().is_some() {
            return Err(UrlError::Superfluous);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(UrlError::NoHost)?;
        let host = ascii_host(host.trim_matches(['[', ']']));
        let tls = || {
            TlsSetup::new(&host, roots).map_err(|error| match error {
                NoTlsSetup::Name => UrlError::HostName(host.clone()),
                NoTlsSetup::Rustls(error) => UrlError::Tls(error),
            })
        };
        let (security, port) = match (url.scheme(), url.query()) {
            ("smtps", None) => (Security::Implicit(tls()?), 465),
            ("smtp", Some("tls=required")) => (Security::StartTls(tls()?), 587),
            ("smtp", Some("tls=none")) => (Security::Plain, 25),
            ("smtp", None) if is_loopback(&host) => (Security::Plain, 25),
            ("smtp", None) => return Err(UrlError::Unprotected(host)),
            ("smtps", Some("tls=required" | "tls=none")) => return Err(UrlError::TlsTwice),
            ("smtp" | "smtps", Some(_)) => return Err(UrlError::Superfluous),
            (scheme, _) => return Err(UrlError::Scheme(scheme.to_owned())),
        };
        let login = match (url.username(), url.password()) {
            ("", None) => None,
            ("", Some(_)) | (_, None) => return Err(UrlError::HalfLogin),
            (user, Some(password)) => Some(Login::new(percent_decoded(user), percent_decoded(password))),
        };
        Ok(Self { port: url.port().unwrap_or(port), host, security, login })
    }
}

impl fmt::Display for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Without the password.
impl fmt::Debug for MailServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailServer({self})")
    }
}

/// Whether an `@` stands behind the sign that ends the part with user, password and host.
fn ends_early(url: &str) -> bool {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    authority.split_once(['/', '?', '#']).is_some_and(|(_, rest)| rest.contains('@'))
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
