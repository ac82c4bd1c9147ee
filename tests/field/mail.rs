//! Mail servers: what they say of our name, in which encoding, and whom they can be told.

use std::sync::Arc;

use outbound::journal::port::OwedMail;
use outbound::notify::{MailLimits, Mailer, MailerOptions};
use outbound::workspace::decide::MailResult;
use outbound::workspace::event::MailId;
use serde_json::json;
use support::authority::Authority;
use support::process::outbound as program;
use support::service::{TOKEN, message};
use support::smtp::{Fault, Protection, SmtpServer};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::RootCertStore;

use crate::*;

pub(crate) fn options(smtp_url: String, roots: RootCertStore) -> MailerOptions {
    MailerOptions {
        smtp_url,
        from: "outbound@acme.example".to_owned(),
        public_url: Some("https://outbound.acme.example/x".to_owned()),
        hello: None,
        roots: Arc::new(roots),
        limits: MailLimits { answer: Duration::from_secs(20), ..MailLimits::default() },
        at_once: 4,
        spread: || 0.0,
    }
}

pub(crate) fn plain(server: &SmtpServer) -> MailerOptions {
    options(format!("smtp://{}", server.address), RootCertStore::empty())
}

pub(crate) fn owed(to: &str) -> OwedMail {
    OwedMail {
        workspace: "acme".parse().unwrap(),
        id: MailId::disabled(17),
        at: Time::from_unix_ms(1_769_860_803_250),
        to: to.to_owned(),
        url: "https://crm.example/hook".to_owned(),
        errors: 11,
        failing_since: Time::from_unix_ms(1_769_860_800_000),
        recent: Vec::new(),
        errors_left: None,
        skipped: None,
        by: None,
    }
}

pub(crate) async fn send(options: &MailerOptions) -> MailResult {
    Mailer::new(options).unwrap().send(&owed("owner@acme.example")).await
}

/// Mail servers want a full name; containers are called `localhost` or by a number.
#[tokio::test]
async fn we_greet_with_a_full_name_or_an_address() {
    let server = SmtpServer::start([]).await;
    for (hello, public_url, greeted) in [
        (Some("mail.acme.example"), Some("https://outbound.acme.example"), "mail.acme.example"),
        (Some("192.0.2.7"), None, "[192.0.2.7]"),
        (Some("b\u{fc}cher.example"), None, "xn--bcher-kva.example"),
        (None, Some("https://outbound.acme.example:8443/x"), "outbound.acme.example"),
    ] {
        let (hello, public_url) = (hello.map(str::to_owned), public_url.map(str::to_owned));
        assert_eq!(send(&MailerOptions { hello, public_url, ..plain(&server) }).await, MailResult::Sent);
        let said = server.commands().into_iter().rfind(|line| line.starts_with("EHLO")).unwrap();
        assert_eq!(said, format!("EHLO {greeted}"));
    }
    for public_url in [None, Some("http://localhost:8080"), Some("http://127.0.0.1:8080")] {
        let public_url = public_url.map(str::to_owned);
        assert_eq!(send(&MailerOptions { public_url, ..plain(&server) }).await, MailResult::Sent);
        let said = server.commands().into_iter().rfind(|line| line.starts_with("EHLO")).unwrap();
        assert!(said.contains('.') && !said.contains("localhost"), "{said}");
    }
}

/// What RFC 5321 allows and few servers do: greetings of several lines, codes without a text, a goodbye that never comes.
#[tokio::test]
async fn an_odd_but_good_conversation_delivers() {
    const LINES: Fault = Fault::Bytes(&[("CONNECT", b"220-one\r\n220-\r\n220 three\r\n")]);
    const BARE: Fault = Fault::Bytes(&[
        ("CONNECT", b"220\r\n"),
        ("EHLO", b"250\r\n"),
        ("MAIL", b"250\r\n"),
        ("RCPT", b"251 will forward\r\n"),
        ("DATA", b"354\r\n"),
        (".", b"250\r\n"),
    ]);
    for fault in [LINES, BARE, Fault::Reply("EHLO", "250-fake\r\n250-SIZE\r\n250 8bitmime"), Fault::Stall("QUIT")] {
        let server = SmtpServer::start([fault]).await;
        assert_eq!(send(&plain(&server)).await, MailResult::Sent);
        assert!(server.received()[0].data.is_ascii(), "whatever it offers");
    }
    for (at, answer) in [("CONNECT", "421 busy"), ("EHLO", "421 busy"), ("DATA", "451 busy"), (".", "451 busy")] {
        let server = SmtpServer::start([Fault::Reply(at, answer)]).await;
        let result = send(&plain(&server)).await;
        assert!(matches!(&result, MailResult::Later(said) if said.contains("busy")), "{at}: {result:?}");
    }
}

