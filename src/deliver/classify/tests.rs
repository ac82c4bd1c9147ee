//! Every sentence, pinned.

use std::sync::Arc;

use rustix::io::Errno;
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, InvalidMessage, OtherError, PeerIncompatible};

use super::super::resolve::CannotAsk;
use super::*;

fn endpoint(url: &str) -> EndpointName {
    EndpointName::of(&Url::parse(url).unwrap())
}

fn https() -> EndpointName {
    endpoint("https://crm.example/hook?token=secret")
}

/// What a client wraps around an error.
#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] Box<dyn Error + Send + Sync>);

const LIMIT: Duration = Duration::from_secs(5);

fn wrapped(error: impl Into<Box<dyn Error + Send + Sync>>) -> Outer {
    Outer(Box::new(Outer(io::Error::other(error).into())))
}

#[track_caller]
fn assert_failed(fault: &Fault, kind: ErrorKind, sentence: &str) {
    let detail = sentence.to_owned();
    assert_eq!(*fault, Fault::Endpoint(AttemptError { kind, detail }));
}

#[track_caller]
fn assert_unreached(fault: &Fault, kind: ErrorKind, sentence: &str) {
    let detail = sentence.to_owned();
    assert_eq!(*fault, Fault::Unreached(AttemptError { kind, detail }));
}

const OLD_VERSION: &str =
    "crm.example speaks neither TLS 1.2 nor 1.3, and older versions are broken; switch TLS 1.2 on, or update it";

#[test]
fn statuses() {
    for (code, location, expected) in [
        (199, None, Some((ErrorKind::HttpStatus, "crm.example answered 199"))),
        (200, None, None),
        (209, Some("https://x.example/"), None),
        (210, None, Some((ErrorKind::HttpStatus, "crm.example answered 210"))),
        (299, Some("https://x.example/"), Some((ErrorKind::HttpStatus, "crm.example answered 299"))),
        (
            300,
            None,
            Some((
                ErrorKind::Redirect,
                "crm.example answered 300, a redirect that does not say where to; redirects are not followed, so save \
                 the address that answers by itself",
            )),
        ),
        (
            301,
            Some("/hook/?token=s3cret"),
            Some((
                ErrorKind::Redirect,
                "crm.example answered 301 and points to https://crm.example/hook/; save that address instead, with its \
                 query, which is not shown here",
            )),
        ),
        (304, Some("/x"), Some((ErrorKind::HttpStatus, "crm.example answered 304"))),
        (400, None, Some((ErrorKind::HttpStatus, "crm.example answered 400"))),
        (599, None, Some((ErrorKind::HttpStatus, "crm.example answered 599"))),
    ] {
        let error = status(&https(), code, location);
        let expected = expected.map(|(kind, detail)| AttemptError { kind, detail: detail.to_owned() });
        assert_eq!(error, expected, "{code}");
    }
}

#[test]
fn deadlines() {
    let sentence = "crm.example did not answer within 5s";
    let error = late(&https(), AttemptPhase::Waiting, LIMIT);
    assert_eq!((error.kind, error.detail.as_str()), (ErrorKind::Timeout, sentence));
    // The system may give up first.
    let unconnected = "crm.example did not answer within 5s: there is no connection to crm.example:443; check that it is \
        up, that the port is right, and that no firewall is in between";
    for (phase, sentence) in [(AttemptPhase::Connecting, unconnected), (AttemptPhase::Waiting, sentence)] {
        let fault = failure(&https(), phase, &wrapped(io::Error::from(io::ErrorKind::TimedOut)), LIMIT);
        assert_unreached(&fault, ErrorKind::Timeout, sentence);
    }
}

#[test]
fn what_is_no_http_is_quoted_where_it_tells_something() {
    let hook = EndpointName::of(&Url::parse("https://crm.example/hook?token=s3cret").unwrap());
    for (began, said) in [
        ("220 mail.example ESMTP\r\n", ": it began with `220 mail.example ESMTP`"),
        ("\r\nSSH-2.0-OpenSSH_9.2\r\n", ": it began with `SSH-2.0-OpenSSH_9.2`"),
        ("HTTP/2 200 OK", ": it began with `HTTP/2 200 OK`"),
        ("\u{0}\u{0}\u{12}", ""),
        ("caf\u{fffd}", ""),
        ("POST /hook?token=s3cret HTTP/1.1\r\n", ""),
        ("-ERR unknown command 'HOOK?TOKEN=S3CRET'", ""),
        ("500 unknown: post / http/1.1", ""),
    ] {
        let foreign = |after_interim| Foreign { began: began.to_owned(), after_interim };
        let detail = no_http(&hook, &foreign(false)).detail;
        assert_eq!(detail, format!("what crm.example answered is no HTTP/1.1{said}"));
        let behind = "behind an interim answer (1xx), which has no body,";
        let detail = no_http(&hook, &foreign(true)).detail;
        assert_eq!(detail, format!("what crm.example answered {behind} is no HTTP/1.1{said}"));
    }
    let alert = Foreign { began: "\u{15}\u{3}\u{1}\u{0}\u{2}".to_owned(), after_interim: false };
    assert!(no_http(&hook, &alert).detail.contains("speaks TLS"));
}

