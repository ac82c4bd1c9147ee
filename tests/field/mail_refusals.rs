//! Mail servers that refuse: whether they mean us or the owner, and what the operator is told.

use outbound::notify::{Mailer, MailerOptions};
use outbound::workspace::decide::MailResult;
use support::smtp::{Fault, SmtpServer};
use tokio_rustls::rustls::RootCertStore;

use crate::mail::{options, owed, plain, send};

/// What a mail comes to when the server answers so at this point.
async fn result_of(at: &'static str, answer: &'static str) -> MailResult {
    let server = SmtpServer::start([Fault::Reply(at, answer)]).await;
    send(&plain(&server)).await
}

/// Each answer at its point is no refusal of the owner, and the operator is told the flag.
async fn assert_flag(flag: &str, answers: &[(&'static str, &'static str)]) {
    for (at, answer) in answers {
        let result = result_of(at, answer).await;
        assert!(matches!(&result, MailResult::Later(said) if said.contains(flag)), "{at}: {answer}: {result:?}");
        let others = ["--smtp-hello", "--mail-from", "--smtp-url"].into_iter().filter(|other| !flag.contains(other));
        for other in others {
            assert!(!format!("{result:?}").contains(other), "{at}: {answer}: {result:?}");
        }
    }
}

/// Postfix says what it thinks of our name when it is told the recipient; others when they are greeted.
#[tokio::test]
async fn a_refusal_of_our_name_is_later_and_names_the_flag() {
    let answers = [
        ("RCPT", "504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname"),
        ("RCPT", "550 Access denied - Invalid HELO name (See RFC2821 4.1.1.1)"),
        ("MAIL", "550 5.7.1 <crm>: Helo command rejected: Host not found"),
        ("EHLO", "501 5.5.4 Invalid EHLO domain name"),
        (".", "554 5.7.1 rejected because of your hostname"),
        ("RCPT", "554 5.7.1 Service unavailable; Helo command [crm.example] blocked using dbl.spamhaus.org"),
        // One that passes.
        ("RCPT", "450 4.7.1 <crm.example>: Helo command rejected: Host not found"),
    ];
    assert_flag("--smtp-hello", &answers).await;
    // A refusal of the recipient stays one, though its address has the word.
    let server = SmtpServer::start([Fault::Reply("RCPT", "550 5.1.1 <owner@helo.example>: user unknown")]).await;
    let result = Mailer::new(&plain(&server)).unwrap().send(&owed("owner@helo.example")).await;
    assert!(matches!(result, MailResult::Refused(_)), "{result:?}");
}