const LATIN_1: Fault = Fault::Bytes(&[
    ("CONNECT", b"220 caf\xe9 ready\r\n"),
    ("EHLO", b"250-caf\xe9\r\n250 AUTH PLAIN LOGIN\r\n"),
    ("AUTH", b"235 bien s\xfbr\r\n"),
    ("RCPT", b"250 \xe0 bient\xf4t\r\n"),
    (".", b"250 re\xe7u\r\n"),
]);
const GBK: Fault = Fault::Bytes(&[("CONNECT", b"220 \xc4\xe3\xba\xc3\r\n"), (".", b"250 \xba\xc3\r\n")]);
const LF_ALONE: Fault =
    Fault::Bytes(&[("CONNECT", b"220 ready\n"), ("EHLO", b"250-x\n250 AUTH PLAIN\n"), (".", b"250 ok\n")]);

/// Mail servers of old greet in the encoding of their country; the code of an answer is what counts.
#[tokio::test]
async fn what_a_server_says_need_not_be_utf_8() {
    let authority = Authority::generate();
    let tls = TlsAcceptor::from(Arc::new(authority.server("127.0.0.1", 2000..4000)));
    for fault in [LATIN_1, GBK, LF_ALONE] {
        for (scheme, query, protection) in
            [("smtp", "", Protection::None), ("smtps", "", Protection::Implicit(tls.clone()))]
        {
            let server = SmtpServer::start_with(protection, [fault.clone()]).await;
            let url = format!("{scheme}://user:pw@{}{query}", server.address);
            assert_eq!(send(&options(url, authority.roots())).await, MailResult::Sent, "{scheme}{query}");
        }
    }
    let greeting =
        Fault::Bytes(&[("CONNECT", b"220 caf\xe9\r\n"), ("RCPT", b"250 \xe0\r\n"), (".", b"250 re\xe7u\r\n")]);
    let server = SmtpServer::start_with(Protection::StartTls(tls), [greeting]).await;
    let url = format!("smtp://user:pw@{}?tls=required", server.address);
    assert_eq!(send(&options(url, authority.roots())).await, MailResult::Sent);
    assert!(server.received()[0].secure);
    for (answer, sent) in [(&b"550 inconnu \xe0 cette adresse\r\n"[..], false), (b"450 occup\xe9\r\n", true)] {
        let answers: &'static [_] = Box::leak(Box::new([("RCPT", answer)]));
        let server = SmtpServer::start([Fault::Bytes(answers)]).await;
        match send(&plain(&server)).await {
            MailResult::Refused(said) => assert!(!sent && said.contains("inconnu \u{fffd} cette"), "{said}"),
            MailResult::Later(said) => assert!(sent && said.contains("occup\u{fffd}"), "{said}"),
            MailResult::Sent | MailResult::Unknown(_) | MailResult::NotBegun => panic!("it was refused"),
        }
    }
}

/// Owners write their domain as they read it; mail servers without SMTPUTF8 know it in A-labels.
#[tokio::test]
async fn a_domain_beyond_ascii_reaches_every_server() {
    let server = SmtpServer::start([]).await;
    let sent = Mailer::new(&plain(&server)).unwrap().send(&owed("owner@b\u{fc}cher.example")).await;
    assert_eq!(sent, MailResult::Sent);
    let [mail] = &server.received()[..] else { panic!("one mail") };
    assert_eq!(mail.to, ["owner@xn--bcher-kva.example"]);
    assert!(mail.data.is_ascii(), "{}", mail.data);
}

/// Companies run mail servers with certificates of their own authority.
#[tokio::test]
async fn a_private_authority_counts_by_its_flag_and_is_asked_for_without_it() {
    let authority = Authority::generate();
    let tls = TlsAcceptor::from(Arc::new(authority.server("127.0.0.1", 2000..4000)));
    for (scheme, query, protection) in
        [("smtps", "", Protection::Implicit(tls.clone())), ("smtp", "?tls=required", Protection::StartTls(tls.clone()))]
    {
        let server = SmtpServer::start_with(protection, []).await;
        let url = format!("{scheme}://{}{query}", server.address);
        let stranger = send(&options(url.clone(), RootCertStore::empty())).await;
        assert!(matches!(&stranger, MailResult::Later(said) if said.contains("--smtp-ca")), "{stranger:?}");
        assert_eq!(send(&options(url, authority.roots())).await, MailResult::Sent);
    }
}