/// What rustls makes of an error of webpki for which it has no name.
fn flawed(flaw: webpki::Error) -> TlsError {
    TlsError::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(flaw))))
}

#[test]
fn certificates_and_handshakes() {
    for (error, sentence) in [
        (
            TlsError::InvalidCertificate(CertificateError::Expired),
            "the certificate of crm.example has expired; renew it",
        ),
        (
            TlsError::InvalidCertificate(CertificateError::ExpiredContext {
                time: UnixTime::since_unix_epoch(Duration::from_secs(1_772_600_000)),
                not_after: UnixTime::since_unix_epoch(Duration::from_secs(1_772_500_000)),
            }),
            "the certificate of crm.example expired on 3 March 2026; renew it",
        ),
        (
            TlsError::InvalidCertificate(CertificateError::NotValidYetContext {
                time: UnixTime::since_unix_epoch(Duration::from_secs(1_772_500_000)),
                not_before: UnixTime::since_unix_epoch(Duration::from_secs(1_772_600_000)),
            }),
            "the certificate of crm.example is not valid before 4 March 2026; check its dates",
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
            "the certificate of crm.example does not hold: a signature does not fit its key, or the key is too weak (an RSA \
             key needs 2048 bits); have it issued anew",
        ),
        (
            TlsError::InvalidMessage(InvalidMessage::InvalidContentType),
            "crm.example:443 does not speak TLS; check the port",
        ),
        (
            TlsError::PeerIncompatible(PeerIncompatible::Tls12NotOffered),
            "crm.example offers nothing that we accept; it must support TLS 1.2 or 1.3 with a current cipher suite and an \
             RSA, P-256, P-384 or Ed25519 key",
        ),
        (TlsError::DecryptError, "no TLS session with crm.example: cannot decrypt peer's message"),
    ] {
        for phase in [AttemptPhase::Connecting, AttemptPhase::Waiting] {
            let fault = failure(&https(), phase, &wrapped(error.clone()), LIMIT);
            assert_failed(&fault, ErrorKind::Tls, sentence);
        }
    }
}

#[test]
fn alerts_and_certificates_that_are_made_wrongly() {
    for (error, sentence) in [
        (
            TlsError::AlertReceived(AlertDescription::HandshakeFailure),
            "crm.example refused the TLS session (HandshakeFailure): either it offers no cipher suite that we accept; switch \
             TLS 1.3 on, or of TLS 1.2 a suite with ECDHE and GCM or ChaCha20, such as ECDHE-RSA-AES128-GCM-SHA256; or it has \
             no key or curve that we accept; it needs an RSA key of 2048 bits, a P-256, P-384 or Ed25519 key, and the curve \
             X25519, P-256 or P-384; or it asks for a client certificate, and we have none; let it accept our requests by \
             their signature",
        ),
        (TlsError::AlertReceived(AlertDescription::ProtocolVersion), OLD_VERSION),
        (TlsError::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13), OLD_VERSION),
        (
            TlsError::AlertReceived(AlertDescription::NoApplicationProtocol),
            "crm.example takes none of what we speak, perhaps only HTTP/2; let it take HTTP/1.1, too",
        ),
        (TlsError::AlertReceived(AlertDescription::CloseNotify), "crm.example:443 broke off the TLS handshake"),
        (
            TlsError::AlertReceived(AlertDescription::InternalError),
            "crm.example refused the TLS session (InternalError); its own log should say why",
        ),
        (
            flawed(webpki::Error::UnsupportedCertVersion),
            "the certificate of crm.example, or one that it sends along, is not of version 3 of X.509, so it has no \
             alternative name; have it issued anew with crm.example as a subject alternative name",
        ),
        (
            flawed(webpki::Error::UnsupportedCriticalExtension),
            "the certificate of crm.example, or one that it sends along, has a critical extension that we do not know; have \
             it issued anew without that",
        ),
        (
            flawed(webpki::Error::EndEntityUsedAsCa),
            "the certificate of crm.example is signed by one that is not made for an authority (CA:FALSE); have it issued \
             anew by an authority",
        ),
        (
            flawed(webpki::Error::ExtensionValueInvalid),
            "the certificate of crm.example, or one that it sends along, is not made as the rules demand \
             (ExtensionValueInvalid); have it issued anew with tools of today",
        ),
    ] {
        let fault = failure(&https(), AttemptPhase::Connecting, &wrapped(error), LIMIT);
        assert_failed(&fault, ErrorKind::Tls, sentence);
    }
}

