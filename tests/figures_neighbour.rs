//! What one slow workspace costs: no memory to speak of, and its neighbours nothing. Slow is its endpoint, with a
//! long backlog, or whoever reads its log. And what a node costs that is rolled beside another: no message, and little time.
//!
//! Asserts times and memory, so it runs with the machine for itself (Makefile, "figures").

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

use std::collections::HashMap;
use std::time::{Duration, Instant};

use outbound::config::RESPONSE_STALL_MAX;
use outbound::message::WorkspaceId;
use redis::Connection;
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use support::endpoint::{Arrival, Receiver};
use support::process::until;
use support::redis_server::RedisServer;
use support::service::{Api, Service, message, message_with};

/// Shards of a service when nothing else is said.
const SHARDS: u16 = 16;
const SLOW: &str = "slow";
/// Messages that the slow endpoint is owed, each of about 4 KiB: 80 MiB in all. The service may hold
/// 16 MiB of them (`config::HELD_BYTES_MAX`), and 512 of one workspace (`config::ALLOWANCE`).
const OWED: usize = 20_000;
const TEXT_BYTES: usize = 4_000;
/// Messages of the neighbour while the slow one drags on, one every [`PAUSE`].
const NEIGHBOURS: usize = 1_500;
const PAUSE: Duration = Duration::from_millis(5);

/// Half of what is owed: well above what may be held, well below what would be if it were all held.
const GROWTH_MAX: u64 = 40 * 1024 * 1024;
/// Between the two halves of the time: a page here and there, but nothing that grows with the time.
const LATE_GROWTH_MAX: u64 = 2 * 1024 * 1024;
/// To read past what is owed: 20,000 entries of 4 KiB, unoptimized.
const PASSED_MAX: Duration = Duration::from_secs(5);
/// The neighbour's messages are judged by parts of so many, without the worst of them: a stall of the machine is in one, a
/// neighbour that is felt in more.
const PART: usize = 300;
/// From the append to the arrival at the receiver, 99 of 100.
const P99_MAX: Duration = Duration::from_millis(50);

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures are what whoever runs it wants to see")]
async fn a_slow_endpoint_with_20000_messages_owed_costs_little_memory_and_its_neighbour_no_time() {
    let redis = RedisServer::start();
    let receiver = Receiver::start();
    let service = Service::start(&redis.url(), &[]).await;
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let neighbour = (0..).map(|n| format!("near-{n}")).find(|name| stream(name) == stream(SLOW)).unwrap();
    for workspace in [SLOW, neighbour.as_str()] {
        service.api().save(workspace, &json!({"url": receiver.url(workspace)})).await.ok();
    }
    // Until everything has run once: what is idle then is the measure.
    add(&mut connection, &neighbour, (0..200).map(|n| message(&chat(n), &format!("first-{n}"))));
    receiver.until("the first messages came", |arrivals| arrivals.len() == 200).await;
    let idle = service.resident();

    receiver.treat(SLOW, |manner| manner.delay = Duration::from_secs(1));
    let text = "x".repeat(TEXT_BYTES);
    add(&mut connection, SLOW, (0..OWED).map(|n| message_with(&chat(n), &format!("{SLOW}-{n}"), &text)));
    // A stream is read in order: what stands behind the backlog is found when that has been passed once.
    let appended = Instant::now();
    add(&mut connection, &neighbour, [message("+0", "passed")].into_iter());
    receiver.until("the backlog is passed", |arrivals| arrivals.iter().any(|one| one.message_id == "passed")).await;
    let passed = appended.elapsed();

    let (sent, resident) = publish_beside(&service, &mut connection, &neighbour).await;
    let of_neighbour = |arrivals: &[Arrival]| arrivals.iter().filter(|one| one.workspace == neighbour).count();
    receiver.until("the neighbour's came", |arrivals| of_neighbour(arrivals) == 200 + 1 + NEIGHBOURS).await;
    let owed: usize = redis.call(&["XLEN", &stream(SLOW)]);
    assert!(owed > OWED * 9 / 10, "only {owed} were owed at the end: the slow endpoint was not slow");

    let mut times: Vec<(Instant, Duration)> = receiver
        .arrivals()
        .iter()
        .filter_map(|one| sent.get(&one.message_id).map(|sent| (*sent, one.at.saturating_duration_since(*sent))))
        .collect();
    times.sort_unstable();
    let mut parts: Vec<(Duration, Duration)> = times.chunks(PART).map(half_and_p99).collect();
    parts.sort_unstable_by_key(|(_, p99)| *p99);
    let (half, p99) = parts[parts.len() - 2];
    let peak = |some: &[u64]| some.iter().max().copied().unwrap();
    let (early, late) = resident.split_at(resident.len() / 2);
    let mib = |bytes: u64| bytes / 1024 / 1024;
    let figures = format!(
        "backlog passed after {passed:?}; neighbour: median {half:?}, p99 {p99:?} (parts {parts:?}); \
         resident: idle {} MiB, then at most {} MiB, later {} MiB",
        mib(idle),
        mib(peak(early)),
        mib(peak(late)),
    );
    println!("{figures}");
    assert!(passed < PASSED_MAX, "{figures}");
    assert!(p99 < P99_MAX, "{figures}");
    assert!(peak(&resident) < idle + GROWTH_MAX, "{figures}");
    assert!(peak(late) < peak(early) + LATE_GROWTH_MAX, "{figures}");
}

