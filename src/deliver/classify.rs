//! What the end of an attempt means: its kind, and one sentence for the people who run the endpoint.
//!
//! Architecture invariant: pure. No sentence names a resolved address, or the path or query of the
//! configured URL, which may hold a token; of the Location of a redirect no query, user info or fragment.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, Error as TlsError, PeerIncompatible};
use url::Url;

use super::certificate::certificate;
use super::family::LacksFamily;
use super::guard::Forbidden;
use super::head::{EndlessInterim, Foreign};
use super::resolve::{Saturated, Unresolved};
use super::sockets::{NoSocket, is_shortage};
use crate::config::RESPONSE_HEADERS_MAX;
use crate::workspace::event::{AttemptError, ErrorKind};
use crate::workspace::redirect::{redirect, repeats};

#[cfg(test)]
mod tests;

/// Whom the attempt talked to.
#[derive(Debug)]
pub(super) struct EndpointName {
    /// Host and port.
    authority: String,
    pub(super) host: String,
    /// The configured URL, against which a relative Location is read. No sentence shows its query.
    url: String,
    tls: bool,
}

/// How far the attempt had come, by what it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptPhase {
    /// An address of the host, and a connection to it.
    Connecting,
    /// The connection is there, and TLS is not.
    Handshaking,
    /// The rest of the request is to be read.
    Sending,
    /// Nothing of an answer has come.
    Waiting,
    /// A part of the head of the answer has come.
    Answering,
}

/// Whose fault it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The endpoint's, as far as we can tell: this is the outcome.
    Endpoint(AttemptError),
    /// The endpoint's, unless this node's own network fails: the host was not reached.
    Unreached(AttemptError),
    /// This machine's: nothing was attempted.
    Ours(String),
}

impl EndpointName {
    /// The host and port of `url`.
    pub(super) fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default().to_owned();
        let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or_default());
        Self { authority, host, url: url.as_str().to_owned(), tls: url.scheme() == "https" }
    }
}

/// What a status means: `None` is delivered (200–209, [contract, section 2](crate::docs::contract#2-the-post-out)).
pub(super) fn status(endpoint: &EndpointName, status: u16, location: Option<&str>) -> Option<AttemptError> {
    let host = &endpoint.host;
    match (status, location) {
        (status, _) if is_success(status) => None,
        // 304 says that what is there has not changed; it points nowhere.
        (300..=399, location) if status != 304 => {
            let detail = format!("{host} {}", redirect(&endpoint.url, status, location));
            Some(AttemptError { kind: ErrorKind::Redirect, detail })
        }
        _ => Some(AttemptError { kind: ErrorKind::HttpStatus, detail: format!("{host} answered {status}") }),
    }
}

/// Whether a status says that the message is delivered.
pub(super) fn is_success(status: u16) -> bool {
    (200..=209).contains(&status)
}

/// Whether a status says that the sender may not do this, as endpoints say whose check of a signature failed.
pub(super) fn is_refused(status: u16) -> bool {
    matches!(status, 401 | 403)
}

/// The deadline, `limit` after the start, passed before a head had come.
pub(super) fn late(endpoint: &EndpointName, phase: AttemptPhase, limit: Duration) -> AttemptError {
    let EndpointName { authority, host, .. } = endpoint;
    let how_far = match phase {
        AttemptPhase::Connecting => format!(
            ": there is no connection to {authority}; check that it is up, that the port is right, and that no firewall is \
             in between"
        ),
        AttemptPhase::Handshaking => {
            format!(": {authority} took the connection and did not finish the TLS handshake; check that it speaks TLS")
        }
        AttemptPhase::Sending => {
            ": it has not read the whole message; let it read first and work afterwards".to_owned()
        }
        AttemptPhase::Waiting => String::new(),
        AttemptPhase::Answering => {
            ": the head of its answer began and did not end; an empty line must end it".to_owned()
        }
    };
    let detail = format!("{host} did not answer within {limit:?}{how_far}");
    AttemptError { kind: ErrorKind::Timeout, detail }
}

