//! A service, its journal, and a receiver.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use outbound::app::now;
use outbound::journal::Journal;
use outbound::journal::embedded::Embedded;
use outbound::journal::port::{Holder, Poll};
use outbound::message::{EntryId, WorkspaceId};
use serde_json::{Value, json};

use support::endpoint::Receiver;
use support::redis_server::RedisServer;
use support::service::{Api, PATIENCE, Reply, Service, message};

/// Shards of every service here: few, so that they start quickly, and enough to have neighbours.
pub(crate) const SHARDS: u16 = 4;

/// Where a service remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Embedded,
    Redis,
}

pub(crate) struct Bench {
    pub(crate) service: Service,
    pub(crate) receiver: Receiver,
    redis: Option<RedisServer>,
}

/// What became of messages that were published while the service might be killed.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// The journal said that it has them.
    pub(crate) acknowledged: BTreeSet<String>,
    /// The answer was lost: stored or not.
    pub(crate) uncertain: BTreeSet<String>,
}

/// One message to publish.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    pub(crate) workspace: String,
    pub(crate) chat: String,
    pub(crate) message_id: String,
    pub(crate) message: String,
}

impl Bench {
    pub(crate) async fn start(kind: Kind, more: &[&str]) -> Self {
        let mut bench = Self::new(kind, more);
        bench.service.launch().await;
        bench
    }

    /// The service is not started yet.
    pub(crate) fn new(kind: Kind, more: &[&str]) -> Self {
        let redis = (kind == Kind::Redis).then(RedisServer::start);
        let journal = redis.as_ref().map_or("embedded".to_owned(), RedisServer::url);
        let shards = SHARDS.to_string();
        let arguments = [&["--shards", shards.as_str()], more].concat();
        Self { service: Service::new(&journal, &arguments), receiver: Receiver::start(), redis }
    }

    pub(crate) fn api(&self) -> Api {
        self.service.api()
    }

    pub(crate) fn redis(&self) -> &RedisServer {
        self.redis.as_ref().expect("a Redis journal")
    }

    /// The folder of the store's own files, if it has one.
    pub(crate) fn store_folder(&self) -> Option<&Path> {
        self.redis.as_ref().map(RedisServer::folder)
    }

    /// The store's process dies, if it has one of its own, and comes back with its files.
    pub(crate) fn crash_store(&mut self) {
        if let Some(redis) = &mut self.redis {
            redis.kill();
            redis.restart();
        }
    }

    /// Saves the receiver's URL for a workspace, with `more` members, and tells the receiver the secret.
    pub(crate) async fn save(&self, workspace: &str, more: Value) -> Value {
        let mut webhook = json!({"url": self.receiver.url(workspace)});
        webhook.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
        let saved = self.api().save(workspace, &webhook).await.ok();
        let secret = self.api().read(workspace, "webhook/secret").await.ok();
        let secret = secret["secret"].as_str().unwrap().to_owned();
        self.receiver.treat(workspace, |manner| manner.secret = Some(secret));
        saved
    }

    /// Publishes messages, those of a chat in order: into the shards' streams, or over HTTP.
    pub(crate) async fn publish(&self, parcels: &[Parcel]) -> Published {
        match &self.redis {
            Some(redis) => add(redis, parcels, |parcel| format!("outbound:{{{}}}:messages", shard(&parcel.workspace))),
            None => post_all(&self.api(), parcels).await,
        }
    }

    /// Publishes messages of one chat with these ids.
    pub(crate) async fn publish_ids(&self, workspace: &str, chat: &str, ids: &[&str]) {
        let parcels: Vec<Parcel> = ids.iter().map(|id| parcel(workspace, chat, id)).collect();
        let published = self.publish(&parcels).await;
        assert_eq!(published.acknowledged.len(), ids.len());
    }

    /// Publishes to the common input.
    pub(crate) fn publish_to_source(&self, parcels: &[Parcel]) -> Published {
        add(self.redis(), parcels, |_| "outbound:messages".to_owned())
    }

    /// The ids of the messages that are owed. Asked while no service runs: all that it sent to its
    /// store has arrived there then.
    pub(crate) async fn owed(&self) -> BTreeSet<String> {
        let messages = match &self.redis {
            Some(redis) => owed_in_redis(redis).await,
            None => owed_in_file(&self.service.data_dir().join("outbound.redb")).await,
        };
        messages.iter().map(|message| message_id(message)).collect()
    }
}

/// Does `first` and at once `second`; answers with what came of `second`. On a machine that was slow for a moment both are
/// done again, until `second` was refused or came within a second of `first`.
pub(crate) async fn within_a_second(first: impl AsyncFn(), second: impl AsyncFn() -> Reply) -> Reply {
    let began = Instant::now();
    loop {
        let asked = Instant::now();
        first().await;
        let reply = second().await;
        if !reply.status.is_success() || asked.elapsed() < Duration::from_secs(1) {
            return reply;
        }
        assert!(began.elapsed() < PATIENCE, "nothing is done within a second here");
    }
}

