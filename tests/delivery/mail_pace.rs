//! How long the mailer waits for a mail server, and how many mails it hands over at a time.

use std::cell::Cell;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use outbound::config::MAIL_GAPS;
use outbound::journal::port::OwedMail;
use outbound::notify::{Mailer, MailerOptions, TestMail};
use outbound::workspace::decide::MailResult;
use outbound::workspace::event::MailId;
use support::clock::StoppedClock;
use support::process::{PATIENCE, until};
use support::smtp::{Fault, SmtpServer};
use tokio::sync::Semaphore;

use crate::mail::{AMPLE, assert_later, assert_unknown, mailer, options, owed};

/// Waits with a stopped clock until the server is silent at this point, and then as long as the mailer does.
async fn result_of_silence(server: &SmtpServer, point: &str, sending: impl Future<Output = MailResult>) -> MailResult {
    let clock = StoppedClock::stop();
    let silent = until("it is silent", async || match point {
        "CONNECT" => server.until(|_| true).await == (1, 1),
        "." => server.received().len() == 1,
        _ => server.commands().iter().any(|line| line.starts_with(point)),
    });
    clock.after(silent, sending).await
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_after_the_timeout() {
    for (point, far) in [
        // Port 465 is silent to those who come without TLS.
        ("CONNECT", "20s, not even with a greeting; where TLS begins at once, mostly at port 465, write smtps://"),
        ("EHLO", "20s; nothing was handed over"),
        ("RCPT", "20s; nothing was handed over"),
        ("DATA", "20s; nothing was handed over"),
        (".", "600s; whether it took the mail is unknown"),
    ] {
        let server = SmtpServer::start([Fault::Stall(point)]).await;
        let (mailer, mail) = (mailer(&server), owed());
        let result = result_of_silence(&server, point, Box::pin(mailer.send(&mail))).await;
        let said = format!("did not answer within {far}");
        if point == "." {
            assert_unknown(&result, &said)
        } else {
            assert_later(&result, &said)
        }
        server.until(|(open, all)| (*open, *all) == (0, 1)).await;
    }
}

/// Whoever recalls a mail hands it to another, who sends it: only before the final dot is that safe.
#[tokio::test]
async fn a_mail_is_recalled_at_once_until_its_final_dot_is_sent() {
    for point in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"] {
        let server = SmtpServer::start([Fault::Stall(point)]).await;
        let (mailer, mail) = (mailer(&server), owed());
        let silent = until("it is silent", async || match point {
            "CONNECT" => server.until(|_| true).await == (1, 1),
            _ => server.commands().iter().any(|line| line.starts_with(point)),
        });
        assert_eq!(mailer.send_unless_recalled(&mail, silent).await, MailResult::NotBegun, "{point}");
        server.until(|(open, all)| (*open, *all) == (0, 1)).await;
        assert_eq!(server.received(), []);
        assert_eq!(mailer.send(&mail).await, MailResult::Sent, "no gap follows");
    }
    let gate = Arc::new(Semaphore::new(0));
    let server = SmtpServer::start([Fault::Wait(".", Arc::clone(&gate))]).await;
    let recalled = async {
        until("it has the mail", async || server.received().len() == 1).await;
        gate.add_permits(1);
    };
    assert_eq!(mailer(&server).send_unless_recalled(&owed(), recalled).await, MailResult::Sent);
    let server = SmtpServer::start([Fault::Wait(".", gate)]).await;
    let (mailer, mail) = (mailer(&server), owed());
    let sending = tokio::spawn(async move { mailer.send_unless_recalled(&mail, ready(())).await });
    assert_eq!(sending.await.expect("no panic"), MailResult::NotBegun);
}

/// Each answer takes less than it may; all together take longer than any of them may.
#[tokio::test]
async fn a_slow_server_gets_its_mail_once_and_a_test_mail_is_not_waited_for_so_long() {
    const POINTS: [&str; 6] = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."];
    let gate = Arc::new(Semaphore::new(0));
    let server = SmtpServer::start([Fault::Slow(Arc::clone(&gate))]).await;
    let mailer = mailer(&server);
    let clock = StoppedClock::stop();
    let slow = async {
        for point in POINTS {
            until("it waits at the next point", async || server.slow_at().as_deref() == Some(point)).await;
            // The last one as long as RFC 5321 asks for.
            let tarpit = if point == "." { Duration::from_secs(9 * 60) } else { Duration::from_secs(19) };
            clock.pass(tarpit).await;
            gate.add_permits(1);
        }
        std::future::pending::<()>().await;
    };
    let mail = owed();
    let sent = tokio::select! { sent = mailer.send(&mail) => sent, () = slow => unreachable!("it goes on") };
    assert_eq!(sent, MailResult::Sent);
    assert_eq!(server.received().len(), 1);
    drop(clock);

    let test = TestMail { workspace: mail.workspace, to: mail.to, url: None, at: mail.at };
    let whole = Duration::from_secs(10);
    for point in ["EHLO", "."] {
        let server = SmtpServer::start([Fault::Stall(point)]).await;
        let mailer = Mailer::new(&options(format!("smtp://{}", server.address))).expect("good options");
        let sending = Box::pin(mailer.send_test(&test, whole, ready(true)));
        let result = result_of_silence(&server, point, sending).await;
        match point {
            "." => assert_unknown(&result, "was not done within 10s; whether it took the mail is unknown"),
            _ => assert_later(&result, "was not done within 10s; nothing was handed over"),
        }
    }
}

