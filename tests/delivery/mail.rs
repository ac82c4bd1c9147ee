//! The mailer against a mail server that misbehaves in every way that matters for the outcome.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use outbound::journal::port::OwedMail;
use outbound::notify::{CapturedMail, MailLimits, Mailer, MailerOptions};
use outbound::workspace::Time;
use outbound::workspace::decide::MailResult;
use outbound::workspace::event::{ErrorKind, MailId, MailKind};
use outbound::workspace::state::RecentError;
use support::endpoint::ClosedPort;
use support::smtp::{Fault, Protection, SmtpServer};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// Longer than any machine takes for what goes well.
pub(crate) const AMPLE: Duration = Duration::from_secs(20);

pub(crate) fn options(smtp_url: String) -> MailerOptions {
    MailerOptions {
        smtp_url,
        from: "Outbound <outbound@acme.example>".to_owned(),
        public_url: Some("https://outbound.acme.example/".to_owned()),
        hello: None,
        roots: Arc::new(RootCertStore::empty()),
        limits: MailLimits { answer: AMPLE, ..MailLimits::default() },
        at_once: 4,
        spread: || 0.0,
    }
}

pub(crate) fn mailer(server: &SmtpServer) -> Mailer {
    Mailer::new(&options(format!("smtp://{}", server.address))).expect("good options")
}

pub(crate) fn owed() -> OwedMail {
    let error = |at: &str, message_id: &str, kind, detail: &str| RecentError {
        at: at.parse().expect("a time"),
        message_id: message_id.into(),
        kind,
        detail: detail.to_owned(),
    };
    OwedMail {
        workspace: "acme".parse().expect("a workspace id"),
        id: MailId::disabled(17),
        at: "2026-01-31T12:00:03.250Z".parse().expect("a time"),
        to: "owner@acme.example".to_owned(),
        url: "https://crm:hunter2@crm.acme.example:8443/hooks/whatsapp?token=s3cret".to_owned(),
        errors: 11,
        failing_since: "2026-01-31T11:58:12.001Z".parse().expect("a time"),
        recent: vec![
            error("2026-01-31T11:59:01.000Z", "wamid.9", ErrorKind::Timeout, "No answer within 5 s."),
            error(
                "2026-01-31T11:59:30.999Z",
                "wamid.10",
                ErrorKind::HttpStatus,
                "The endpoint answered 500 <Größe & Ärger>.",
            ),
            error("2026-01-31T12:00:03.000Z", "wamid.11", ErrorKind::Connect, "The connection was refused."),
        ],
        errors_left: None,
        skipped: None,
        by: None,
    }
}

/// What a first mail comes to when the server has this fault.
async fn result_of(fault: Fault) -> MailResult {
    let server = SmtpServer::start([fault]).await;
    mailer(&server).send(&owed()).await
}

#[track_caller]
fn assert_refused(result: &MailResult, said: &str) {
    assert!(matches!(result, MailResult::Refused(sentence) if sentence.contains(said)), "{result:?} without {said:?}");
}

#[track_caller]
pub(crate) fn assert_later(result: &MailResult, said: &str) {
    assert!(matches!(result, MailResult::Later(sentence) if sentence.contains(said)), "{result:?} without {said:?}");
}

#[track_caller]
pub(crate) fn assert_unknown(result: &MailResult, said: &str) {
    assert!(matches!(result, MailResult::Unknown(sentence) if sentence.contains(said)), "{result:?} without {said:?}");
}