/// What the operator is told at the start when a file of certificates is none, or a name is none.
#[test]
fn wrong_flags_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate").unwrap();
    let (cut, wide) = (folder.path().join("cut.pem"), folder.path().join("wide.pem"));
    let pem = Authority::generate().pem();
    std::fs::write(&cut, &pem[..pem.len() / 2]).unwrap();
    std::fs::write(
        &wide,
        pem.encode_utf16().fold(vec![0xff, 0xfe], |all, unit| [all, unit.to_le_bytes().to_vec()].concat()),
    )
    .unwrap();
    // One that an editor of Windows saved is read, so what is said is about the name.
    let marked = folder.path().join("marked.pem");
    std::fs::write(&marked, format!("\u{feff}{pem}").replace('\n', "\r\n")).unwrap();
    let data_dir = folder.path().join("data");
    for (flags, said) in [
        (&["--smtp-ca", empty.to_str().unwrap()][..], "it holds no certificate"),
        (&["--smtp-ca", cut.to_str().unwrap()], "a certificate in it is cut off; copy the whole file"),
        (&["--smtp-ca", wide.to_str().unwrap()], "it is written in UTF-16; save it as UTF-8"),
        (&["--smtp-ca", marked.to_str().unwrap(), "--smtp-hello", "not a name"], "write a full one"),
        (&["--smtp-ca", "/nowhere/ca.pem"], "/nowhere/ca.pem"),
        (&["--smtp-hello", "not a name"], "write a full one"),
    ] {
        let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--smtp-url", "smtp://localhost"]);
        let command =
            command.args(["--mail-from", "outbound@acme.example"]).args(flags).arg("--data-dir").arg(&data_dir);
        let ended = command.output().unwrap();
        let error = String::from_utf8(ended.stderr).unwrap();
        assert!(ended.status.code() == Some(2) && error.contains(said), "{flags:?}: {:?} {error}", ended.status);
    }
}

/// A file with only the company's own authority takes the place of the system's; public endpoints then fail.
#[tokio::test]
async fn authorities_that_are_none_of_the_public_ones_are_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, Authority::generate().pem()).unwrap();
    let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(folder.path().join("data")).env("SSL_CERT_FILE", &file);
    let log = folder.path().join("log");
    let (process, _) = support::process::Process::serve(command.stderr(std::fs::File::create(&log).unwrap()));
    drop(process);
    let log = std::fs::read_to_string(&log).unwrap();
    assert_eq!(log.matches("are none of the public ones").count(), 1, "{log}");
}

/// The system's authorities and those of the flag count together, whichever of them the mail server's is.
#[tokio::test]
async fn the_systems_authorities_and_the_flags_count_together() {
    outbound::deliver::install_crypto();
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (Authority::generate(), Authority::generate());
    let [own_file, other_file] = [("own.pem", &own), ("other.pem", &other)].map(|(name, authority)| {
        let file = folder.path().join(name);
        std::fs::write(&file, authority.pem()).unwrap();
        file
    });
    let tls = TlsAcceptor::from(Arc::new(own.server("127.0.0.1", 2000..4000)));
    for (n, (system, flag)) in
        [(&own_file, None), (&own_file, Some(&other_file)), (&other_file, Some(&own_file))].into_iter().enumerate()
    {
        let smtp = SmtpServer::start_with(Protection::Implicit(tls.clone()), []).await;
        let url = format!("smtps://{}", smtp.address);
        let mut command = program(&["serve", "--listen", "127.0.0.1:0", "--shards", "1", "--error-limit", "1"]);
        command.args(["--allow-net", "127.0.0.0/8", "--smtp-url", &url, "--mail-from", "outbound@acme.example"]);
        command.arg("--data-dir").arg(folder.path().join(n.to_string()));
        command.env("SSL_CERT_FILE", system).env("OUTBOUND_ADMIN_TOKEN", TOKEN).stderr(std::process::Stdio::null());
        if let Some(flag) = flag {
            command.arg("--smtp-ca").arg(flag);
        }
        let (_process, server) = support::process::Process::serve(&mut command);
        let client = reqwest::Client::new();
        let webhook = format!("{server}/v1/workspaces/acme/webhook");
        // Nothing listens there.
        let saved = json!({"url": "http://127.0.0.1:1/", "owner_email": "owner@acme.example"}).to_string();
        let put = client.put(webhook).bearer_auth(TOKEN).header("content-type", "application/json").body(saved);
        assert_eq!(put.send().await.unwrap().status(), 200);
        for n in 0..2 {
            let messages = client.post(format!("{server}/v1/workspaces/acme/messages")).bearer_auth(TOKEN);
            let post = messages.header("content-type", "application/json").body(message("+1", &n.to_string()));
            assert_eq!(post.send().await.unwrap().status(), 202);
        }
        support::process::until("the mail is sent", async || smtp.received().len() == 1).await;
    }
}
