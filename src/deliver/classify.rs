//! What the end of an attempt means: its kind, and one sentence for the people who run the endpoint.
//!
//! Architecture invariant: pure. No sentence names a resolved address, or the path or query of the
//! configured URL, which may hold a token; the Location of a redirect is the endpoint's own and is quoted.

use std::error::Error;
use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustls::{CertificateError, Error as TlsError};
use url::Url;

use super::guard::Forbidden;
use super::resolve::{Saturated, Unresolved};
use crate::config::RESPONSE_HEADERS_MAX;
use crate::workspace::event::{AttemptError, ErrorKind};

/// Characters of a Location that a sentence quotes at most.
const LOCATION_QUOTED_MAX: usize = 1_000;

/// Whom the attempt talked to.
#[derive(Debug)]
pub(super) struct Peer {
    host: String,
    port: u16,
    tls: bool,
}

/// How far the attempt had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Resolving, connecting, TLS: nothing of the request was written.
    Connecting,
    /// The request was on its way, no status had come.
    Waiting,
    /// A status had come, not all of the body.
    Reading,
}

/// Whose fault it was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The endpoint's, as far as we can tell: this is the outcome.
    Failed(AttemptError),
    /// This machine's: nothing was attempted.
    Unable(String),
}

impl Peer {
    /// The host and port of `url`.
    pub(super) fn of(url: &Url) -> Self {
        let host = url.host_str().unwrap_or_default().to_owned();
        Self { host, port: url.port_or_known_default().unwrap_or_default(), tls: url.scheme() == "https" }
    }
}

/// What a status means: `None` is delivered (200–209, CONTRACT section 2).
pub(super) fn status(peer: &Peer, status: u16, location: Option<&str>) -> Option<AttemptError> {
    let host = &peer.host;
    match (status, location) {
        (200..=209, _) => None,
        (300..=399, Some(location)) => {
            let location: String = location.chars().take(LOCATION_QUOTED_MAX).collect();
            let detail = format!("{host} answered {status} and points to {location}; save that address instead");
            Some(AttemptError { kind: ErrorKind::Redirect, detail })
        }
        (300..=399, None) => {
            let detail = format!("{host} answered {status}, a redirect that does not say where to");
            Some(AttemptError { kind: ErrorKind::Redirect, detail })
        }
        _ => Some(AttemptError { kind: ErrorKind::HttpStatus, detail: format!("{host} answered {status}") }),
    }
}

/// The deadline, `limit` after the start, passed.
pub(super) fn late(peer: &Peer, stage: Stage, limit: Duration) -> AttemptError {
    let host = &peer.host;
    let detail = match stage {
        Stage::Connecting | Stage::Waiting => format!("{host} did not answer within {limit:?}"),
        Stage::Reading => format!("{host} did not finish its answer within {limit:?}"),
    };
    AttemptError { kind: ErrorKind::Timeout, detail }
}

/// What an error of the client means, by the one of its causes that says most.
pub(super) fn failure(peer: &Peer, stage: Stage, error: &(dyn Error + 'static)) -> Verdict {
    let causes: Vec<_> = causes(error).collect();
    if stage == Stage::Connecting
        && let Some(reason) = causes.iter().find_map(|cause| shortage(*cause))
    {
        return Verdict::Unable(reason);
    }
    let named = causes.iter().find_map(|cause| named(peer, *cause));
    let (kind, detail) = named.unwrap_or_else(|| {
        // The innermost one is what the system said.
        let io = causes.iter().rev().find_map(|cause| cause.downcast_ref::<io::Error>());
        broken(peer, stage, io.map_or(io::ErrorKind::Other, io::Error::kind))
    });
    Verdict::Failed(AttemptError { kind, detail })
}

/// An error and what caused it, outermost first. An `io::Error` hides the error that it wraps from
/// `source`, so it is asked separately.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
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
    let error = cause.downcast_ref::<io::Error>()?;
    let errno = Errno::from_io_error(error)?;
    [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::ADDRNOTAVAIL]
        .contains(&errno)
        .then(|| format!("this machine can open no further connection: {error}"))
}