#[tokio::test]
async fn a_mail_arrives_with_its_envelope_and_says_that_a_machine_wrote_it() {
    let server = SmtpServer::start([]).await;
    assert_eq!(mailer(&server).send(&owed()).await, MailResult::Sent);

    let [mail] = &server.received()[..] else { panic!("one mail") };
    assert_eq!(
        (mail.from.as_str(), mail.to.as_slice()),
        ("outbound@acme.example", &["owner@acme.example".to_owned()][..])
    );
    for header in [
        "From: Outbound <outbound@acme.example>\r\n",
        "To: owner@acme.example\r\n",
        "Subject: The webhook of workspace acme was switched off\r\n",
        "Date: Sat, 31 Jan 2026 12:00:03 +0000\r\n",
        "Message-ID: <acme.17.1769860803250@acme.example>\r\n",
        "Auto-Submitted: auto-generated\r\n",
    ] {
        assert!(mail.data.contains(header), "no {header:?} in {}", mail.data);
    }
    assert!(mail.data.is_ascii(), "no server needs 8BITMIME for it");
    assert!(!mail.data.contains("hunter2") && !mail.data.contains("s3cret"), "{}", mail.data);
}

#[tokio::test]
async fn the_captured_mail_is_the_mail_that_a_server_would_have_got() {
    let (shown, mut captured) = mpsc::channel(1);
    let mailer = Mailer::capture(shown, Some("https://outbound.acme.example".to_owned()));
    assert_eq!(mailer.send(&owed()).await, MailResult::Sent);

    let CapturedMail { to, message_id, subject, text, html, raw } = captured.recv().await.expect("a mail");
    assert_eq!(to, "owner@acme.example");
    assert_eq!(message_id, "<acme.17.1769860803250@localhost>");
    assert_eq!(subject, "The webhook of workspace acme was switched off");
    assert_golden("mail.txt", &text);
    assert_golden("mail.html", &html);
    assert_golden("mail.eml", &String::from_utf8(raw).expect("ASCII").replace("\r\n", "\n"));

    drop(captured);
    assert_later(&mailer.send(&owed()).await, "captured");
}

#[tokio::test]
async fn each_kind_of_mail_has_its_words_and_its_name() {
    let (shown, mut captured) = mpsc::channel(1);
    let mailer = Mailer::capture(shown, Some("https://outbound.acme.example".to_owned()));
    let of = |kind| OwedMail { id: MailId { owed_by: 17, kind }, ..owed() };
    let warning = OwedMail { errors: 5, errors_left: Some(6), ..of(MailKind::Warning) };
    let recovered = OwedMail { errors: 0, recent: Vec::new(), skipped: Some(3), ..of(MailKind::Recovered) };
    for (mail, word, subject) in [
        (warning, "warning", "The webhook of workspace acme fails"),
        (recovered, "recovered", "The webhook of workspace acme delivers again"),
    ] {
        assert_eq!(mailer.send(&mail).await, MailResult::Sent);
        let shown = captured.recv().await.expect("a mail");
        assert_eq!(shown.subject, subject);
        assert_eq!(shown.message_id, format!("<acme.17.{word}.1769860803250@localhost>"));
        assert_golden(&format!("mail_{word}.txt"), &shown.text);
        assert_golden(&format!("mail_{word}.html"), &shown.html);
    }
}

/// Compares with `tests/golden/mail/<name>`; what came out instead is left to be looked at and copied there.
#[track_caller]
fn assert_golden(name: &str, actual: &str) {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mail").join(name);
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if expected != actual {
        let left = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&left, actual).expect("a file for what came out");
        panic!("{name} differs; if that is meant, copy {} over {}", left.display(), golden.display());
    }
}

#[tokio::test]
async fn a_refusal_of_the_recipient_or_the_mail_is_for_good_and_says_why() {
    let refused = result_of(Fault::Reply("RCPT", "550-5.1.1 nobody here\r\n550 5.1.1 of that name")).await;
    assert_refused(&refused, "refused the recipient");
    assert_refused(&refused, "nobody here of that name");
    assert_refused(&result_of(Fault::Reply(".", "554 5.7.1 looks like spam")).await, "looks like spam");
    assert_refused(&result_of(Fault::Reply("DATA", "554 no valid recipients")).await, "no valid recipients");
}

#[tokio::test]
async fn a_refusal_that_may_pass_is_later() {
    assert_later(&result_of(Fault::Reply("RCPT", "450 4.2.1 mailbox busy")).await, "mailbox busy");
    assert_later(&result_of(Fault::Reply(".", "452 4.3.1 disk full")).await, "disk full");
    assert_later(&result_of(Fault::Reply("CONNECT", "421 4.3.2 shutting down")).await, "shutting down");
}

