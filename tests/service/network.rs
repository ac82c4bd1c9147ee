//! The network of this machine is away: that is nobody else's fault.

use reqwest::Method;
use serde_json::{Value, json};
use support::dns::{Answer, DnsServer};
use support::endpoint::Receiver;
use support::namespace::{apart, ip, replace};
use support::process::until;
use support::service::{Api, Service, message};

/// Public ones, which lead nowhere but to this host when it has them; that must be allowed.
const ADDRESSES: [&str; 6] = ["8.8.8.1", "8.8.8.2", "8.8.8.3", "8.8.8.4", "8.8.8.5", "8.8.8.6"];
const NAME_SERVER: &str = "9.9.9.9";
/// With `--error-limit 1` two errors in a row would switch a webhook off.
const MESSAGES: usize = 3;

#[test]
fn without_a_route_nothing_is_counted_and_all_is_delivered_once_when_the_network_is_back() {
    apart(
        "network::without_a_route_nothing_is_counted_and_all_is_delivered_once_when_the_network_is_back",
        away_and_back(),
    );
}

#[test]
fn in_silence_nothing_is_counted_and_all_is_delivered_once_when_the_network_is_back() {
    apart("network::in_silence_nothing_is_counted_and_all_is_delivered_once_when_the_network_is_back", async {
        // Whatever this host does not have is sent to itself, and dropped.
        ip("route add default dev lo");
        away_and_back().await;
    });
}

/// Twelve webhooks at names and at public addresses.
async fn away_and_back() {
    let (dns, receiver) = (DnsServer::start_everywhere(), Receiver::start_everywhere());
    let folder = tempfile::tempdir().unwrap();
    for (path, content) in [
        ("/etc/resolv.conf", format!("nameserver {NAME_SERVER}\n")),
        ("/etc/hosts", "127.0.0.1 localhost\n".to_owned()),
    ] {
        let file = folder.path().join(path.rsplit('/').next().unwrap());
        std::fs::write(&file, content).unwrap();
        replace(path, &file);
    }
    let mut urls = Vec::new();
    for (n, address) in ADDRESSES.into_iter().enumerate() {
        dns.answer(&format!("crm{n}.example"), Answer::at(address));
        for host in [format!("crm{n}.example"), address.to_owned()] {
            urls.push((format!("w{}", urls.len()), host));
        }
    }
    let service =
        Service::start("embedded", &["--error-limit", "1", "--timeout", "4s", "--allow-net", "8.8.8.0/24"]).await;
    let api = service.api();
    for (workspace, host) in &urls {
        let url = format!("http://{host}:{}/{workspace}", receiver.address.port());
        api.save(workspace, &json!({ "url": url })).await.ok();
        for n in 0..MESSAGES {
            api.publish(workspace, &message(&n.to_string(), &format!("{workspace}-{n}"))).await.unwrap().ok();
        }
    }
    until("readyz says why", async || {
        reasons(&api).await.iter().any(|reason| reason.starts_with("the network of this node is down"))
    })
    .await;
    assert_none_counted(&api, &urls).await;

    ip(&format!("address add {NAME_SERVER}/32 dev lo"));
    // All at once: with the first of them the network is back, and what is not there yet is that endpoint's fault.
    ip("route add local 8.8.8.0/24 dev lo");
    receiver.until("all have come", |arrivals| arrivals.len() >= urls.len() * MESSAGES).await;
    for (workspace, _) in &urls {
        until("all are logged", async || api.log(workspace).await.len() == MESSAGES).await;
        let log = api.log(workspace).await;
        assert!(log.iter().all(|attempt| attempt["outcome"] == "delivered"), "{workspace}: {log:?}");
    }
    assert_none_counted(&api, &urls).await;
    until("readyz has nothing to say", async || reasons(&api).await.is_empty()).await;
    assert_eq!(receiver.count(), urls.len() * MESSAGES, "each once");
    let log = service.log();
    for line in ["the network of this node is down", "the network of this node is back"] {
        assert_eq!(log.lines().filter(|logged| logged.contains(line)).count(), 1, "{line}");
    }
    let set_aside = log.split_once("set_aside=").expect("the line of its end").1;
    let set_aside: usize = set_aside.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
    assert!(set_aside >= 3, "{set_aside} attempts were set aside");
}

async fn assert_none_counted(api: &Api, urls: &[(String, String)]) {
    for (workspace, host) in urls {
        let webhook = api.webhook(workspace).await;
        let state = (&webhook["status"], &webhook["consecutive_errors"]);
        assert_eq!(state, (&json!("enabled"), &json!(0)), "{host}: {webhook}");
    }
}

/// What readyz says, at 200.
async fn reasons(api: &Api) -> Vec<String> {
    let reply = api.call(Method::GET, "/readyz", None).await.unwrap();
    assert_eq!(reply.status, 200, "{}", reply.body);
    let Value::Array(reasons) = &reply.body["reasons"] else { panic!("{}", reply.body) };
    reasons.iter().map(|reason| reason.as_str().unwrap().to_owned()).collect()
}
