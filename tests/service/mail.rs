//! The mail about a switch-off goes out once, whoever is away, killed or told to end meanwhile.

use std::sync::Arc;

use serde_json::json;
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;

use crate::bench::{Bench, Kind, shard};
use support::process::until;
use support::smtp::{Fault, SmtpServer};

#[tokio::test]
async fn an_owed_mail_goes_out_once_after_a_kill_on_the_embedded_journal() {
    an_owed_mail_goes_out_once(Kind::Embedded).await;
}

#[tokio::test]
async fn an_owed_mail_goes_out_once_after_a_kill_on_redis() {
    an_owed_mail_goes_out_once(Kind::Redis).await;
}

async fn an_owed_mail_goes_out_once(kind: Kind) {
    let away = port_that_refuses();
    let address = away.local_addr().unwrap();
    let flags = ["--smtp-url", &format!("smtp://{address}"), "--mail-from", "outbound@example.com"];
    let mut bench = Bench::start(kind, &flags).await;
    switch_off(&bench, "globex").await;
    let webhook = bench
        .api()
        .until("globex", "the mail server is found away", |webhook| !webhook["mail"]["detail"].is_null())
        .await;
    assert_eq!(webhook["mail"]["state"], "owed");

    bench.service.kill();
    bench.crash_store();
    let smtp = SmtpServer::start([]).await;
    bench.service.set("--smtp-url", &format!("smtp://{}", smtp.address));
    bench.service.launch().await;
    bench.api().until("globex", "the mail is sent", |webhook| webhook["mail"]["state"] == "sent").await;

    bench.service.kill();
    bench.crash_store();
    bench.service.launch().await;
    // A mail that were owed still would go out before that of a workspace of the same shard.
    let neighbour = (0..).map(|n| format!("later-{n}")).find(|name| shard(name) == shard("globex")).unwrap();
    switch_off(&bench, &neighbour).await;
    bench.api().until(&neighbour, "its mail is sent", |webhook| webhook["mail"]["state"] == "sent").await;
    let received = smtp.received();
    let to: Vec<&str> = received.iter().map(|mail| mail.to[0].as_str()).collect();
    assert_eq!(to, ["globex@example.com", &format!("{neighbour}@example.com")]);
    assert!(received[0].data.contains("globex"), "{}", received[0].data);
}

#[tokio::test]
async fn an_owner_who_is_replaced_is_told_once_a_day_and_no_save_keeps_it_from_happening() {
    let smtp = SmtpServer::start([]).await;
    let url = format!("smtp://{}", smtp.address);
    let bench = Bench::start(Kind::Embedded, &["--smtp-url", &url, "--mail-from", "outbound@example.com"]).await;
    for owner in ["first@example.com", "second@example.com", "third@example.com"] {
        bench.save("acme", json!({"owner_email": owner})).await;
    }
    bench.save("acme", json!({"owner_email": null, "enabled": false})).await;
    smtp_has(&smtp, 1).await;
    // Behind every mail that would go out as well.
    switch_off(&bench, "acme").await;
    smtp_has(&smtp, 2).await;
    let received = smtp.received();
    let to: Vec<&str> = received.iter().map(|mail| mail.to[0].as_str()).collect();
    assert_eq!(to, ["first@example.com", "acme@example.com"]);
    assert!(received[0].data.contains("admin replaced your address"), "{}", received[0].data);
}

async fn smtp_has(smtp: &SmtpServer, mails: usize) {
    support::process::until("the mails have arrived", async || smtp.received().len() >= mails).await;
}

/// A server that is slow before the final dot holds up nobody: whoever runs the shard next sends the mail.
#[tokio::test]
async fn sigterm_recalls_a_mail_that_the_server_cannot_have_taken() {
    for (kind, point) in [(Kind::Embedded, "RCPT"), (Kind::Redis, "DATA")] {
        let smtp = SmtpServer::start([Fault::Stall(point)]).await;
        let mut bench = Bench::start(kind, &mail_flags(&smtp).each_ref().map(String::as_str)).await;
        switch_off(&bench, "globex").await;
        until("it is silent", async || smtp.commands().iter().any(|line| line.starts_with(point))).await;
        bench.service.ask_to_end();
        assert_eq!(bench.service.ended().await.code(), Some(0));
        assert_eq!((smtp.received().len(), smtp.until(|(open, _)| *open == 0).await), (0, (0, 1)));
        let log = bench.service.log();
        assert!(!log.contains("has not said whether it took these mails"), "nothing was waited for: {log}");
        assert_is_sent_once(&mut bench, &smtp).await;
    }
}