/// What an error of the client means, by the one of its causes that says most; the deadline was `limit`.
pub(super) fn failure(
    endpoint: &EndpointName,
    phase: AttemptPhase,
    error: &(dyn Error + 'static),
    limit: Duration,
) -> Fault {
    let kind = io_kind(error);
    // The system gave up before our deadline passed.
    if kind == io::ErrorKind::TimedOut {
        return Fault::Unreached(late(endpoint, phase, limit));
    }
    let causes: Vec<_> = causes(error).collect();
    if phase == AttemptPhase::Connecting
        && let Some(reason) = causes.iter().find_map(|cause| shortage(*cause))
    {
        return Fault::Ours(reason);
    }
    let named = causes.iter().find_map(|cause| named(endpoint, phase, *cause));
    let is_doubtful = causes.iter().any(|cause| cause.downcast_ref::<Unresolved>().is_some_and(|why| !why.is_known))
        || (named.is_none() && finds_no_way(kind));
    let (kind, detail) = named.unwrap_or_else(|| broken(endpoint, phase, kind));
    let error = AttemptError { kind, detail };
    if is_doubtful { Fault::Unreached(error) } else { Fault::Endpoint(error) }
}

/// Whether the system says that no packet finds its way to the host.
fn finds_no_way(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{HostUnreachable, NetworkDown, NetworkUnreachable};
    matches!(kind, HostUnreachable | NetworkDown | NetworkUnreachable)
}

/// Whether the host answered, though only that it refuses.
pub(super) fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    matches!(io_kind(error), io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset)
}

/// What the system said: that is the innermost cause.
fn io_kind(error: &(dyn Error + 'static)) -> io::ErrorKind {
    causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .last()
        .map_or(io::ErrorKind::Other, io::Error::kind)
}

/// An error and what caused it, outermost first. An `io::Error` hides the error that it wraps from
/// `source`, so it is asked separately.
pub(crate) fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped as &(dyn Error + 'static)),
        None => error.source(),
    })
}

/// Why this machine could not open a connection, if that is what `cause` says.
fn shortage(cause: &(dyn Error + 'static)) -> Option<String> {
    if let Some(saturated) = cause.downcast_ref::<Saturated>() {
        return Some(saturated.to_string());
    }
    if let Some(none) = cause.downcast_ref::<NoSocket>() {
        return Some(none.to_string());
    }
    let error = cause.downcast_ref::<io::Error>()?;
    is_shortage(error).then(|| format!("this machine can open no further connection: {error}"))
}

/// The causes that name themselves.
fn named(endpoint: &EndpointName, phase: AttemptPhase, cause: &(dyn Error + 'static)) -> Option<(ErrorKind, String)> {
    let host = &endpoint.host;
    if let Some(forbidden) = cause.downcast_ref::<Forbidden>() {
        Some((ErrorKind::ForbiddenAddress, forbidden.to_string()))
    } else if cause.is::<Unresolved>() {
        let detail = format!("the name {host} cannot be resolved; check its spelling and its DNS records");
        Some((ErrorKind::Dns, detail))
    } else if let Some(lacks) = cause.downcast_ref::<LacksFamily>() {
        Some((ErrorKind::Connect, format!("no connection to {}: {lacks}", endpoint.authority)))
    } else if let Some(error) = cause.downcast_ref::<TlsError>() {
        Some((ErrorKind::Tls, tls(endpoint, error)))
    } else if let Some(endless) = cause.downcast_ref::<EndlessInterim>() {
        Some((ErrorKind::Protocol, format!("{host} {endless}")))
    } else {
        let detail = http(host, phase, cause.downcast_ref::<hyper::Error>()?)?;
        Some((ErrorKind::Protocol, detail))
    }
}

const CLIENT_CERTIFICATE: &str =
    "asks for a client certificate, and we have none; let it accept our requests by their signature";
const NO_COMMON_VERSION: &str =
    "speaks neither TLS 1.2 nor 1.3, and older versions are broken; switch TLS 1.2 on, or update it";
const NO_COMMON_SUITE: &str = "offers no cipher suite that we accept; switch TLS 1.3 on, or of TLS 1.2 a suite with ECDHE and GCM or ChaCha20, such \
     as ECDHE-RSA-AES128-GCM-SHA256";
const NO_COMMON_KEY: &str = "has no key or curve that we accept; it needs an RSA key of 2048 bits, a P-256, P-384 or Ed25519 key, and the curve \
     X25519, P-256 or P-384";
const NOTHING_IN_COMMON: &str = "offers nothing that we accept; it must support TLS 1.2 or 1.3 with a current cipher suite and an RSA, P-256, P-384 or \
     Ed25519 key";

/// What answered is no HTTP/1: what came began so.
pub(super) fn no_http(endpoint: &EndpointName, foreign: &Foreign) -> AttemptError {
    let Foreign { began, after_interim } = foreign;
    let is_tls = began.starts_with(TLS_ALERT);
    let line = began.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let is_text = !line.is_empty() && line.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    // A server of another protocol may repeat what it was sent.
    let is_echo = line.to_ascii_uppercase().contains("POST ") || repeats(&endpoint.url, line);
    let detail = if is_tls {
        format!("{} speaks TLS; write https:// instead of http://", endpoint.authority)
    } else {
        let behind = if *after_interim { " behind an interim answer (1xx), which has no body," } else { "" };
        let began = if is_text && !is_echo {
            format!(": it began with `{}`", line.chars().take(BEGAN_QUOTED_MAX).collect::<String>())
        } else {
            String::new()
        };
        is_no_http(&endpoint.host, behind) + &began
    };
    AttemptError { kind: ErrorKind::Protocol, detail }
}

/// How a TLS alert begins (RFC 8446 section 6): a server that speaks TLS was sent a request without it.
const TLS_ALERT: &str = "\u{15}\u{3}";
/// Characters that a sentence quotes of what is no HTTP.
const BEGAN_QUOTED_MAX: usize = 80;

fn is_no_http(host: &str, behind: &str) -> String {
    format!("what {host} answered{behind} is no HTTP/1.1")
}

fn tls(endpoint: &EndpointName, error: &TlsError) -> String {
    let host = &endpoint.host;
    match error {
        TlsError::InvalidCertificate(error) => certificate(host, error),
        TlsError::InvalidMessage(_) => format!("{} does not speak TLS; check the port", endpoint.authority),
        TlsError::AlertReceived(AlertDescription::CertificateRequired | AlertDescription::BadCertificate) => {
            format!("{host} {CLIENT_CERTIFICATE}")
        }
        TlsError::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("{host} has no certificate for that name; check the URL's host, and what it is set up for")
        }
        TlsError::AlertReceived(AlertDescription::ProtocolVersion)
        | TlsError::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            format!("{host} {NO_COMMON_VERSION}")
        }
        TlsError::AlertReceived(AlertDescription::InsufficientSecurity) => format!("{host} {NO_COMMON_SUITE}"),
        TlsError::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            format!("{host} takes none of what we speak, perhaps only HTTP/2; let it take HTTP/1.1, too")
        }
        TlsError::AlertReceived(AlertDescription::CloseNotify | AlertDescription::UserCanceled) => {
            broke_off_handshake(endpoint)
        }
        TlsError::AlertReceived(alert @ AlertDescription::HandshakeFailure) => format!(
            "{host} refused the TLS session ({alert:?}): either it {NO_COMMON_SUITE}; or it \
             {NO_COMMON_KEY}; or it {CLIENT_CERTIFICATE}"
        ),
        TlsError::AlertReceived(alert) => {
            format!("{host} refused the TLS session ({alert:?}); its own log should say why")
        }
        TlsError::PeerIncompatible(_) => {
            format!("{host} {NOTHING_IN_COMMON}")
        }
        error => format!("no TLS session with {host}: {error}"),
    }
}

