//! A service on a Redis of its own, a receiver, a producer, and the judge of what came.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use outbound::message::WorkspaceId;
use serde_json::{Value, json};

use support::endpoint::{Arrival, Receiver, first_appearances};
use support::proxy::Proxy;
use support::redis_server::RedisServer;
use support::service::{Api, PATIENCE, Service, message_with};

/// Shards of every service here: enough to have neighbours.
pub(crate) const SHARDS: u16 = 2;

/// How often a condition is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

pub(crate) struct Chaos {
    pub(crate) service: Service,
    pub(crate) receiver: Receiver,
    pub(crate) redis: RedisServer,
    pub(crate) proxy: Option<Proxy>,
}

/// One message to publish.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) workspace: String,
    pub(crate) id: String,
    pub(crate) message: String,
}

/// Messages that are being published by a thread of its own, one after the other.
pub(crate) struct Load {
    thread: JoinHandle<Published>,
    sent: Arc<AtomicUsize>,
}

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// Redis said that it has them.
    pub(crate) acknowledged: BTreeSet<String>,
    /// Its answer was lost: stored or not.
    pub(crate) uncertain: BTreeSet<String>,
}

impl Chaos {
    /// Starts a Redis that syncs every write, and a service on it.
    pub(crate) async fn start() -> Self {
        Self::start_with(&["--appendfsync", "always"], &[]).await
    }

    pub(crate) async fn start_with(redis: &[&str], flags: &[&str]) -> Self {
        let redis = RedisServer::start_with(redis);
        let service = Service::start(&redis.url(), &flags_with_shards(flags)).await;
        Self { service, receiver: Receiver::start(), redis, proxy: None }
    }

    /// The service reaches Redis through a proxy.
    pub(crate) async fn start_behind_proxy() -> Self {
        let redis = RedisServer::start_with(&["--appendfsync", "always"]);
        let proxy = Proxy::start(redis.port()).await;
        let service = Service::start(&proxy.redis_url(), &flags_with_shards(&[])).await;
        Self { service, receiver: Receiver::start(), redis, proxy: Some(proxy) }
    }

    pub(crate) fn api(&self) -> Api {
        self.service.api()
    }

    /// Saves the receiver's URL for each workspace.
    pub(crate) async fn save(&self, workspaces: &[String]) {
        for workspace in workspaces {
            self.api().save(workspace, &json!({"url": self.receiver.url(workspace)})).await.ok();
        }
    }

    /// Their endpoints take so long to answer.
    pub(crate) fn delay(&self, workspaces: &[String], delay: Duration) {
        for workspace in workspaces {
            self.receiver.treat(workspace, |how| how.delay = delay);
        }
    }

    /// Publishes messages at once.
    pub(crate) fn publish(&self, parcels: &[Parcel]) -> Published {
        self.load(parcels.to_vec(), Duration::ZERO).finish()
    }

    /// Publishes messages to the common input, at once.
    pub(crate) fn publish_to_source(&self, parcels: &[Parcel]) {
        let mut connection = redis::Client::open(self.redis.url()).unwrap().get_connection().unwrap();
        let mut pipe = redis::pipe();
        for parcel in parcels {
            let entry = [("workspace", &parcel.workspace), ("message", &parcel.message)];
            pipe.xadd("outbound:messages", "*", &entry).ignore();
        }
        pipe.query::<()>(&mut connection).unwrap();
    }

    /// Begins to publish messages, with a pause after each.
    pub(crate) fn load(&self, parcels: Vec<Parcel>, pause: Duration) -> Load {
        let sent = Arc::new(AtomicUsize::new(0));
        let (url, count) = (self.redis.url(), Arc::clone(&sent));
        let thread = std::thread::spawn(move || {
            let mut producer = Producer { url, connection: None };
            let mut published = Published::default();
            for parcel in parcels {
                let list = if producer.add(&parcel) { &mut published.acknowledged } else { &mut published.uncertain };
                list.insert(parcel.id);
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(pause); // The pace of the load, nothing that is waited for.
            }
            published
        });
        Load { thread, sent }
    }

