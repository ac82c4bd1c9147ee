//! What mail servers say beside what they were asked, in which words, and what says nothing.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use outbound::workspace::decide::MailResult;
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use support::authority::Authority;
use support::smtp::{Fault, Protection, SmtpServer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::mail::{options, plain, send};

async fn result_of(fault: Fault) -> MailResult {
    let server = SmtpServer::start([fault]).await;
    send(&plain(&server)).await
}

#[track_caller]
fn assert_later(result: &MailResult, said: &str) {
    assert!(matches!(result, MailResult::Later(sentence) if sentence.contains(said)), "{result:?} without {said:?}");
}

/// A banner of two lines without the dash, an answer that is repeated: what refuses the mail still does.
#[tokio::test]
async fn an_answer_too_many_is_not_taken_for_the_next_one() {
    const BANNER: Fault = Fault::Bytes(&[("CONNECT", b"220 a\r\n220 b\r\n"), (".", b"550 5.1.1 no such user\r\n")]);
    const EHLO: Fault = Fault::Bytes(&[("EHLO", b"250 a\r\n250 b\r\n"), (".", b"550 5.1.1 no such user\r\n")]);
    const MAIL: Fault = Fault::Bytes(&[("MAIL", b"250 a\r\n250 b\r\n"), (".", b"550 5.1.1 no such user\r\n")]);
    const RCPT: Fault = Fault::Bytes(&[("RCPT", b"250 a\r\n250 b\r\n250 c"), (".", b"550 5.1.1 no such user\r\n")]);
    const DATA: Fault = Fault::Bytes(&[("DATA", b"354 a\r\n250 b\r\n"), (".", b"550 5.1.1 no such user\r\n")]);
    for (at, fault) in [("CONNECT", BANNER), ("EHLO", EHLO), ("MAIL", MAIL), ("RCPT", RCPT), ("DATA", DATA)] {
        let result = result_of(fault).await;
        assert!(matches!(&result, MailResult::Refused(said) if said.contains("no such user")), "{at}: {result:?}");
    }
    const TAKEN: Fault = Fault::Bytes(&[("CONNECT", b"220 a\r\n220 b\r\n"), ("RCPT", b"250 a\r\n250 b\r\n")]);
    let server = SmtpServer::start([TAKEN]).await;
    assert_eq!(send(&plain(&server)).await, MailResult::Sent);
    assert_eq!(server.received().len(), 1);
}

/// What is no yes to the question is none, whenever it comes.
#[tokio::test]
async fn an_answer_out_of_turn_is_no_yes() {
    for (at, answer) in [("MAIL", "354 go"), ("RCPT", "334 what"), ("DATA", "250 ok")] {
        assert_later(&result_of(Fault::Reply(at, answer)).await, "out of turn");
    }
    let result = result_of(Fault::Reply(".", "354 go on")).await;
    assert!(matches!(&result, MailResult::Unknown(said) if said.contains("out of turn")), "{result:?}");
}

/// Machines of before ESMTP know HELO only.
#[tokio::test]
async fn a_server_that_knows_no_ehlo_is_greeted_with_helo() {
    for answer in [
        "500 5.5.1 Command unrecognized",
        "502 Command not implemented",
        // RFC 1869 section 4: what servers without extensions may say.
        "501 Syntax error",
        "504 Command parameter not implemented",
        "550 5.5.1 EHLO is not supported",
        "554 no",
    ] {
        let server = SmtpServer::start([Fault::Reply("EHLO", answer)]).await;
        assert_eq!(send(&plain(&server)).await, MailResult::Sent, "{answer}");
        let commands = server.commands();
        assert!(commands.contains(&"HELO outbound.acme.example".to_owned()), "{commands:?}");
        assert_eq!(server.received().len(), 1);
    }
    let server = SmtpServer::start([Fault::Reply("EHLO", "502 what"), Fault::Reply("HELO", "502 what, too")]).await;
    assert_later(&send(&plain(&server)).await, "what, too");
    // One that refuses us, and not the command, is not asked twice.
    for (at, answer) in [
        ("EHLO", "501 5.5.4 Invalid EHLO domain name"),
        ("EHLO", "504 5.5.2 <crm>: Helo command rejected: need fully-qualified hostname"),
        ("EHLO", "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)"),
        ("EHLO", "554 5.7.1 Client host [203.0.113.7] blocked using zen.spamhaus.org"),
        ("EHLO", "421 busy"),
        ("CONNECT", "554 no SMTP service here"),
        ("CONNECT", "554-no\r\n554 SMTP service here"),
    ] {
        let server = SmtpServer::start([Fault::Reply(at, answer)]).await;
        let result = send(&plain(&server)).await;
        let flag = if answer.to_lowercase().contains("helo") || answer.contains("EHLO") { "--smtp-hello" } else { "" };
        assert_later(&result, flag);
        assert_eq!(server.until(|(open, _)| *open == 0).await, (0, 1), "{answer}");
    }
    // It can neither protect nor log in.
    let server = SmtpServer::start([Fault::Reply("EHLO", "502 what")]).await;
    let url = format!("smtp://user:pw@{}", server.address);
    assert_later(&send(&options(url, RootCertStore::empty())).await, "no login");
}

/// Keywords are known in any letter case (RFC 5321 section 2.4); some servers write AUTH as it was before RFC 2554.
#[tokio::test]
async fn what_a_server_offers_is_known_in_any_letter_case() {
    for offer in ["250-fake\r\n250 auth plain login", "250-fake\r\n250 AUTH=PLAIN LOGIN", "250-\r\n250 Auth Login"] {
        let server = SmtpServer::start([Fault::Reply("EHLO", offer)]).await;
        let url = format!("smtp://user:pw@{}", server.address);
        let answer = send(&options(url, RootCertStore::empty())).await;
        assert_eq!(answer, MailResult::Sent, "{offer}");
    }
    let (roots, tls) = certificate(IsCa::NoCa);
    let fault = Fault::Bytes(&[("EHLO", b"250-fake\r\n250-auth plain\r\n250 StartTls\r\n")]);
    let server = SmtpServer::start_with(Protection::StartTls(tls), [fault]).await;
    let url = format!("smtp://user:pw@{}?tls=required", server.address);
    assert_eq!(send(&options(url, roots)).await, MailResult::Sent);
    assert!(server.received()[0].secure);
}

/// Whoever reads the sentence learns what is there and what to write instead.
#[tokio::test]
async fn what_is_no_mail_server_is_told_as_that() {
    const ALERT: Fault = Fault::Bytes(&[("CONNECT", b"\x15\x03\x01\x00\x02\x02\x46")]);
    for (fault, said) in [
        (Fault::Reply("CONNECT", "HTTP/1.1 400 Bad Request\r\n"), r#"it said "HTTP/1.1 400 Bad Request""#),
        (Fault::Reply("CONNECT", "+OK POP3 ready"), "see host and port of --smtp-url"),
        (Fault::Drop("CONNECT"), "it closed the connection without an answer"),
        (Fault::Drop("EHLO"), "it closed the connection without an answer"),
        (Fault::Reply("RCPT", "what"), r#"did not say whether it takes the recipient: it said "what""#),
        (Fault::Reply("EHLO", "250-a\r\n220-b\r\n250 c"), "its answer cannot be read: its lines have several codes"),
        (ALERT, "it wants TLS at once; write smtps:// in --smtp-url"),
    ] {
        assert_later(&result_of(fault).await, said);
    }
    let without_tls = SmtpServer::start([]).await;
    let url = format!("smtps://{}", without_tls.address);
    assert_later(
        &send(&options(url, RootCertStore::empty())).await,
        "what it answers is no TLS; name the port where TLS begins at once",
    );
    let no_tls = "it offers no login that we know (PLAIN, LOGIN); have it allow one of them, or, where it takes mails from here \
                  without, take user and password out of --smtp-url";
    for (offer, said) in [
        ("250-fake\r\n250 STARTTLS", "it offers no login that we know (PLAIN, LOGIN); mostly it wants TLS first"),
        ("250-fake\r\n250 SIZE", no_tls),
        ("250-fake\r\n250 AUTH CRAM-MD5 NTLM", no_tls),
        ("250-fake\r\n250 AUTH XOAUTH2", no_tls),
    ] {
        let server = SmtpServer::start([Fault::Reply("EHLO", offer)]).await;
        let url = format!("smtp://user:pw@{}", server.address);
        assert_later(&send(&options(url, RootCertStore::empty())).await, said);
    }
}

/// What a server offers is not always what it takes.
#[tokio::test]
async fn another_login_is_tried_where_the_first_is_not_known() {
    for refusal in ["504 5.5.4 Unrecognized authentication type", "504 what"] {
        let script: &'static [_] = Box::leak(Box::new([("AUTH", refusal), ("AUTH", "235 welcome")]));
        let server = SmtpServer::start([Fault::Script(script)]).await;
        let url = format!("smtp://user:pw@{}", server.address);
        assert_eq!(send(&options(url, RootCertStore::empty())).await, MailResult::Sent, "{refusal}");
        assert!(server.commands().contains(&"AUTH LOGIN".to_owned()), "{:?}", server.commands());
    }
    // A password that is wrong is not tried again: accounts are locked for that.
    let server = SmtpServer::start([Fault::Reply("AUTH", "535 5.7.8 wrong password")]).await;
    let url = format!("smtp://user:pw@{}", server.address);
    assert_later(&send(&options(url, RootCertStore::empty())).await, "see user and password in --smtp-url");
    assert_eq!(server.commands().iter().filter(|line| line.starts_with("AUTH")).count(), 1);
    for refusal in ["503 5.5.1 Error: authentication not enabled", "502 5.5.2 not implemented", "504 no such mechanism"]
    {
        let server = SmtpServer::start([Fault::Reply("AUTH", refusal)]).await;
        let url = format!("smtp://user:pw@{}", server.address);
        let result = send(&options(url, RootCertStore::empty())).await;
        assert_later(&result, "take user and password out of --smtp-url");
        assert!(!format!("{result:?}").contains("see user and password"), "{result:?}");
    }
}

/// Codes that RFC 5321 does not know, and a tab instead of a blank.
#[tokio::test]
async fn an_answer_that_nearly_is_one_counts_by_its_first_digit() {
    const TABS: Fault = Fault::Bytes(&[("CONNECT", b"220\tmx ready\r\n"), (".", b"250\ttaken\r\n")]);
    assert_eq!(result_of(TABS).await, MailResult::Sent);
    let refused = result_of(Fault::Reply("RCPT", "571 Delivery not authorized, message refused")).await;
    assert!(matches!(&refused, MailResult::Refused(said) if said.contains("Delivery not authorized")), "{refused:?}");
    assert_later(&result_of(Fault::Reply("RCPT", "471 not now")).await, "not now");
}

/// Mail servers are reached by another name than their certificate has.
#[tokio::test]
async fn a_certificate_for_another_name_is_told_with_what_to_write() {
    let authority = Authority::generate();
    let tls = TlsAcceptor::from(Arc::new(authority.server("mail.acme.example", 2000..4000)));
    for (scheme, query, protection) in
        [("smtps", "", Protection::Implicit(tls.clone())), ("smtp", "?tls=required", Protection::StartTls(tls.clone()))]
    {
        let server = SmtpServer::start_with(protection, []).await;
        let url = format!("{scheme}://{}{query}", server.address);
        let result = send(&options(url, authority.roots())).await;
        assert_later(&result, "mail.acme.example");
        assert_later(&result, "name it in --smtp-url as its certificate does");
    }
}

/// `openssl req -x509` makes one of an authority.
#[tokio::test]
async fn an_authoritys_own_certificate_is_told_as_that() {
    let (roots, tls) = certificate(IsCa::Ca(BasicConstraints::Unconstrained));
    for roots in [RootCertStore::empty(), roots] {
        let server = SmtpServer::start_with(Protection::Implicit(tls.clone()), []).await;
        let result = send(&options(format!("smtps://{}", server.address), roots)).await;
        assert_later(
            &result,
            "one of an authority (CA:TRUE), which no server may show; make one for the server (basicConstraints=CA:FALSE), \
             and name who signs it with --smtp-ca",
        );
    }
}

/// A certificate for 127.0.0.1 that its holder signed: to trust, and to serve it with.
fn certificate(is_ca: IsCa) -> (RootCertStore, TlsAcceptor) {
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.is_ca = is_ca;
    let key = KeyPair::generate().unwrap();
    let made = params.self_signed(&key).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.der().clone()).unwrap();
    (roots, TlsAcceptor::from(Arc::new(config)))
}

/// sendmail and many appliances repeat the command that they do not know; owners read what they said.
#[tokio::test]
async fn a_server_that_repeats_the_login_tells_it_to_nobody() {
    let encoded = BASE64_STANDARD.encode("\0us@er\0sup3rS3cretPw");
    let password = BASE64_STANDARD.encode("sup3rS3cretPw");
    for (at, answer) in [
        ("AUTH", format!("500 5.5.1 Command unrecognized: \"AUTH PLAIN {encoded}\"")),
        ("AUTH", format!("500 5.5.1 Command unrecognized: AUTH PLAIN {}...", &encoded[..28])),
        ("AUTH", "535 5.7.8 authentication failed for us@er / sup3rS3cretPw".to_owned()),
        ("AUTH", format!("{encoded} is what?")),
        ("MAIL", format!("550-5.7.1 no, not after {encoded}\r\n550 nor {password}")),
        ("RCPT", format!("550 5.1.1 nobody, {encoded}")),
        (".", format!("450 {encoded} is busy")),
    ] {
        let server = SmtpServer::start([Fault::Reply(at, answer.clone().leak())]).await;
        let url = format!("smtp://us%40er:sup3rS3cretPw@{}", server.address);
        let result = format!("{:?}", send(&options(url, RootCertStore::empty())).await);
        assert!(result.contains("***"), "{answer}: {result}");
        for secret in ["sup3r", &encoded[..8], &encoded[12..24], &password[..8]] {
            assert!(!result.contains(secret), "{answer}: {result}");
        }
    }
}

/// A line without an end would be held as long as the server sends it.
#[tokio::test]
async fn a_line_without_an_end_is_not_read_to_it() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let sending = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sent = 0_usize;
        stream.write_all(b"220 ").await.unwrap();
        // Until we close the connection.
        while stream.write_all(&[b'x'; 16 * 1024]).await.is_ok() {
            sent += 16;
        }
        sent
    });
    let result = send(&options(format!("smtp://{address}"), RootCertStore::empty())).await;
    assert_later(&result, "an answer of more than 65536 bytes");
    // What the system's buffers take, but not what could be sent within the time of a mail.
    assert!(sending.await.unwrap() < 64 * 1024, "KiB");
}