/// A server that passes mails on only for those whom it knows says nothing of the owner.
#[tokio::test]
async fn a_missing_login_is_later_and_names_the_flag() {
    let answers = [
        ("RCPT", "554 5.7.1 <owner@acme.example>: Relay access denied"),
        ("RCPT", "550 5.7.1 <owner@acme.example>... Relaying denied"),
        ("RCPT", "550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
        ("RCPT", "550 relay not permitted"),
        ("RCPT", "530 5.7.1 Client was not authenticated"),
        // qmail.
        ("RCPT", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)"),
        ("RCPT", "503 5.5.1 Must authenticate before sending"),
        // QQ.
        ("RCPT", "503 Error: need EHLO and AUTH first !"),
        ("RCPT", "550-Please turn on SMTP Authentication in your mail client.\r\n550 crm [203.0.113.7] may not relay"),
        ("RCPT", "553 5.7.1 <outbound@acme.example>: Sender address rejected: not logged in"),
        // 163.com.
        ("MAIL", "553 authentication is required,163 smtp9"),
        ("MAIL", "503 5.5.4 Error: send AUTH command first"),
        (".", "550 5.7.1 Unable to relay"),
        ("EHLO", "530 5.7.0 Authentication required"),
    ];
    assert_flag("give user and password in --smtp-url", &answers).await;
    // Where there is one already, it may not do this.
    let server = SmtpServer::start([Fault::Reply("RCPT", "554 5.7.1 Relay access denied")]).await;
    let result = send(&options(format!("smtp://user:pw@{}", server.address), RootCertStore::empty())).await;
    assert!(matches!(&result, MailResult::Later(said) if said.contains("the login in --smtp-url")), "{result:?}");
    let server = SmtpServer::start([Fault::Reply("AUTH", "535 5.7.8 bad credentials")]).await;
    let result = send(&options(format!("smtp://user:pw@{}", server.address), RootCertStore::empty())).await;
    assert!(
        matches!(&result, MailResult::Later(said) if said.contains("see user and password in --smtp-url")),
        "{result:?}"
    );
}

/// Postfix, Exchange and Gmail ask for TLS with the code of a missing login.
#[tokio::test]
async fn missing_tls_is_later_and_names_what_to_write() {
    let answers = [
        ("EHLO", "530 5.7.0 Must issue a STARTTLS command first"),
        ("MAIL", "530 5.7.0 Must issue a STARTTLS command first"),
        ("RCPT", "530 5.7.0 Must issue a STARTTLS command first"),
        ("RCPT", "538 5.7.11 Encryption required for requested authentication mechanism"),
        ("RCPT", "550 5.7.10 Encryption needed"),
        ("RCPT", "554 5.7.1 TLS is required here"),
    ];
    assert_flag("?tls=required behind the address in --smtp-url", &answers).await;
}

/// Postfix says it at the recipient (`smtpd_delay_reject`), Exchange and Amazon SES at the end of the mail.
#[tokio::test]
async fn a_refusal_of_the_sender_is_later_and_names_the_flag() {
    let answers = [
        ("MAIL", "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
        ("MAIL", "553 5.7.1 <outbound@acme.example>: Sender address rejected: not owned by user crm"),
        ("MAIL", "501 5.1.7 Bad sender address syntax"),
        ("MAIL", "550 5.7.1 no"),
        ("RCPT", "553 5.7.1 <outbound@acme.example>: Sender address rejected: not owned by user crm"),
        ("RCPT", "550 5.1.8 <outbound@acme.example>: Sender address rejected: Domain not found"),
        ("RCPT", "554 5.7.1 <outbound@acme.example>: Sender address rejected: Access denied"),
        ("RCPT", "554 5.7.1 Service unavailable; Sender address [outbound@acme.example] blocked using dbl.example"),
        ("RCPT", "550-Callback failed for <outbound@acme.example>\r\n550 Sender verify failed"),
        (".", "554 Message rejected: Email address is not verified. The following failed: outbound@acme.example"),
        (".", "554 5.2.252 SendAsDenied; outbound@acme.example not allowed to send as other@acme.example"),
        (".", "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
        (".", "550 5.7.1 From header does not match authenticated sender"),
    ];
    assert_flag("--mail-from", &answers).await;
}

/// Our address stands on a list, has no name, or has sent too much: nothing of that is the owner's.
#[tokio::test]
async fn a_refusal_of_this_machine_is_later() {
    let answers = [
        ("CONNECT", "554 5.7.1 Service unavailable; Client host [203.0.113.7] blocked using zen.spamhaus.org"),
        ("RCPT", "554 5.7.1 Service unavailable; Client host [203.0.113.7] blocked using zen.spamhaus.org"),
        ("RCPT", "554 5.7.1 <unknown[203.0.113.7]>: Client host rejected: Access denied"),
        ("RCPT", "550 5.7.25 Client host rejected: cannot find your reverse hostname, [203.0.113.7]"),
        ("RCPT", "550 5.7.1 Client host rejected: cannot find your hostname, [203.0.113.7]"),
        ("RCPT", "550 5.7.23 <owner@acme.example>: Recipient address rejected: SPF fail - not authorized"),
        ("RCPT", "550 5.7.606 Access denied, banned sending IP [203.0.113.7]"),
        ("RCPT", "554 refused, your address is on our blocklist"),
        (".", "550-5.7.26 This mail is blocked, its sender is unauthenticated.\r\n550 5.7.26 Use either SPF or DKIM."),
        (".", "550 5.4.5 Daily user sending limit exceeded."),
        (".", "554 Message rejected: Sending paused for this account. For more information, please check your inbox"),
    ];
    assert_flag(
        "of this machine and of the sender's domain, or name another server, or a login, with --smtp-url",
        &answers,
    )
    .await;
}

/// Postfix says with 450 and 454 what others say with 5xx; it passes only once the operator has mended it.
#[tokio::test]
async fn a_passing_refusal_that_is_sure_of_its_reason_names_the_flag() {
    for (flag, at, answer) in [
        ("give user and password in --smtp-url", "RCPT", "454 4.7.1 <owner@acme.example>: Relay access denied"),
        ("give user and password in --smtp-url", "RCPT", "450 4.7.1 Relaying denied"),
        ("give user and password in --smtp-url", "MAIL", "454 4.7.0 Authentication required"),
        ("give user and password in --smtp-url", "RCPT", "451 4.7.0 Must authenticate before sending"),
        ("?tls=required behind the address in --smtp-url", "MAIL", "451 4.7.0 Must issue a STARTTLS command first"),
        ("?tls=required behind the address in --smtp-url", "EHLO", "454 4.7.0 TLS is required here"),
        ("--mail-from", "RCPT", "450 4.1.8 <outbound@acme.example>: Sender address rejected: Domain not found"),
        ("--mail-from", "MAIL", "450 4.1.8 no such domain"),
        ("--mail-from", "RCPT", "450 4.7.1 <outbound@acme.example>: Sender address rejected: not owned by user crm"),
        ("of this machine", "RCPT", "450 4.7.25 Client host rejected: cannot find your hostname, [203.0.113.7]"),
        ("of this machine", "RCPT", "450 4.7.1 Client host rejected: cannot find your hostname, [203.0.113.7]"),
        ("of this machine", "CONNECT", "421 4.7.1 Client host [203.0.113.7] blocked using zen.spamhaus.org"),
        ("--smtp-hello", "RCPT", "450 4.7.1 <crm.example>: Helo command rejected: Host not found"),
    ] {
        let result = result_of(at, answer).await;
        assert!(matches!(&result, MailResult::Later(said) if said.contains(flag)), "{at}: {answer}: {result:?}");
    }
    // Greylisting and troubles that pass by themselves name whatever they like.
    for (at, answer) in [
        ("RCPT", "450 4.7.1 Greylisted, try again in 300 seconds"),
        ("RCPT", "451 4.7.1 Greylisting in action: sender address rejected, come back later"),
        ("RCPT", "450 4.2.0 <owner@acme.example>: Recipient address rejected: Greylisted"),
        ("RCPT", "450 4.7.1 <outbound@acme.example>: Sender address rejected: grey-listed"),
        ("RCPT", "450 4.7.1 Graylisted: this sender is not authenticated, authentication required"),
        ("MAIL", "451 4.3.0 Temporary lookup failure"),
        ("MAIL", "451 4.7.1 Sender could not be verified now"),
        ("RCPT", "451 4.7.1 Temporarily deferred, client IP is new"),
        (".", "451 4.7.0 scanning your mail with its SPF and DKIM takes longer"),
    ] {
        let result = format!("{:?}", result_of(at, answer).await);
        assert!(result.starts_with("Later") && !result.contains("operator can mend"), "{at}: {answer}: {result}");
        assert!(!result.contains("--"), "{at}: {answer}: {result}");
    }
}

/// An order of commands that the server does not like is no missing login.
#[tokio::test]
async fn a_bad_sequence_is_a_missing_login_only_where_it_says_so() {
    for (at, answer) in [
        ("DATA", "503 5.5.1 Error: no valid recipients"),
        ("DATA", "503 valid RCPT command must precede DATA"),
        ("RCPT", "503 5.5.1 Error: nested MAIL command"),
        ("MAIL", "503 5.5.1 Sender already given"),
    ] {
        let result = format!("{:?}", result_of(at, answer).await);
        assert!(!result.contains("give user and password"), "{at}: {answer}: {result}");
    }
}

/// What is the owner's, or the mail's, gives the mail up as before.
#[tokio::test]
async fn a_refusal_of_the_owner_or_the_mail_is_for_good() {
    for (at, answer) in [
        ("RCPT", "550 5.1.1 <owner@relaying.example>: user unknown"),
        ("RCPT", "550 <owner@relaying.example>: Recipient address rejected: User unknown in relay recipient table"),
        ("RCPT", "550 5.4.1 Recipient address rejected: Access denied. [mx.relaying.example]"),
        ("RCPT", "552 5.2.2 mailbox full"),
        ("RCPT", "550 5.7.1 spam"),
        ("RCPT", "550 Requested action not taken: mailbox unavailable"),
        ("RCPT", "553 sorry, no mailbox here by that name (#5.1.1)"),
        (".", "554 5.7.1 Spam message rejected"),
    ] {
        let server = SmtpServer::start([Fault::Reply(at, answer)]).await;
        let result = Mailer::new(&plain(&server)).unwrap().send(&owed("owner@relaying.example")).await;
        assert!(matches!(result, MailResult::Refused(_)), "{answer}: {result:?}");
    }
    // Greylisting names both addresses and passes.
    let result = result_of("RCPT", "450 4.7.1 Greylisted: this sender is not authenticated, try again").await;
    assert!(matches!(&result, MailResult::Later(said) if said.contains("did not take")), "{result:?}");
}

/// A name that the operator chose is the one that is told to be refused.
#[tokio::test]
async fn the_refused_name_is_told() {
    let server = SmtpServer::start([Fault::Reply("RCPT", "550 bad HELO")]).await;
    let hello = Some("crm.example".to_owned());
    let result = send(&MailerOptions { hello, ..plain(&server) }).await;
    assert!(matches!(&result, MailResult::Later(said) if said.contains("refuses crm.example")), "{result:?}");
}