    /// Entries that are owed, over all streams. The common input comes first: what leaves it meanwhile is in a shard.
    pub(crate) fn owed(&self) -> usize {
        streams().iter().map(|stream| self.redis.call::<usize>(&["XLEN", stream])).sum()
    }

    /// Waits until nothing is owed, for as long as less is.
    pub(crate) async fn until_settled(&self) {
        let (mut least, mut since) = (usize::MAX, Instant::now());
        loop {
            let owed = self.owed();
            if owed == 0 {
                return;
            }
            if owed < least {
                (least, since) = (owed, Instant::now());
            }
            assert!(since.elapsed() < PATIENCE, "{owed} entries are still owed");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The messages that are owed in the shards' streams.
    pub(crate) fn owed_messages(&self) -> BTreeSet<String> {
        let of_stream = |stream: &String| -> Vec<(String, BTreeMap<String, String>)> {
            self.redis.call(&["XRANGE", stream, "-", "+"])
        };
        let entries = streams().iter().flat_map(of_stream).collect::<Vec<_>>();
        let message = |fields: &BTreeMap<String, String>| serde_json::from_str::<Value>(&fields["message"]).unwrap();
        entries.iter().map(|(_, fields)| message(fields)["message_id"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until `/readyz` answers so.
    pub(crate) async fn until_readyz(&self, status: u16, what: &str, wanted: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let reply = self.api().get("/readyz").await;
            if reply.status.as_u16() == status && wanted(&reply.body) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "waited in vain until {what}: {} {}", reply.status, reply.body);
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until `n` requests came.
    pub(crate) async fn until_received(&self, n: usize) {
        self.receiver.until(&format!("{n} requests came"), |arrivals| arrivals.len() >= n).await;
    }

    /// Waits until the log of the service says `words` more often than `times`.
    pub(crate) async fn until_logged(&self, words: &str, times: usize) {
        let began = Instant::now();
        while self.logged(words) <= times {
            assert!(began.elapsed() < PATIENCE, "the log does not say {words:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// How often the log of the service says `words`.
    pub(crate) fn logged(&self, words: &str) -> usize {
        self.service.log().matches(words).count()
    }

    /// The seqs of the workspace's attempts have no hole, and each message stands there `times` at most.
    /// Only for workspaces with at most 100 attempts and one save.
    pub(crate) async fn check_log(&self, workspace: &str, messages: usize, times: usize) {
        let log = self.api().log(workspace).await;
        let seqs: Vec<u64> = log.iter().rev().map(|one| one["id"].as_str().unwrap().parse().unwrap()).collect();
        let wanted: Vec<u64> = (2..).take(seqs.len()).collect();
        assert_eq!(seqs, wanted, "{workspace}: the log has a hole");
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for one in &log {
            *counts.entry(one["message_id"].as_str().unwrap()).or_default() += 1;
        }
        assert_eq!(counts.len(), messages, "{workspace}: messages in the log");
        let more: Vec<_> = counts.iter().filter(|(_, count)| **count > times).collect();
        assert!(more.is_empty(), "{workspace}: too often in the log: {more:?}");
    }

    /// Everything is settled, every acknowledged message came exactly once, in the order of its chat,
    /// and the logs agree.
    pub(crate) async fn check_each_came_once(&self, workspaces: &[String], published: &Published) {
        self.until_settled().await;
        let arrivals = self.receiver.arrivals();
        check_arrivals(&arrivals);
        let came: BTreeSet<String> = arrivals.iter().map(|one| one.message_id.clone()).collect();
        let lost: Vec<_> = published.acknowledged.difference(&came).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        assert_eq!(repeated(&arrivals), BTreeSet::new(), "attempted twice");
        for workspace in workspaces {
            let messages = arrivals.iter().filter(|one| one.workspace == *workspace).count();
            self.check_log(workspace, messages, 1).await;
        }
    }
}

impl Load {
    /// Waits until `n` messages are sent.
    pub(crate) async fn until_sent(&self, n: usize) {
        while self.sent.load(Ordering::SeqCst) < n && !self.is_finished() {
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn finish(self) -> Published {
        self.thread.join().expect("the producer")
    }
}

struct Producer {
    url: String,
    connection: Option<redis::Connection>,
}

impl Producer {
    /// Appends a message. While Redis cannot be reached it waits: nothing was stored then.
    fn add(&mut self, parcel: &Parcel) -> bool {
        let mut cmd = redis::cmd("XADD");
        cmd.arg(stream_of(&parcel.workspace)).arg("*");
        cmd.arg("workspace").arg(&parcel.workspace).arg("message").arg(&parcel.message);
        let added = cmd.query::<String>(self.connection());
        if added.is_err() {
            self.connection = None;
        }
        added.is_ok()
    }

    fn connection(&mut self) -> &mut redis::Connection {
        let began = Instant::now();
        while self.connection.is_none() {
            assert!(began.elapsed() < PATIENCE, "Redis is away for good");
            let client = redis::Client::open(self.url.as_str()).unwrap();
            let connected = client.get_connection_with_timeout(PATIENCE).ok();
            // One that is loading its files takes connections but no commands.
            let ready = |connection: &mut redis::Connection| redis::cmd("PING").query::<String>(connection).is_ok();
            self.connection = connected.and_then(|mut connection| ready(&mut connection).then_some(connection));
            if self.connection.is_none() {
                std::thread::sleep(LOOK); // Until it is there again.
            }
        }
        self.connection.as_mut().unwrap()
    }
}

fn flags_with_shards<'a>(flags: &[&'a str]) -> Vec<&'a str> {
    [&["--shards", "2"], flags].concat()
}

/// Every stream of messages, the common input first.
pub(crate) fn streams() -> Vec<String> {
    let shards = (0..SHARDS).map(|shard| format!("outbound:{{{shard}}}:messages"));
    ["outbound:messages".to_owned()].into_iter().chain(shards).collect()
}

pub(crate) fn shard(workspace: &str) -> u16 {
    workspace.parse::<WorkspaceId>().unwrap().shard(SHARDS)
}

pub(crate) fn stream_of(workspace: &str) -> String {
    format!("outbound:{{{}}}:messages", shard(workspace))
}

/// `n` workspaces whose names begin so.
pub(crate) fn workspaces(name: &str, n: usize) -> Vec<String> {
    (0..n).map(|n| format!("{name}{n}")).collect()
}

/// `n` workspaces of one shard.
pub(crate) fn neighbours(name: &str, n: usize) -> Vec<String> {
    (0..).map(|n| format!("{name}{n}")).filter(|workspace| shard(workspace) == 0).take(n).collect()
}

/// `n` messages for each workspace in `chats` chats, in turn.
pub(crate) fn parcels(workspaces: &[String], name: &str, n: usize, chats: usize) -> Vec<Parcel> {
    let all = (0..n).flat_map(|n| workspaces.iter().map(move |workspace| (n, workspace)));
    all.map(|(n, workspace)| parcel(workspace, n % chats, &format!("{workspace}-{name}{n:05}"), "lorem")).collect()
}

pub(crate) fn parcel(workspace: &str, chat: usize, id: &str, text: &str) -> Parcel {
    let message = message_with(&format!("+{chat}"), id, text);
    Parcel { workspace: workspace.to_owned(), id: id.to_owned(), message }
}

/// First appearances are in the order of their chats, and a message has one `webhook-id`.
pub(crate) fn check_arrivals(arrivals: &[Arrival]) {
    for (chat, ids) in first_appearances(arrivals) {
        assert!(ids.is_sorted(), "chat {chat:?} came as {ids:?}");
    }
    let mut ids: BTreeMap<&str, (&str, &[u8])> = BTreeMap::new();
    for one in arrivals {
        let before = ids.entry(&one.message_id).or_insert((&one.webhook_id, &one.body));
        assert_eq!(*before, (one.webhook_id.as_str(), &one.body[..]), "{} has two webhook-ids", one.message_id);
    }
}

/// The messages that came more than once.
pub(crate) fn repeated(arrivals: &[Arrival]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    arrivals.iter().filter(|one| !seen.insert(&one.message_id)).map(|one| one.message_id.clone()).collect()
}