/// The causes that name themselves.
fn named(peer: &Peer, cause: &(dyn Error + 'static)) -> Option<(ErrorKind, String)> {
    let host = &peer.host;
    if let Some(forbidden) = cause.downcast_ref::<Forbidden>() {
        Some((ErrorKind::ForbiddenAddress, forbidden.to_string()))
    } else if cause.is::<Unresolved>() {
        let detail = format!("the name {host} cannot be resolved; check its spelling and its DNS records");
        Some((ErrorKind::Dns, detail))
    } else if let Some(error) = cause.downcast_ref::<TlsError>() {
        Some((ErrorKind::Tls, tls(peer, error)))
    } else {
        let detail = http(host, cause.downcast_ref::<hyper::Error>()?)?;
        Some((ErrorKind::Protocol, detail))
    }
}

fn tls(peer: &Peer, error: &TlsError) -> String {
    let host = &peer.host;
    match error {
        TlsError::InvalidCertificate(error) => certificate(host, error),
        TlsError::InvalidMessage(_) => format!("{host}:{} does not speak TLS; check the port", peer.port),
        TlsError::AlertReceived(alert) => format!("{host} refused the TLS session ({alert:?})"),
        TlsError::PeerIncompatible(_) => {
            format!("{host} offers nothing that we accept; it must support TLS 1.2 or 1.3 with a current cipher suite")
        }
        error => format!("no TLS session with {host}: {error}"),
    }
}

fn certificate(host: &str, error: &CertificateError) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            format!("the certificate of {host} has expired; renew it")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            format!("the certificate of {host} is not valid yet; check its dates")
        }
        CertificateError::UnknownIssuer => format!(
            "the certificate of {host} comes from an authority that we do not know; \
             it is self-signed, or the server does not send the whole chain"
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("the certificate of {host} is made out to another name")
        }
        error => format!("the certificate of {host} does not hold: {error}"),
    }
}

fn http(host: &str, error: &hyper::Error) -> Option<String> {
    if error.is_parse_too_large() {
        Some(format!("{host} sent more than {RESPONSE_HEADERS_MAX} headers, or far too long ones"))
    } else if error.is_parse() {
        Some(format!("what {host} answered is no HTTP/1.1"))
    } else if error.is_incomplete_message() {
        Some(format!("{host} closed the connection without an answer"))
    } else {
        None
    }
}

