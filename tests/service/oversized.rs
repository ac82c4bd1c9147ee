//! Whatever producers append, it takes a bounded part of our memory and of the store's.

use redis::Commands as _;
use serde_json::{Value, json};
use support::endpoint::Receiver;
use support::process::until;
use support::redis_server::RedisServer;
use support::service::{Api, Service, message};

const MIB: usize = 1024 * 1024;
const SOURCE: &str = "outbound:messages";

fn messages(workspace: &str) -> String {
    format!("outbound:{{{}}}:messages", shard(workspace))
}

/// CRC32 as in zlib, mod 16.
fn shard(workspace: &str) -> u32 {
    crc32fast::hash(workspace.as_bytes()) % 16
}

/// Appends to a stream as a producer does.
struct Producer(redis::Connection);

impl Producer {
    fn of(redis: &RedisServer) -> Self {
        Self(redis::Client::open(redis.url()).unwrap().get_connection().unwrap())
    }

    fn add(&mut self, stream: &str, fields: &[(&str, &str)]) {
        let _: String = self.0.xadd(stream, "*", fields).unwrap();
    }
}

async fn serve(redis: &RedisServer, receiver: &Receiver, workspaces: &[&str]) -> Service {
    let service = Service::start(&redis.url(), &[]).await;
    for workspace in workspaces {
        service.api().save(workspace, &json!({ "url": receiver.url(workspace) })).await.ok();
    }
    service
}

async fn rejected(api: &Api) -> u64 {
    api.get("/readyz").await.body["rejected"].as_u64().unwrap_or_default()
}

#[tokio::test]
async fn oversized_entries_are_set_aside_in_little_memory_and_the_neighbours_come_in_time() {
    const ENTRIES: usize = 12;
    let (redis, receiver) = (RedisServer::start(), Receiver::start());
    let mut service = serve(&redis, &receiver, &["acme", "neighbour"]).await;
    let mut producer = Producer::of(&redis);
    let large = "x".repeat(8 * MIB);
    let mut sent = 0;
    // Before the start of the service, and while it runs.
    for round in ["before", "while"] {
        if round == "before" {
            service.terminate().await;
        }
        for n in 0..ENTRIES {
            producer.add(&messages("acme"), &[("workspace", "acme"), ("message", &large)]);
            producer.add(SOURCE, &[("workspace", "acme"), ("message", &large)]);
            for stream in [&messages("neighbour"), SOURCE] {
                let small = message(&format!("+{n}"), &format!("{round}-{n}-{stream}"));
                producer.add(stream, &[("workspace", "neighbour"), ("message", &small)]);
                sent += 1;
            }
        }
        if round == "before" {
            service.launch().await;
        }
        receiver.until("the neighbour's came", |arrivals| arrivals.len() >= sent).await;
    }
    let api = service.api();
    until("all are set aside", async || rejected(&api).await == 4 * ENTRIES as u64).await;
    let owed = |stream: &str| redis.call::<u64>(&["XLEN", stream]);
    until("all is settled", async || owed(SOURCE) + owed(&messages("acme")) + owed(&messages("neighbour")) == 0).await;
    assert_eq!(receiver.count(), sent, "each once");
    assert!(service.peak() < 160 * MIB as u64, "the peak is {} MiB", service.peak() / MIB as u64);

    let listed = api.get("/v1/rejected").await.ok();
    let reason = listed["rejected"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("bytes; at most 524288 are taken"), "{reason}");
}

/// One alone, of which no more than a part is ever read; and fields without number.
#[tokio::test]
async fn an_entry_that_would_not_fit_into_memory_is_cut_in_the_store() {
    let (redis, receiver) = (RedisServer::start(), Receiver::start());
    let mut service = serve(&redis, &receiver, &["acme"]).await;
    service.terminate().await;
    let mut producer = Producer::of(&redis);
    let huge = "x".repeat(96 * MIB);
    producer.add(&messages("acme"), &[("extra", &huge), ("workspace", "acme"), ("message", &message("+1", "m"))]);
    let names: Vec<String> = (0..50_000).map(|n| format!("{n:020}")).collect();
    let mut many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "value")).collect();
    many.push(("workspace", "acme"));
    producer.add(SOURCE, &many);
    producer.add(SOURCE, &[("workspace", "acme"), ("message", &message("+1", "good"))]);
    drop(huge);
    service.launch().await;
    receiver.until("the good one came", |arrivals| !arrivals.is_empty()).await;
    let api = service.api();
    until("both are set aside", async || rejected(&api).await == 2).await;
    assert!(service.peak() < 160 * MIB as u64, "the peak is {} MiB", service.peak() / MIB as u64);
    assert_eq!(receiver.ids("acme"), ["good"]);
}

