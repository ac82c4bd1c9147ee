//! The private Redis of a run, and the producer that fills it.

use std::collections::HashMap;

use redis::Connection;

use super::seen::unix_us;
use support::redis_server::RedisServer;

/// Messages a pipeline.
const PIPELINE: usize = 256;
/// The service's default number of shards.
pub(crate) const SHARDS: u16 = outbound::config::SHARDS_DEFAULT;

/// A Redis as an operator would run it: AOF written every second. Its own rewrite of the file is off, so
/// that none falls into one measurement of a pair and not into the other.
pub(crate) fn start() -> RedisServer {
    RedisServer::start_with(&["--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"])
}

pub(crate) fn connect(redis: &RedisServer) -> Connection {
    redis::Client::open(redis.url()).and_then(|client| client.get_connection()).expect("a connection to Redis")
}

/// Empties it, its file too: every measurement begins with the same.
pub(crate) fn empty(redis: &RedisServer) {
    let () = redis.call(&["FLUSHALL"]);
    redis.rewrite_log();
}

/// The id of workspace `n`.
pub(crate) fn workspace(n: usize) -> String {
    format!("w{n}")
}

/// The stream of a workspace's messages.
pub(crate) fn stream(n: usize) -> String {
    format!("outbound:{{{}}}:messages", shard(n))
}

/// The stream that takes the messages of every workspace.
pub(crate) fn common(_: usize) -> String {
    "outbound:messages".to_owned()
}

/// Someone else's stream that takes them, as `--source` names it.
pub(crate) fn foreign(_: usize) -> String {
    FOREIGN.to_owned()
}

/// Its name.
pub(crate) const FOREIGN: &str = "orders";

/// The shard of workspace `n`.
pub(crate) fn shard(n: usize) -> u32 {
    crc32fast::hash(workspace(n).as_bytes()) % u32::from(SHARDS)
}

/// Messages that are not settled.
pub(crate) fn owed(redis: &mut Connection) -> u64 {
    let own = entries(redis, (0..SHARDS).map(|shard| format!("outbound:{{{shard}}}:messages")).chain([common(0)]));
    own + unread(redis)
}

/// Messages of someone else's stream that are not acknowledged: it keeps all of them.
fn unread(redis: &mut Connection) -> u64 {
    let all = entries(redis, [foreign(0)].into_iter());
    if all == 0 {
        return 0;
    }
    let groups = redis::cmd("XINFO").arg("GROUPS").arg(FOREIGN).query::<Vec<HashMap<String, redis::Value>>>(redis);
    let groups = groups.expect("the groups of a stream");
    let number = |name: &str| {
        let value = groups.first().and_then(|group| group.get(name)).cloned();
        value.and_then(|value| redis::from_redis_value::<u64>(value).ok())
    };
    number("lag").zip(number("pending")).map_or(all, |(lag, pending)| lag + pending)
}

/// Messages that were set aside.
pub(crate) fn rejected(redis: &mut Connection) -> u64 {
    entries(redis, (0..SHARDS).map(|shard| format!("outbound:{{{shard}}}:rejected")))
}

/// Entries of several streams, asked for at once: it happens while others are measured.
pub(crate) fn entries(redis: &mut Connection, streams: impl Iterator<Item = String>) -> u64 {
    let mut pipeline = redis::pipe();
    for stream in streams {
        pipeline.cmd("XLEN").arg(stream);
    }
    pipeline.query::<Vec<u64>>(redis).expect("lengths").iter().sum()
}

/// Messages in the order in which they are appended, spread evenly over workspaces and chats.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Workspaces that get messages.
    pub(crate) workspaces: usize,
    /// Chats of each.
    pub(crate) chats: usize,
    /// Bytes of a message.
    pub(crate) bytes: usize,
}

impl Load {
    /// The workspace of message `n`.
    pub(crate) fn workspace(&self, n: usize) -> usize {
        n % self.workspaces
    }

    /// Message `n`; its id tells the receiver its number and when it was appended.
    pub(crate) fn message(&self, n: usize) -> String {
        let chat = n / self.workspaces % self.chats;
        let phone = format!("+97255{chat:07}");
        let now = unix_us();
        let mut message = format!(
            concat!(
                r#"{{"whatsapp account":{{"full name":"John Doe","email":"jd@acme.com","phone":"+972540000000"}},"#,
                r#""contact":{{"full name":"Jane Smith","is_group":false,"phone":"{phone}"}},"direction":"received","#,
                r#""timestamp":"2021-02-24T06:25:29+0000","message_id":"{n}-{now}","#,
                r#""sender":{{"full name":"Jane Smith","phone":"{phone}"}},"#,
                r#""receiver":{{"full name":"John Doe","phone":"+972540000000"}},"text":""#
            ),
            phone = phone,
            n = n,
            now = now
        );
        while message.len() + 2 < self.bytes {
            message.push_str("lorem ipsum "[..12.min(self.bytes - message.len() - 2)].as_ref());
        }
        message.push_str("\"}");
        message
    }

    /// Appends messages `numbers`, each to the stream that `stream` names for its workspace.
    pub(crate) fn append(
        &self,
        redis: &mut Connection,
        numbers: std::ops::Range<usize>,
        stream: &dyn Fn(usize) -> String,
    ) {
        let numbers: Vec<usize> = numbers.collect();
        for some in numbers.chunks(PIPELINE) {
            let mut pipeline = redis::pipe();
            for &n in some {
                let number = self.workspace(n);
                let cmd = pipeline.cmd("XADD").arg(stream(number)).arg("*");
                cmd.arg("workspace").arg(workspace(number)).arg("message").arg(self.message(n)).ignore();
            }
            pipeline.query::<()>(redis).expect("appended messages");
        }
    }
}