fn broke_off_handshake(endpoint: &EndpointName) -> String {
    format!("{} broke off the TLS handshake", endpoint.authority)
}

fn http(host: &str, phase: AttemptPhase, error: &hyper::Error) -> Option<String> {
    if error.is_parse_too_large() {
        Some(format!("{host} sent more than {RESPONSE_HEADERS_MAX} headers, or far too long ones"))
    } else if error.is_parse() {
        Some(is_no_http(host, ""))
    } else if error.is_incomplete_message() {
        Some(format!("{host} closed the connection {}", broken_off(phase)))
    } else {
        None
    }
}

/// What an error of the operating system means.
fn broken(endpoint: &EndpointName, phase: AttemptPhase, kind: io::ErrorKind) -> (ErrorKind, String) {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    let EndpointName { authority, host, tls, .. } = endpoint;
    // TCP answers with "refused"; what breaks off later than that is the handshake.
    let is_handshake = *tls && matches!(kind, UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe);
    match phase {
        AttemptPhase::Connecting | AttemptPhase::Handshaking if is_handshake => {
            (ErrorKind::Tls, broke_off_handshake(endpoint))
        }
        AttemptPhase::Connecting | AttemptPhase::Handshaking => {
            (ErrorKind::Connect, format!("no connection to {authority}: {kind}"))
        }
        AttemptPhase::Sending | AttemptPhase::Waiting | AttemptPhase::Answering => {
            (ErrorKind::Protocol, format!("{host} broke the connection {}: {kind}", broken_off(phase)))
        }
    }
}

/// How far the answer had come.
fn broken_off(phase: AttemptPhase) -> &'static str {
    match phase {
        AttemptPhase::Answering => "in the middle of the head of its answer",
        _ => "without an answer",
    }
}