#[tokio::test]
async fn what_is_the_operators_fault_does_not_give_the_mail_up() {
    assert_later(&result_of(Fault::Reply("CONNECT", "554 5.7.1 your address is listed")).await, "is listed");
    assert_later(&result_of(Fault::Reply("MAIL", "553 5.1.8 not your domain")).await, "refuses the sender");
    assert_later(
        &result_of(Fault::Reply("MAIL", "530 5.7.0 authentication required")).await,
        "authentication required",
    );

    let server = SmtpServer::start([Fault::Reply("AUTH", "535 5.7.8 wrong password")]).await;
    let url = format!("smtp://us%40er:pass%20word@{}", server.address);
    let mailer = Mailer::new(&options(url)).expect("good options");
    assert_later(&mailer.send(&owed()).await, "wrong password");
    let login = base64::prelude::BASE64_STANDARD.encode("\0us@er\0pass word");
    assert!(server.commands().contains(&format!("AUTH PLAIN {login}")), "{:?}", server.commands());
    assert!(!server.commands().iter().any(|line| line.starts_with("MAIL")), "{:?}", server.commands());
}

#[tokio::test]
async fn without_a_mail_server_the_mail_is_later() {
    let closed = ClosedPort::hold();
    let address = closed.address.to_string();
    let mailer = Mailer::new(&options(format!("smtp://{address}"))).expect("good options");
    assert_later(&mailer.send(&owed()).await, &address);
}

#[tokio::test]
async fn after_an_unknown_outcome_the_same_mail_goes_out_with_the_same_message_id() {
    let server = SmtpServer::start([Fault::Drop("."), Fault::None]).await;
    let mailer = mailer(&server);
    assert_unknown(&mailer.send(&owed()).await, "did not say whether it takes the mail: it closed");
    assert_eq!(mailer.send(&owed()).await, MailResult::Sent);

    let [first, second] = &server.received()[..] else { panic!("two mails") };
    assert!(first.data.contains("\r\nMessage-ID: <acme.17."), "{}", first.data);
    assert_eq!(first, second);
}

#[tokio::test]
async fn an_address_that_the_server_cannot_take_is_refused() {
    let server = SmtpServer::start([]).await;
    let mailer = mailer(&server);
    let to = |address: &str| OwedMail { to: address.to_owned(), ..owed() };
    assert_refused(&mailer.send(&to("owner")).await, "is no mail address");
    assert_refused(&mailer.send(&to("a@b.example\r\nRCPT TO:<c@d.example>")).await, "is no mail address");
    assert_refused(&mailer.send(&to("größe@acme.example")).await, "ASCII");
    assert_eq!(server.received(), []);
}

#[tokio::test]
async fn one_mailer_serves_the_runtimes_of_several_threads_one_after_the_other() {
    let server = SmtpServer::start([]).await;
    let mailer = mailer(&server);
    for _ in 0..3 {
        let mailer = mailer.clone();
        let on_its_own_thread = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(mailer.send(&owed()))
        };
        let sent = tokio::task::spawn_blocking(on_its_own_thread).await.expect("no panic");
        assert_eq!(sent, MailResult::Sent);
    }
    assert_eq!(server.received().len(), 3);
}