fn half_and_p99(part: &[(Instant, Duration)]) -> (Duration, Duration) {
    let mut times: Vec<Duration> = part.iter().map(|(_, took)| *took).collect();
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

/// Messages of one workspace beside which the service is started again: with them read once more, unoptimized, it takes
/// several seconds until the neighbour's comes.
const BACKLOG: usize = 40_000;
/// From readiness to the neighbour's message, unoptimized.
const RESTARTED_MAX: Duration = Duration::from_secs(1);

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures are what whoever runs it wants to see")]
async fn a_restart_beside_40000_messages_of_a_slow_workspace_costs_its_neighbour_no_time() {
    let (redis, receiver) = (RedisServer::start(), Receiver::start());
    let mut service = Service::start(&redis.url(), &["--timeout", "60s"]).await;
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    let neighbour = (0..).map(|n| format!("near-{n}")).find(|name| stream(name) == stream(SLOW)).unwrap();
    receiver.treat(SLOW, |manner| manner.delay = Duration::from_secs(600));
    for workspace in [SLOW, neighbour.as_str()] {
        service.api().save(workspace, &json!({"url": receiver.url(workspace)})).await.ok();
    }
    add(&mut connection, SLOW, (0..BACKLOG).map(|n| message(&chat(n), &format!("{SLOW}-{n}"))));
    add(&mut connection, &neighbour, [message("+0", "before")].into_iter());
    let came = async |id: &str| {
        receiver.until(id, |arrivals| arrivals.iter().any(|one| one.message_id == id)).await;
    };
    came("before").await;
    let bookmark = stream(SLOW).replace(":messages", ":bookmark");
    until("it is told how far the shard is read", async || redis.call::<usize>(&["EXISTS", &bookmark]) == 1).await;
    until("the neighbour's is settled", async || redis.call::<usize>(&["XLEN", &stream(SLOW)]) == BACKLOG).await;
    service.kill();
    add(&mut connection, &neighbour, [message("+0", "after")].into_iter());
    service.launch().await;
    let ready = Instant::now();
    came("after").await;
    let took = ready.elapsed();
    println!("started again beside {BACKLOG} messages: the neighbour's came {took:?} after readiness");
    assert!(took < RESTARTED_MAX, "{took:?}");
}

/// Slow readers of one log, all with the token of its workspace.
const READERS: usize = 150;
/// Of 100 messages: 25 MiB.
const LARGE_TEXT_BYTES: usize = 255 * 1024;
/// One log as it waits, what its reading takes beside it, and what the allocator keeps.
const READERS_GROWTH_MAX: u64 = 160 * 1024 * 1024;
/// What a neighbour's reads may take meanwhile, unoptimized.
const NEIGHBOUR_READ_MAX: Duration = Duration::from_secs(1);

/// A service with a log of 25 MiB, and a workspace beside it with one message.
async fn with_a_large_log(receiver: &Receiver) -> Service {
    let service = Service::start("embedded", &[]).await;
    let api = service.api();
    for workspace in [SLOW, "near"] {
        api.save(workspace, &json!({"url": receiver.url(workspace)})).await.ok();
    }
    let text = "x".repeat(LARGE_TEXT_BYTES);
    for n in 0..100 {
        api.publish(SLOW, &message_with(&chat(n), &format!("{SLOW}-{n}"), &text)).await.unwrap().ok();
    }
    api.publish("near", &message("+1", "near")).await.unwrap().ok();
    receiver.until("all came", |arrivals| arrivals.len() == 101).await;
    api.until("near", "it is logged", |webhook| webhook["last_attempt"]["message_id"] == "near").await;
    until("all are logged", async || {
        api.read(SLOW, "attempts").await.ok()["attempts"].as_array().unwrap().len() == 100
    })
    .await;
    service
}

/// A token of the workspace with the large log.
async fn slow_token(api: &Api) -> String {
    let minted = api.call(Method::POST, &format!("/v1/workspaces/{SLOW}/tokens"), Some("{}")).await.unwrap().ok();
    minted["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures are what whoever runs it wants to see")]
async fn slow_readers_of_a_large_log_cost_little_memory_and_their_neighbour_no_time() {
    let receiver = Receiver::start();
    let service = with_a_large_log(&receiver).await;
    let api = service.api();
    let token = slow_token(&api).await;
    let idle = service.resident();

    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut stream = TcpStream::connect(api.address()).await.unwrap();
        let head = format!(
            "GET /v1/workspaces/{SLOW}/attempts/log HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        readers.push(stream);
    }
    // Past every wait of theirs: what is taken in, what is refused, and what is cut because nobody takes it.
    let (peak, longest) = as_neighbour(&service, RESPONSE_STALL_MAX + Duration::from_secs(2)).await;
    let mib = |bytes: u64| bytes / 1024 / 1024;
    let figures = format!(
        "{READERS} slow readers of one log: idle {} MiB, at most {} MiB; a neighbour's two reads at most {longest:?}",
        mib(idle),
        mib(peak)
    );
    println!("{figures}");
    assert!(peak < idle + READERS_GROWTH_MAX, "{figures}");
    assert!(longest < NEIGHBOUR_READ_MAX, "{figures}");
    drop(readers);
    assert_eq!(api.log(SLOW).await.len(), 100, "whoever reads it gets it");
}

/// Reads the workspace beside the large log for so long. The most memory that the service took meanwhile, and the longest that
/// two reads took.
async fn as_neighbour(service: &Service, span: Duration) -> (u64, Duration) {
    let (api, began) = (service.api(), Instant::now());
    let (mut peak, mut longest) = (0, Duration::ZERO);
    while began.elapsed() < span {
        let asked = Instant::now();
        api.webhook("near").await;
        assert_eq!(api.log("near").await.len(), 1);
        longest = longest.max(asked.elapsed());
        peak = peak.max(service.resident());
        tokio::time::sleep(Duration::from_millis(20)).await; // The rate is what is wanted.
    }
    (peak, longest)
}

/// Who asks again and again for what can only be told of the whole log, as fast as it is answered.
const ASKING: usize = 150;
const ASKED_FOR: Duration = Duration::from_secs(6);
/// Two readings of a workspace at a time, each there twice while it is decoded, and what the allocator keeps.
const ASKING_GROWTH_MAX: u64 = 320 * 1024 * 1024;
/// Beside two readings without end, on two cores, unoptimized. Where they are decoded on the threads that answer, it is not
/// answered within half a minute.
const NEIGHBOUR_ASKED_MAX: Duration = Duration::from_secs(3);

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures are what whoever runs it wants to see")]
async fn many_readings_of_a_large_log_cost_little_memory_and_their_neighbour_no_time() {
    let receiver = Receiver::start();
    let service = with_a_large_log(&receiver).await;
    let (api, mut slow) = (service.api(), service.api());
    slow.token = Some(slow_token(&api).await);
    let idle = service.resident();
    let asking = futures_util::future::join_all((0..ASKING).map(|n| {
        let slow = slow.clone();
        async move {
            loop {
                slow.read(SLOW, if n % 2 == 0 { "attempts" } else { "webhook" }).await;
            }
        }
    }));
    let (peak, longest) = tokio::select! {
        figures = as_neighbour(&service, ASKED_FOR) => figures,
        _ = asking => unreachable!("nobody stops asking"),
    };
    let mib = |bytes: u64| bytes / 1024 / 1024;
    let figures = format!(
        "{ASKING} readings of one log at a time: idle {} MiB, at most {} MiB; a neighbour's two reads at most {longest:?}",
        mib(idle),
        mib(peak)
    );
    println!("{figures}");
    assert!(peak < idle + ASKING_GROWTH_MAX, "{figures}");
    assert!(longest < NEIGHBOUR_ASKED_MAX, "{figures}");
}

/// Workspaces and messages of the node that is rolled, so many a second in all.
const ROLLED_WORKSPACES: usize = 64;
const ROLLED_MESSAGES: usize = 2_500;
const ROLLED_A_SECOND: u32 = 250;
/// From the append to the arrival, while shards move.
const ROLLED_MAX: Duration = Duration::from_millis(1_500);

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the figures are what whoever runs it wants to see")]
async fn one_of_two_nodes_is_rolled_and_no_message_is_late_or_comes_twice() {
    let (redis, receiver) = (RedisServer::start(), Receiver::start());
    let first = Service::start(&redis.url(), &[]).await;
    let mut second = Service::start(&redis.url(), &[]).await;
    let workspaces: Vec<String> = (0..ROLLED_WORKSPACES).map(|n| format!("w{n}")).collect();
    for workspace in &workspaces {
        first.api().save(workspace, &json!({"url": receiver.url(workspace)})).await.ok();
    }
    let holds = async |service: &Service, wanted: usize| {
        let held = service.api().get("/readyz").await.body["shards"]["held"].as_array().map_or(0, Vec::len);
        held == wanted
    };
    until("they share the shards", async || holds(&first, 8).await && holds(&second, 8).await).await;
    let load = {
        let url = redis.url();
        std::thread::spawn(move || {
            let mut connection = redis::Client::open(url).unwrap().get_connection().unwrap();
            let (began, mut sent, mut stalled) = (Instant::now(), HashMap::new(), Duration::ZERO);
            for (n, workspace) in workspaces.iter().cycle().take(ROLLED_MESSAGES).enumerate() {
                let due = began + Duration::from_secs(1) * u32::try_from(n).unwrap() / ROLLED_A_SECOND;
                let pause = due.saturating_duration_since(Instant::now());
                std::thread::sleep(pause); // The rate is what is wanted.
                if !pause.is_zero() {
                    stalled = stalled.max(due.elapsed());
                }
                let id = format!("m-{n}");
                sent.insert(id.clone(), Instant::now());
                add(&mut connection, workspace, [message(&chat(n), &id)].into_iter());
            }
            (sent, stalled)
        })
    };
    receiver.until("the load runs", |arrivals| arrivals.len() > 250).await;
    assert_eq!(second.terminate().await.code(), Some(0));
    until("the other has all", async || holds(&first, 16).await).await;
    second.launch().await;
    until("they share the shards again", async || holds(&first, 8).await && holds(&second, 8).await).await;
    let (sent, stalled) = load.join().unwrap();
    receiver.until("all came", |arrivals| arrivals.len() >= ROLLED_MESSAGES).await;
    let mut times: Vec<Duration> =
        receiver.arrivals().iter().map(|one| one.at.saturating_duration_since(sent[&one.message_id])).collect();
    times.sort_unstable();
    let at = |part: usize| times[times.len() * part / 1_000];
    let longest = times.last().unwrap();
    let figures = format!(
        "rolled under load: median {:?}, p99 {:?}, most {longest:?}; the producer stalled for at most {stalled:?}",
        at(500),
        at(990)
    );
    println!("{figures}");
    assert_eq!(times.len(), ROLLED_MESSAGES, "none twice: {figures}");
    // A machine that stalls is late with the producer's next message too.
    assert!(*longest < ROLLED_MAX + stalled, "{figures}");
}

/// Publishes the neighbour's messages one by one. Answers with when each was, and with the service's
/// memory meanwhile.
async fn publish_beside(
    service: &Service,
    connection: &mut Connection,
    neighbour: &str,
) -> (HashMap<String, Instant>, Vec<u64>) {
    let (mut sent, mut resident) = (HashMap::new(), Vec::new());
    for n in 0..NEIGHBOURS {
        let id = format!("near-{n}");
        sent.insert(id.clone(), Instant::now());
        add(connection, neighbour, [message(&chat(n), &id)].into_iter());
        if n % 10 == 0 {
            resident.push(service.resident());
        }
        tokio::time::sleep(PAUSE).await; // The rate is what is wanted.
    }
    (sent, resident)
}

/// Twenty chats, so that a chat's order is not what is measured.
fn chat(n: usize) -> String {
    format!("+{}", n % 20)
}

fn stream(workspace: &str) -> String {
    let shard = workspace.parse::<WorkspaceId>().unwrap().shard(SHARDS);
    format!("outbound:{{{shard}}}:messages")
}

fn add(connection: &mut Connection, workspace: &str, messages: impl Iterator<Item = String>) {
    let stream = stream(workspace);
    let messages: Vec<String> = messages.collect();
    for some in messages.chunks(500) {
        let mut pipe = redis::pipe();
        for message in some {
            pipe.xadd(&stream, "*", &[("workspace", workspace), ("message", message)]).ignore();
        }
        pipe.query::<()>(connection).unwrap();
    }
}