/// A message of a chat.
pub(crate) fn parcel(workspace: &str, chat: &str, message_id: &str) -> Parcel {
    Parcel {
        workspace: workspace.to_owned(),
        chat: chat.to_owned(),
        message_id: message_id.to_owned(),
        message: message(chat, message_id),
    }
}

/// The shard of a workspace.
pub(crate) fn shard(workspace: &str) -> u16 {
    workspace.parse::<WorkspaceId>().unwrap().shard(SHARDS)
}

/// The `message_id` of a message's text.
pub(crate) fn message_id(message: &str) -> String {
    serde_json::from_str::<Value>(message).unwrap()["message_id"].as_str().unwrap().to_owned()
}

fn add(redis: &RedisServer, parcels: &[Parcel], stream: impl Fn(&Parcel) -> String) -> Published {
    let mut connection = redis::Client::open(redis.url()).unwrap().get_connection().unwrap();
    for some in parcels.chunks(500) {
        let mut pipe = redis::pipe();
        for parcel in some {
            let entry = [("workspace", &parcel.workspace), ("message", &parcel.message)];
            pipe.xadd(stream(parcel), "*", &entry).ignore();
        }
        pipe.query::<()>(&mut connection).unwrap();
    }
    let acknowledged = parcels.iter().map(|parcel| parcel.message_id.clone()).collect();
    Published { acknowledged, uncertain: BTreeSet::new() }
}

/// One caller a chat, each message after the answer to the one before.
pub(crate) async fn post_all(api: &Api, parcels: &[Parcel]) -> Published {
    let mut chats: BTreeMap<(&str, &str), Vec<Parcel>> = BTreeMap::new();
    for parcel in parcels {
        chats.entry((&parcel.workspace, &parcel.chat)).or_default().push(parcel.clone());
    }
    let mut callers = tokio::task::JoinSet::new();
    for parcels in chats.into_values() {
        let api = api.clone();
        callers.spawn(async move {
            let mut published = Published::default();
            for parcel in parcels {
                let list =
                    if post(&api, &parcel).await { &mut published.acknowledged } else { &mut published.uncertain };
                list.insert(parcel.message_id);
            }
            published
        });
    }
    let mut all = Published::default();
    while let Some(published) = callers.join_next().await {
        let Published { mut acknowledged, mut uncertain } = published.unwrap();
        all.acknowledged.append(&mut acknowledged);
        all.uncertain.append(&mut uncertain);
    }
    all
}

/// Whether the message was acknowledged. While nobody listens it cannot have been stored, so it waits.
async fn post(api: &Api, parcel: &Parcel) -> bool {
    let began = Instant::now();
    loop {
        match api.publish(&parcel.workspace, &parcel.message).await {
            Ok(reply) if reply.status == 202 => return true,
            Err(error) if error.is_connect() => {
                assert!(began.elapsed() < PATIENCE, "nobody listens any more");
                // Until somebody listens again.
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(reply) => {
                assert_eq!(reply.problem(), (503, "store-away"), "{}", reply.body);
                return false;
            }
            Err(_) => return false,
        }
    }
}

async fn owed_in_redis(redis: &RedisServer) -> Vec<String> {
    // What a killed process wrote to its sockets is still carried out; then its connections end.
    let only_ours = |clients: String| clients.lines().any(|line| line == "connected_clients:1");
    let began = Instant::now();
    while !only_ours(redis.call(&["INFO", "clients"])) {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(began.elapsed() < PATIENCE, "the connections of the killed service do not end");
    }
    let mut streams: Vec<String> = (0..SHARDS).map(|shard| format!("outbound:{{{shard}}}:messages")).collect();
    streams.push("outbound:messages".to_owned());
    let mut messages = Vec::new();
    for stream in streams {
        let entries: Vec<(String, BTreeMap<String, String>)> = redis.call(&["XRANGE", &stream, "-", "+"]);
        messages.extend(entries.into_iter().map(|(_, mut fields)| fields.remove("message").unwrap()));
    }
    messages
}

async fn owed_in_file(path: &std::path::Path) -> Vec<String> {
    let journal = Embedded::open(path, None, now).unwrap();
    let mut messages = Vec::new();
    for shard in 0..SHARDS {
        let holder = Holder { node: "test".to_owned(), lease: Duration::from_secs(10) };
        let mut acquired = journal.acquire(shard, &holder).await.unwrap();
        let mut cursor = EntryId::ZERO;
        loop {
            let poll = Poll { messages: Some((cursor, 1_000)), probe: true, ..Poll::default() };
            let polled = acquired.intake.poll(&poll).await.unwrap();
            let Some(last) = polled.messages.last() else { break };
            cursor = last.id;
            let texts = polled.messages.iter().map(|entry| entry.field("message").unwrap().to_vec());
            messages.extend(texts.map(|text| String::from_utf8(text).unwrap()));
        }
    }
    messages
}