/// A certificate for 127.0.0.1 that nobody but its holder signed: to trust, and to serve it with.
fn certificate() -> (Arc<RootCertStore>, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("its key");
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate with its key");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a certificate");
    (Arc::new(roots), TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn over_tls_a_mail_and_the_login_go_to_a_trusted_server_only() {
    let (roots, tls) = certificate();
    for (scheme, query, protection) in
        [("smtps", "", Protection::Implicit(tls.clone())), ("smtp", "?tls=required", Protection::StartTls(tls.clone()))]
    {
        let server = SmtpServer::start_with(protection, []).await;
        let options = options(format!("{scheme}://user:hunter2@{}{query}", server.address));

        let stranger = Mailer::new(&options).expect("good options");
        assert_later(&stranger.send(&owed()).await, "certificate");
        let before = server.commands();
        assert!(!before.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{before:?}");

        let friend = Mailer::new(&MailerOptions { roots: Arc::clone(&roots), ..options }).expect("good options");
        assert_eq!(friend.send(&owed()).await, MailResult::Sent);
        assert!(server.received()[0].secure);
        assert!(server.commands().iter().any(|line| line.starts_with("AUTH PLAIN ")), "{:?}", server.commands());
    }
}

#[tokio::test]
async fn a_server_that_offers_no_starttls_gets_no_mail_when_tls_is_required() {
    let server = SmtpServer::start([]).await;
    let url = format!("smtp://{}?tls=required", server.address);
    let mailer = Mailer::new(&options(url)).expect("good options");
    assert_later(&mailer.send(&owed()).await, "STARTTLS");
    assert!(!server.commands().iter().any(|line| line.starts_with("MAIL")), "{:?}", server.commands());
}

#[test]
fn wrong_options_are_refused_with_what_to_do_and_without_the_password() {
    let from = |from: &str| MailerOptions { from: from.to_owned(), ..options("smtps://mail.example".to_owned()) };
    for (wrong, said) in [
        (options("mail.example".to_owned()), "is no URL"),
        (options("https://u:hunter2@mail.example".to_owned()), "begins with https://"),
        (options("smtps:".to_owned()), "names no host"),
        (options("smtp://u:hunter2@mail.example".to_owned()), "mail.example is not this machine"),
        (
            options("smtp://u:hunter2@mail.example?tls=opportunistic".to_owned()),
            "take what else stands behind them out",
        ),
        (options("smtps://u:hunter2@mail.example/somewhere".to_owned()), "take what else stands behind them out"),
        (options("smtps://u:p/hunter2".to_owned()), "percent-encode"),
        (options("smtps://u:1/hunter2".to_owned()), "take what else stands behind them out"),
        (options("smtps://mail.example?tls=required".to_owned()), "smtps:// is TLS from the first byte"),
        (options("smtps://user@mail.example".to_owned()), "only one of user and password"),
        (from("outbound"), "an @ and a domain"),
        (from("größe@acme.example"), "ASCII"),
    ] {
        let error = Mailer::new(&wrong).expect_err(said).to_string();
        assert!(error.contains(said) && !error.contains("hunter2"), "{error}");
    }
    // A password that was not percent-encoded ends the address early.
    for sign in ["/", "?", "#", "/x?y#"] {
        for login in [
            format!("u:p{sign}hunter2"),
            format!("u:1{sign}hunter2"),
            format!("hunter2{sign}:p"),
            format!("u:p@1{sign}hunter2"),
        ] {
            let error =
                Mailer::new(&options(format!("smtps://{login}@mail.example:465"))).expect_err(&login).to_string();
            assert!(
                error.contains("percent-encode /, ?, #, @ and %") && !error.contains("hunter2"),
                "{login}: {error}"
            );
        }
    }
    for right in [
        "smtps://u:hunter2@mail.example",
        "smtps://AKIAXX:BPx%2Fab+cd=@mail.example:465",
        "smtp://localhost",
        "smtp://[::1]:2525",
        "smtp://mail.example?tls=none",
    ] {
        let mailer = Mailer::new(&options(right.to_owned())).expect(right);
        assert!(!format!("{mailer:?}").contains("hunter2"), "{mailer:?}");
    }
}

#[tokio::test]
async fn a_mail_of_any_time_can_be_composed() {
    let (shown, mut captured) = mpsc::channel(1);
    let mailer = Mailer::capture(shown, None);
    for ms in [i64::MIN, -1, 0, 253_402_300_799_999] {
        let mail = OwedMail { at: Time::from_unix_ms(ms), ..owed() };
        assert_eq!(mailer.send(&mail).await, MailResult::Sent);
        assert!(captured.recv().await.expect("a mail").text.contains("switched off at "));
    }
}