/// What we derive from a long `message_id` is short; what is POSTed is what the producer wrote.
#[tokio::test]
async fn a_long_message_id_is_sent_whole_and_kept_short() {
    let (redis, receiver) = (RedisServer::start(), Receiver::start());
    let service = serve(&redis, &receiver, &["acme"]).await;
    let api = service.api();
    receiver.treat("acme", |manner| manner.status = 500);
    // Not the letters of one byte alone: it is cut between characters.
    let id = |n: usize| format!("{n}{}", "é".repeat(100 * 1024));
    let written: Vec<String> = (0..8).map(|n| message(&format!("+{n}"), &id(n))).collect();
    for message in &written {
        api.publish("acme", message).await.unwrap().ok();
    }
    until("all are logged", async || api.log("acme").await.len() == written.len()).await;
    for arrival in receiver.arrivals() {
        let body = String::from_utf8(arrival.body.to_vec()).unwrap();
        let n: usize = arrival.message_id[..1].parse().unwrap();
        assert!(body == format!("{{\"message\":{}}}", written[n]), "message {n} is another");
    }
    let webhook = api.webhook("acme").await;
    let shown = webhook["last_attempt"]["message_id"].as_str().unwrap();
    assert!((1_023..=1_024).contains(&shown.len()) && id(0)[1..].starts_with(&shown[1..]), "{} bytes", shown.len());
    for attempt in api.log("acme").await {
        assert_eq!(attempt["request"]["body"]["message"]["message_id"].as_str().map(str::len), Some(1 + 200 * 1024));
    }
    // Every save writes a snapshot.
    api.save("acme", &json!({ "url": receiver.url("other") })).await.ok();
    let key = format!("outbound:{{{}}}:snapshot:acme", shard("acme"));
    let bytes: usize = redis.call(&["STRLEN", &key]);
    assert!(bytes < 32 * 1024, "the snapshot has {bytes} bytes");
    let _: Value = api.read("acme", "attempts").await.ok();
}

/// The largest of everything: messages, URL, headers, answers, changes, and the newest skipped message.
#[tokio::test]
async fn a_workspace_occupies_no_more_than_the_operations_page_says() {
    const SAID_MIB: u64 = 40;
    const CHANGES: u64 = 40;
    let (redis, receiver) = (RedisServer::start(), Receiver::start());
    // No attempt ends by a timeout, and what takes most as JSON is measured.
    let mut service = Service::new(&redis.url(), &["--timeout", "60s", "--journal-compression", "none"]);
    service.secret_key = Some("k1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".to_owned());
    service.launch().await;
    let api = service.api();
    let save = async |n: u64, enabled: bool| {
        let mut url = format!("{}?{n}", receiver.url("acme"));
        url.push_str(&"u".repeat(8_000 - url.len()));
        let headers = json!({ "x-key": format!("{n}{}", "k".repeat(4_000)) });
        api.save("acme", &json!({ "url": url, "headers": headers, "enabled": enabled })).await.ok()
    };
    for n in 0..CHANGES {
        save(n, true).await;
    }
    // What takes most as it is stored.
    receiver.treat("acme", |manner| manner.body = "\u{1}".repeat(5_000));
    let mut producer = Producer::of(&redis);
    let mut publish = |n: usize| {
        let text = support::service::message_with(&format!("+{}", n % 20), &format!("m{n}"), &"x".repeat(255 * 1024));
        producer.add(&messages("acme"), &[("workspace", "acme"), ("message", &text)]);
    };
    (0..100).for_each(&mut publish);
    // The log itself is more than a busy machine reads in the time that an answer may take.
    let last = (CHANGES + 100).to_string();
    api.until("acme", "all are logged", |webhook| webhook["last_attempt"]["id"] == last).await;
    assert_eq!(receiver.count(), 100);
    save(CHANGES, false).await;
    publish(100);
    api.until("acme", "one is skipped", |webhook| webhook["skipped"]["count"] == 1).await;

    let used = |what: &str| {
        let key = format!("outbound:{{{}}}:{what}:acme", shard("acme"));
        redis.call::<u64>(&["MEMORY", "USAGE", &key, "SAMPLES", "0"])
    };
    let changes = used("journal") * 400 / (CHANGES + 1);
    let parts = [used("attempts"), changes, used("snapshot"), used("last")];
    let mib = parts.iter().sum::<u64>() / MIB as u64;
    assert!((SAID_MIB / 2..SAID_MIB).contains(&mib), "{mib} MiB: {parts:?}");
    assert!(parts[1] / 400 < 24 * 1024, "a change takes {} bytes", parts[1] / 400);
    let page = std::fs::read_to_string("src/docs/operations.md").unwrap();
    assert!(page.contains(&format!("In all that is {SAID_MIB} MiB at most")), "the page says another number");
}