/// Who asks whether one may be sent is asked only once it could be.
#[tokio::test]
async fn a_test_mail_that_never_began_asks_for_no_permit() {
    let test = TestMail { workspace: owed().workspace, to: owed().to, url: None, at: owed().at };
    let asked = Cell::new(0);
    let permit = |answer: bool| {
        let asked = &asked;
        async move {
            asked.set(asked.get() + 1);
            answer
        }
    };
    let refusing = SmtpServer::start([Fault::Reply("AUTH", "535 5.7.8 wrong password")]).await;
    let login = Mailer::new(&options(format!("smtp://user:pw@{}", refusing.address))).expect("good options");
    assert_later(&login.send_test(&test, AMPLE, permit(true)).await, "wrong password");
    assert_eq!(asked.get(), 0);
    let server = SmtpServer::start([]).await;
    let mailer = mailer(&server);
    assert_eq!(mailer.send_test(&test, AMPLE, permit(false)).await, MailResult::NotBegun);
    assert!(!server.commands().iter().any(|line| line.starts_with("MAIL")), "{:?}", server.commands());
    assert_eq!(mailer.send_test(&test, AMPLE, permit(true)).await, MailResult::Sent);
    assert_eq!((asked.get(), server.received().len()), (2, 1));
}

/// What a server says of how much it takes is said of all mails.
#[tokio::test]
async fn after_too_many_mails_the_others_wait_and_none_is_tried_meanwhile() {
    for (point, answer) in [
        ("CONNECT", "421 4.7.0 too many connections"),
        ("EHLO", "421 4.3.2 try later"),
        ("MAIL", "452 4.3.1 Insufficient system storage"),
        ("RCPT", "450 4.7.1 Error: too much mail from 127.0.0.1"),
        (".", "454 Throttling failure: Maximum sending rate exceeded."),
    ] {
        let server = SmtpServer::start([Fault::Reply(point, answer)]).await;
        let mailer = mailer(&server);
        let clock = StoppedClock::stop();
        assert_later(&mailer.send(&owed()).await, "");
        assert_eq!(mailer.send(&owed()).await, MailResult::NotBegun, "{point}");
        clock.pass(MAIL_GAPS.first).await;
        assert_eq!(mailer.send(&owed()).await, MailResult::Sent, "{point}");
        assert_eq!(mailer.send(&owed()).await, MailResult::NotBegun, "{point}");
        drop(clock);
    }
    // What is about one mail holds up no other.
    for (point, answer) in [
        ("RCPT", "450 4.7.1 Greylisted"),
        ("RCPT", "452 4.2.2 mailbox full"),
        ("RCPT", "452 4.2.2 Mailbox size limit exceeded"),
        (".", "451 4.3.0 no"),
    ] {
        let server = SmtpServer::start([Fault::Reply(point, answer)]).await;
        let mailer = mailer(&server);
        assert_later(&mailer.send(&owed()).await, "");
        assert_eq!(mailer.send(&owed()).await, MailResult::Sent, "{point}: {answer}");
    }
}

#[tokio::test]
async fn a_known_outcome_does_not_wait_for_the_goodbye() {
    let server = SmtpServer::start([Fault::Stall("QUIT"), Fault::Drop("QUIT")]).await;
    let mailer = mailer(&server);
    assert_eq!(mailer.send(&owed()).await, MailResult::Sent);
    assert_eq!(mailer.send(&owed()).await, MailResult::Sent);
    server.until(|(open, _)| *open == 0).await;
}

#[tokio::test]
async fn no_more_mails_are_handed_over_at_a_time_than_allowed() {
    let gate = Arc::new(Semaphore::new(0));
    let server = SmtpServer::start((0..6).map(|_| Fault::Wait("CONNECT", Arc::clone(&gate)))).await;
    let url = format!("smtp://{}", server.address);
    let mailer = Mailer::new(&MailerOptions { at_once: 2, ..options(url) }).expect("good options");
    let sending: Vec<_> = (0..6)
        .map(|owed_by| {
            let mailer = mailer.clone();
            tokio::spawn(async move {
                let mail = OwedMail { id: MailId::disabled(owed_by), ..owed() };
                loop {
                    match mailer.send(&mail).await {
                        // Nobody waits for a turn inside the mailer: whoever gets none asks again.
                        MailResult::NotBegun => support::process::moment(Duration::from_millis(1)).await,
                        sent => break sent,
                    }
                }
            })
        })
        .collect();
    for ended in 0..6_usize {
        let expected = (6 - ended).min(2);
        let (open, all) = server.until(|(open, all)| *open >= expected && *all >= ended + expected).await;
        assert!(open <= 2 && all <= ended + 2, "{open} sessions open, {all} in all, {ended} ended");
        gate.add_permits(1);
        server.until(|(open, all)| all - open > ended).await;
    }
    for sent in sending {
        let sent = tokio::time::timeout(PATIENCE, sent).await.expect("every mail gets its turn");
        assert_eq!(sent.expect("no panic"), MailResult::Sent);
    }
    assert_eq!(server.received().len(), 6);
}