/// What the server took is recorded before the shard is released.
#[tokio::test]
async fn sigterm_waits_for_the_answer_to_a_whole_mail() {
    for kind in [Kind::Embedded, Kind::Redis] {
        let gate = Arc::new(Semaphore::new(0));
        let smtp = SmtpServer::start([Fault::Wait(".", Arc::clone(&gate))]).await;
        let mut bench = Bench::start(kind, &mail_flags(&smtp).each_ref().map(String::as_str)).await;
        switch_off(&bench, "globex").await;
        smtp_has(&smtp, 1).await;
        bench.service.ask_to_end();
        until("it drains", async || bench.service.log().contains("Draining: nothing new is taken up")).await;
        gate.add_permits(1);
        assert_eq!(bench.service.ended().await.code(), Some(0));
        assert_is_sent_once(&mut bench, &smtp).await;
    }
}

/// An answer that does not come in time is nobody's: the mail is sent again, with the same name.
#[tokio::test]
async fn a_mail_whose_answer_no_drain_can_wait_for_is_sent_again() {
    let smtp = SmtpServer::start([Fault::Stall(".")]).await;
    let mut bench = Bench::start(Kind::Embedded, &mail_flags(&smtp).each_ref().map(String::as_str)).await;
    switch_off(&bench, "globex").await;
    smtp_has(&smtp, 1).await;
    bench.service.ask_to_end();
    assert_eq!(bench.service.ended().await.code(), Some(0));
    let log = bench.service.log();
    assert!(log.contains("has not said whether it took these mails"), "{log}");
    bench.service.launch().await;
    bench.api().until("globex", "the mail is sent", |webhook| webhook["mail"]["state"] == "sent").await;
    let received = smtp.received();
    let name = |data: &str| data.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned();
    assert_eq!((received.len(), name(&received[0].data)), (2, name(&received[1].data)));
}

/// An attempt may take longer than a test waits, so that only mails end a drain in time.
fn mail_flags(smtp: &SmtpServer) -> [String; 6] {
    let url = format!("smtp://{}", smtp.address);
    ["--timeout", "120s", "--smtp-url", &url, "--mail-from", "outbound@example.com"].map(str::to_owned)
}

/// The next start sends what is owed still, and behind it the mail of another workspace of the same shard.
async fn assert_is_sent_once(bench: &mut Bench, smtp: &SmtpServer) {
    bench.service.launch().await;
    let neighbour = (0..).map(|n| format!("later-{n}")).find(|name| shard(name) == shard("globex")).unwrap();
    switch_off(bench, &neighbour).await;
    for workspace in ["globex", &neighbour] {
        bench.api().until(workspace, "its mail is sent", |webhook| webhook["mail"]["state"] == "sent").await;
    }
    let to: Vec<String> = smtp.received().into_iter().map(|mail| mail.to[0].clone()).collect();
    assert_eq!(to, ["globex@example.com", &format!("{neighbour}@example.com")]);
}

/// Makes a workspace fail until it is switched off. It gets no message after that.
async fn switch_off(bench: &Bench, workspace: &str) {
    bench.receiver.treat(workspace, |manner| manner.status = 500);
    bench.save(workspace, json!({"owner_email": format!("{workspace}@example.com")})).await;
    let ids: Vec<String> = (0..11).map(|n| format!("{workspace}-{n}")).collect();
    bench.publish_ids(workspace, "+1", &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let off = |webhook: &serde_json::Value| webhook["status"] == "disabled_by_errors";
    bench.api().until(workspace, "it is switched off", off).await;
}

/// A port that nobody else gets and that refuses connections: bound, but not listened on.
pub(crate) fn port_that_refuses() -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket
}
