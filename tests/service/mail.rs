//! The mail about a switch-off goes out once, whoever is away or killed meanwhile.

use serde_json::json;
use tokio::net::TcpSocket;

use crate::bench::{Bench, Kind, shard};
use support::smtp::SmtpServer;

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