/// What an error of the operating system means.
fn broken(peer: &Peer, stage: Stage, kind: io::ErrorKind) -> (ErrorKind, String) {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, InvalidData, InvalidInput, UnexpectedEof};
    let Peer { host, port, tls } = peer;
    match stage {
        // TCP answers with "refused"; what breaks off later than that is the handshake.
        Stage::Connecting
            if *tls && matches!(kind, UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe) =>
        {
            (ErrorKind::Tls, format!("{host}:{port} broke off the TLS handshake"))
        }
        Stage::Connecting => (ErrorKind::Connect, format!("no connection to {host}:{port}: {kind}")),
        // How hyper reports chunks that are none.
        Stage::Reading if matches!(kind, InvalidData | InvalidInput) => {
            (ErrorKind::Protocol, format!("the body that {host} answered is no HTTP/1.1"))
        }
        Stage::Waiting => (ErrorKind::Protocol, format!("{host} broke the connection without an answer: {kind}")),
        Stage::Reading => (ErrorKind::Protocol, format!("{host} broke off in the middle of its answer: {kind}")),
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, InvalidMessage, PeerIncompatible};

    use super::*;

    fn peer(url: &str) -> Peer {
        Peer::of(&Url::parse(url).unwrap())
    }

    fn https() -> Peer {
        peer("https://crm.example/hook?token=secret")
    }

    /// What a client wraps around an error.
    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] Box<dyn Error + Send + Sync>);

    fn wrapped(error: impl Into<Box<dyn Error + Send + Sync>>) -> Outer {
        Outer(Box::new(Outer(io::Error::other(error).into())))
    }

    #[track_caller]
    fn assert_failed(verdict: &Verdict, kind: ErrorKind, sentence: &str) {
        let detail = sentence.to_owned();
        assert_eq!(*verdict, Verdict::Failed(AttemptError { kind, detail }));
    }

    #[test]
    fn statuses() {
        for (code, location, expected) in [
            (199, None, Some((ErrorKind::HttpStatus, "crm.example answered 199"))),
            (200, None, None),
            (209, Some("https://x.example/"), None),
            (210, None, Some((ErrorKind::HttpStatus, "crm.example answered 210"))),
            (299, Some("https://x.example/"), Some((ErrorKind::HttpStatus, "crm.example answered 299"))),
            (300, None, Some((ErrorKind::Redirect, "crm.example answered 300, a redirect that does not say where to"))),
            (
                301,
                Some("https://x.example/?a"),
                Some((
                    ErrorKind::Redirect,
                    "crm.example answered 301 and points to https://x.example/?a; save that address instead",
                )),
            ),
            (399, None, Some((ErrorKind::Redirect, "crm.example answered 399, a redirect that does not say where to"))),
            (400, None, Some((ErrorKind::HttpStatus, "crm.example answered 400"))),
            (599, None, Some((ErrorKind::HttpStatus, "crm.example answered 599"))),
        ] {
            let error = status(&https(), code, location);
            let expected = expected.map(|(kind, detail)| AttemptError { kind, detail: detail.to_owned() });
            assert_eq!(error, expected, "{code}");
        }
    }

    #[test]
    fn a_long_location_is_quoted_in_part() {
        let error = status(&https(), 302, Some(&"é".repeat(LOCATION_QUOTED_MAX + 1))).unwrap();
        assert_eq!(error.detail.matches('é').count(), LOCATION_QUOTED_MAX);
    }

    #[test]
    fn deadlines() {
        for (stage, sentence) in [
            (Stage::Connecting, "crm.example did not answer within 5s"),
            (Stage::Waiting, "crm.example did not answer within 5s"),
            (Stage::Reading, "crm.example did not finish its answer within 5s"),
        ] {
            let error = late(&https(), stage, Duration::from_secs(5));
            assert_eq!((error.kind, error.detail.as_str()), (ErrorKind::Timeout, sentence));
        }
    }

    #[test]
    fn certificates_and_handshakes() {
        for (error, sentence) in [
            (
                TlsError::InvalidCertificate(CertificateError::Expired),
                "the certificate of crm.example has expired; renew it",
            ),
            (
                TlsError::InvalidCertificate(CertificateError::NotValidYet),
                "the certificate of crm.example is not valid yet; check its dates",
            ),
            (
                TlsError::InvalidCertificate(CertificateError::UnknownIssuer),
                "the certificate of crm.example comes from an authority that we do not know; \
                 it is self-signed, or the server does not send the whole chain",
            ),
            (
                TlsError::InvalidCertificate(CertificateError::NotValidForName),
                "the certificate of crm.example is made out to another name",
            ),
            (
                TlsError::InvalidCertificate(CertificateError::BadSignature),
                "the certificate of crm.example does not hold: BadSignature",
            ),
            (
                TlsError::InvalidMessage(InvalidMessage::InvalidContentType),
                "crm.example:443 does not speak TLS; check the port",
            ),
            (
                TlsError::AlertReceived(AlertDescription::HandshakeFailure),
                "crm.example refused the TLS session (HandshakeFailure)",
            ),
            (
                TlsError::PeerIncompatible(PeerIncompatible::Tls12NotOffered),
                "crm.example offers nothing that we accept; \
                 it must support TLS 1.2 or 1.3 with a current cipher suite",
            ),
            (TlsError::DecryptError, "no TLS session with crm.example: cannot decrypt peer's message"),
        ] {
            for stage in [Stage::Connecting, Stage::Waiting, Stage::Reading] {
                let verdict = failure(&https(), stage, &wrapped(error.clone()));
                assert_failed(&verdict, ErrorKind::Tls, sentence);
            }
        }
    }

    #[test]
    fn our_own_markers_are_found_in_what_the_client_wraps_around_them() {
        let forbidden = Forbidden { host: "crm.example".to_owned() };
        let sentence = forbidden.to_string();
        assert_failed(
            &failure(&https(), Stage::Connecting, &wrapped(forbidden)),
            ErrorKind::ForbiddenAddress,
            &sentence,
        );
        let unresolved = Unresolved::new(io::Error::other("no such name"));
        assert_failed(
            &failure(&https(), Stage::Connecting, &wrapped(unresolved)),
            ErrorKind::Dns,
            "the name crm.example cannot be resolved; check its spelling and its DNS records",
        );
    }

    #[test]
    fn a_shortage_of_this_machine_is_not_the_endpoints_failure() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::ADDRNOTAVAIL] {
            let error = || io::Error::from_raw_os_error(errno.raw_os_error());
            let sentence = format!("this machine can open no further connection: {}", error());
            let expected = Verdict::Unable(sentence);
            assert_eq!(failure(&https(), Stage::Connecting, &wrapped(error())), expected);
            let looking_up = wrapped(Unresolved::new(error()));
            assert_eq!(failure(&https(), Stage::Connecting, &looking_up), expected);
            // Once the request may have been written it is an outcome.
            assert!(matches!(failure(&https(), Stage::Waiting, &wrapped(error())), Verdict::Failed(_)));
        }
        let saturated = failure(&https(), Stage::Connecting, &wrapped(Saturated));
        assert_eq!(saturated, Verdict::Unable("64 names are being resolved already".to_owned()));
    }

    #[test]
    fn what_the_system_says_while_connecting() {
        for (errno, sentence) in [
            (Errno::CONNREFUSED, "no connection to crm.example:8080: connection refused"),
            (Errno::NETUNREACH, "no connection to crm.example:8080: network unreachable"),
            (Errno::NETDOWN, "no connection to crm.example:8080: network down"),
            (Errno::HOSTUNREACH, "no connection to crm.example:8080: host unreachable"),
            (Errno::CONNRESET, "no connection to crm.example:8080: connection reset"),
        ] {
            let error = wrapped(io::Error::from_raw_os_error(errno.raw_os_error()));
            let verdict = failure(&peer("http://crm.example:8080/x"), Stage::Connecting, &error);
            assert_failed(&verdict, ErrorKind::Connect, sentence);
        }
    }

    #[test]
    fn a_handshake_that_breaks_off_is_a_tls_error_and_a_refusal_is_not() {
        for (kind, expected, sentence) in [
            (io::ErrorKind::UnexpectedEof, ErrorKind::Tls, "crm.example:443 broke off the TLS handshake"),
            (io::ErrorKind::ConnectionReset, ErrorKind::Tls, "crm.example:443 broke off the TLS handshake"),
            (io::ErrorKind::ConnectionAborted, ErrorKind::Tls, "crm.example:443 broke off the TLS handshake"),
            (io::ErrorKind::BrokenPipe, ErrorKind::Tls, "crm.example:443 broke off the TLS handshake"),
            (
                io::ErrorKind::ConnectionRefused,
                ErrorKind::Connect,
                "no connection to crm.example:443: connection refused",
            ),
        ] {
            let verdict = failure(&https(), Stage::Connecting, &wrapped(io::Error::from(kind)));
            assert_failed(&verdict, expected, sentence);
        }
    }

    #[test]
    fn what_breaks_after_connecting_is_a_protocol_error() {
        for (stage, kind, sentence) in [
            (
                Stage::Waiting,
                io::ErrorKind::BrokenPipe,
                "crm.example broke the connection without an answer: broken pipe",
            ),
            (
                Stage::Reading,
                io::ErrorKind::ConnectionReset,
                "crm.example broke off in the middle of its answer: connection reset",
            ),
            (Stage::Reading, io::ErrorKind::InvalidData, "the body that crm.example answered is no HTTP/1.1"),
            (Stage::Reading, io::ErrorKind::InvalidInput, "the body that crm.example answered is no HTTP/1.1"),
        ] {
            assert_failed(&failure(&https(), stage, &wrapped(io::Error::from(kind))), ErrorKind::Protocol, sentence);
        }
    }

    #[test]
    fn what_nobody_knows_gets_the_kind_of_its_stage() {
        let unknown = Outer("something".into());
        for (stage, kind, sentence) in [
            (Stage::Connecting, ErrorKind::Connect, "no connection to crm.example:443: other error"),
            (Stage::Waiting, ErrorKind::Protocol, "crm.example broke the connection without an answer: other error"),
            (Stage::Reading, ErrorKind::Protocol, "crm.example broke off in the middle of its answer: other error"),
        ] {
            assert_failed(&failure(&https(), stage, &unknown), kind, sentence);
        }
    }
}