/// An answer of very many lines would be read anew at each of them, and nothing else on its thread meanwhile.
#[tokio::test]
async fn an_answer_of_very_many_lines_costs_little() {
    let lines =
        |code: &str, count: usize| Box::leak(format!("{}{code} x", format!("{code}-x\r\n").repeat(count)).into());
    for at in ["EHLO", "MAIL", "."] {
        let answer: &'static str = lines("250", 5_000);
        assert_eq!(result_of(Fault::Reply(at, answer)).await, MailResult::Sent, "{at}");
    }
    let refused = result_of(Fault::Reply("RCPT", lines("550", 5_000))).await;
    assert!(matches!(&refused, MailResult::Refused(_)), "{refused:?}");
    for (at, code) in [("CONNECT", "220"), ("EHLO", "250"), ("RCPT", "250")] {
        let server = SmtpServer::start([Fault::Reply(at, lines(code, 20_000))]).await;
        let result = send(&plain(&server)).await;
        assert_later(&result, "an answer of more than 65536 bytes");
        assert_later(&result, &server.address.to_string());
    }
}

/// Some explain themselves in one long line; what its code says counts.
#[tokio::test]
async fn a_long_line_counts_by_its_code() {
    let long = format!("550 5.1.1 nobody {}", "x".repeat(5_000));
    let result = result_of(Fault::Reply("RCPT", long.leak())).await;
    assert!(matches!(&result, MailResult::Refused(said) if said.contains("nobody")), "{result:?}");
    let greeting = format!("220 {}", "x".repeat(5_000));
    assert_eq!(result_of(Fault::Reply("CONNECT", greeting.leak())).await, MailResult::Sent);
}