#[test]
fn our_own_markers_are_found_in_what_the_client_wraps_around_them() {
    let forbidden = Forbidden { host: "crm.example".to_owned(), why: crate::deliver::Barrier::NotPublic };
    let sentence = forbidden.to_string();
    assert_failed(
        &failure(&https(), AttemptPhase::Connecting, &wrapped(forbidden), LIMIT),
        ErrorKind::ForbiddenAddress,
        &sentence,
    );
    let sentence = "the name crm.example cannot be resolved; check its spelling and its DNS records";
    let fault = |is_known| failure(&https(), AttemptPhase::Connecting, &wrapped(Unresolved { is_known }), LIMIT);
    assert_failed(&fault(true), ErrorKind::Dns, sentence);
    assert_unreached(&fault(false), ErrorKind::Dns, sentence);
    let lacks = wrapped(LacksFamily(super::super::family::Family::V6));
    assert_failed(
        &failure(&https(), AttemptPhase::Connecting, &lacks, LIMIT),
        ErrorKind::Connect,
        "no connection to crm.example:443: it has only IPv6 addresses, and this host has no IPv6",
    );
}

#[test]
fn a_shortage_of_this_machine_is_not_the_endpoints_failure() {
    for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::ADDRNOTAVAIL] {
        let error = || io::Error::from_raw_os_error(errno.raw_os_error());
        let sentence = format!("this machine can open no further connection: {}", error());
        let expected = Fault::Ours(sentence);
        assert_eq!(failure(&https(), AttemptPhase::Connecting, &wrapped(error()), LIMIT), expected);
        let looking_up = wrapped(CannotAsk::new(error()));
        assert_eq!(failure(&https(), AttemptPhase::Connecting, &looking_up, LIMIT), expected);
        // Once the request may have been written it is an outcome.
        assert!(matches!(failure(&https(), AttemptPhase::Waiting, &wrapped(error()), LIMIT), Fault::Endpoint(_)));
    }
    let saturated = failure(&https(), AttemptPhase::Connecting, &wrapped(Saturated), LIMIT);
    assert_eq!(saturated, Fault::Ours(Saturated.to_string()));
    let no_socket = failure(&https(), AttemptPhase::Connecting, &wrapped(NoSocket), LIMIT);
    assert_eq!(no_socket, Fault::Ours(NoSocket.to_string()));
}

#[test]
fn what_the_system_says_while_connecting() {
    for (errno, doubtful, sentence) in [
        (Errno::CONNREFUSED, false, "no connection to crm.example:8080: connection refused"),
        (Errno::NETUNREACH, true, "no connection to crm.example:8080: network unreachable"),
        (Errno::NETDOWN, true, "no connection to crm.example:8080: network down"),
        (Errno::HOSTUNREACH, true, "no connection to crm.example:8080: host unreachable"),
        (Errno::CONNRESET, false, "no connection to crm.example:8080: connection reset"),
    ] {
        let error = wrapped(io::Error::from_raw_os_error(errno.raw_os_error()));
        let fault = failure(&endpoint("http://crm.example:8080/x"), AttemptPhase::Connecting, &error, LIMIT);
        if doubtful {
            assert_unreached(&fault, ErrorKind::Connect, sentence);
        } else {
            assert_failed(&fault, ErrorKind::Connect, sentence);
        }
    }
}

#[test]
fn a_handshake_that_breaks_off_is_a_tls_error_and_a_refusal_is_not() {
    for (kind, expected, sentence) in [
        (io::ErrorKind::UnexpectedEof, ErrorKind::Tls, "crm.example:443 broke off the TLS handshake"),
        (io::ErrorKind::ConnectionReset, ErrorKind::Tls, "crm.example:443 broke off the TLS handshake"),
        (io::ErrorKind::ConnectionAborted, ErrorKind::Tls, "crm.example:443 broke off the TLS handshake"),
        (io::ErrorKind::BrokenPipe, ErrorKind::Tls, "crm.example:443 broke off the TLS handshake"),
        (io::ErrorKind::ConnectionRefused, ErrorKind::Connect, "no connection to crm.example:443: connection refused"),
    ] {
        let fault = failure(&https(), AttemptPhase::Connecting, &wrapped(io::Error::from(kind)), LIMIT);
        assert_failed(&fault, expected, sentence);
    }
}

#[test]
fn what_breaks_after_connecting_is_a_protocol_error() {
    let fault = failure(&https(), AttemptPhase::Waiting, &wrapped(io::Error::from(io::ErrorKind::BrokenPipe)), LIMIT);
    assert_failed(&fault, ErrorKind::Protocol, "crm.example broke the connection without an answer: broken pipe");
    let reset = wrapped(io::Error::from(io::ErrorKind::ConnectionReset));
    let sentence = "crm.example broke the connection in the middle of the head of its answer: connection reset";
    assert_failed(&failure(&https(), AttemptPhase::Answering, &reset, LIMIT), ErrorKind::Protocol, sentence);
}

#[test]
fn what_nobody_knows_gets_the_kind_of_its_phase() {
    let unknown = Outer("something".into());
    for (phase, kind, sentence) in [
        (AttemptPhase::Connecting, ErrorKind::Connect, "no connection to crm.example:443: other error"),
        (AttemptPhase::Waiting, ErrorKind::Protocol, "crm.example broke the connection without an answer: other error"),
    ] {
        assert_failed(&failure(&https(), phase, &unknown, LIMIT), kind, sentence);
    }
}
