//! A source and its shard on two servers, either of which loses what it had not written down yet: every message is handed
//! over, in order, and none twice to a shard that still has it.

use std::time::Duration;

use outbound::config::SourceForm;
use outbound::journal::Journal as _;
use outbound::journal::port::Holder;
use outbound::journal::redis::Redis;

use crate::journal::cluster::{cluster_of, cluster_options, is_on_second, workspace_of};
use support::process::until;
use support::redis_server::{DataCopy, RedisServer};

const SHORTLY: Duration = Duration::from_millis(20);

/// Two primaries, and the common input or a foreign stream on one whose shard is on the other.
struct Apart {
    nodes: [RedisServer; 2],
    journal: Redis,
    /// The node that the source is on.
    home: usize,
    source: &'static str,
    form: Option<SourceForm>,
    workspace: String,
    shard: u16,
}

impl Apart {
    async fn start(fsync: &str, source: &'static str) -> Self {
        let nodes = cluster_of(&["--appendfsync", fsync]).await;
        let journal = Redis::connect(&cluster_options(&nodes)).await.unwrap();
        let home = usize::from(is_on_second(&nodes, source));
        let is_away =
            |shard: &u16| usize::from(is_on_second(&nodes, &format!("outbound:{{{shard}}}:messages"))) != home;
        let shard = (0..4).find(is_away).unwrap();
        let workspace = workspace_of(shard).id.to_string();
        let form = (source != "outbound:messages").then(SourceForm::default);
        if form.is_some() {
            let holder = crate::journal::kit::holder("node-a");
            assert!(journal.lease_source(Some(source), &holder).await.unwrap());
        }
        Self { nodes, journal, home, source, form, workspace, shard }
    }

    /// Adds a message of that id.
    fn add(&self, text: &str) {
        let message = support::service::message("+972550000000", text);
        let fields = ["XADD", self.source, "*", "workspace", &self.workspace, "message", &message];
        self.nodes[self.home].call::<String>(&fields);
    }

    async fn step(&self) {
        // A node that is away, or has lost something: the next step goes on.
        match &self.form {
            None => self.journal.hand_over(256, SHORTLY).await.ok(),
            Some(form) => self.journal.hand_over_from(self.source, form, 256, SHORTLY).await.ok(),
        };
    }

    /// The ids of what the shard got, in order.
    fn handed(&self) -> Vec<String> {
        let key = format!("outbound:{{{}}}:messages", self.shard);
        let entries: Vec<(String, Vec<String>)> = self.nodes[1 - self.home].call(&["XRANGE", &key, "-", "+"]);
        let id = |message: &str| serde_json::from_str::<serde_json::Value>(message).unwrap()["message_id"].clone();
        entries.into_iter().map(|(_, fields)| id(&fields[3]).as_str().unwrap().to_owned()).collect()
    }

    /// What the source still has for us.
    fn left(&self) -> u64 {
        match self.form {
            None => self.nodes[self.home].call(&["XLEN", self.source]),
            Some(_) => {
                // Nothing of a foreign stream is deleted: its owner does that.
                let answer: Vec<redis::Value> = self.nodes[self.home].call(&["XPENDING", self.source, "outbound"]);
                redis::from_redis_value_ref::<u64>(&answer[0]).unwrap()
            }
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let work = async {
            while !holds(self) {
                self.step().await;
            }
        };
        tokio::time::timeout(support::process::PATIENCE, work).await.unwrap_or_else(|_| panic!("in vain until {what}"));
    }

    /// A node dies, and has lost what is not in the copy.
    async fn roll_back(&mut self, node: usize, to: &DataCopy) {
        self.nodes[node].roll_back(to);
        let works = |node: &RedisServer| node.call::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
        until("the cluster is whole", async || self.nodes.iter().all(works)).await;
    }

    /// The files of a node when all that it has is on disk, and nothing more is until it starts again.
    fn written(&self, node: usize) -> DataCopy {
        let () = self.nodes[node].call(&["CONFIG", "SET", "appendfsync", "no"]);
        self.nodes[node].copy_data()
    }
}

#[tokio::test]
async fn what_a_shard_lost_is_handed_over_again_before_what_came_later() {
    // Without fsync no server tells when something is on disk; with it the newer ones do.
    for (fsync, source) in
        [("no", "outbound:messages"), ("everysec", "outbound:messages"), ("everysec", "orders"), ("always", "orders")]
    {
        let mut apart = Apart::start(fsync, source).await;
        apart.add("first");
        apart
            .until("the first is handed over and gone", |apart| apart.handed() == ["first"] && apart.left() == 0)
            .await;
        let away = 1 - apart.home;
        let written = apart.written(away);
        apart.add("second");
        apart.until("the second is handed over", |apart| apart.handed().len() == 2).await;
        assert_eq!(apart.left(), 1, "{fsync} {source}: it is not durable yet");
        apart.roll_back(away, &written).await;
        assert_eq!(apart.handed(), ["first"], "{fsync} {source}");
        apart.add("third");
        apart.until("all are handed over and gone", |apart| apart.left() == 0 && apart.handed().len() == 3).await;
        assert_eq!(apart.handed(), ["first", "second", "third"], "{fsync} {source}");
    }
}

/// The deletions, and a message that its shard has already.
#[tokio::test]
async fn what_a_source_lost_makes_nothing_come_twice() {
    for source in ["outbound:messages", "orders"] {
        let mut apart = Apart::start("everysec", source).await;
        apart.add("first");
        apart.until("the first is handed over", |apart| apart.handed() == ["first"]).await;
        let written = apart.written(apart.home);
        apart.add("second");
        apart.until("the second is handed over", |apart| apart.handed().len() == 2).await;
        apart.roll_back(apart.home, &written).await;
        apart.add("third");
        apart.until("all are handed over and gone", |apart| apart.left() == 0 && apart.handed().len() >= 3).await;
        assert_eq!(apart.handed(), ["first", "second", "third"], "{source}");
    }
}

/// Another node took the source over, was given an entry, and ended before it handed that over.
#[tokio::test]
async fn what_another_reader_left_is_handed_over_before_what_is_new() {
    let apart = Apart::start("everysec", "orders").await;
    apart.add("first");
    apart.until("the first is handed over", |apart| apart.handed() == ["first"] && apart.left() == 0).await;
    let other = Redis::connect(&cluster_options(&apart.nodes)).await.unwrap();
    let [ours, theirs] = ["node-a", "node-b"].map(crate::journal::kit::holder);
    let over = |holder: &Holder| Holder { lease: Duration::ZERO, ..holder.clone() };
    apart.journal.lease_source(Some("orders"), &over(&ours)).await.unwrap();
    assert!(other.lease_source(Some("orders"), &theirs).await.unwrap());
    apart.add("second");
    let () = apart.nodes[apart.home].call(&["XREADGROUP", "GROUP", "outbound", "outbound", "STREAMS", "orders", ">"]);
    other.lease_source(Some("orders"), &over(&theirs)).await.unwrap();
    assert!(apart.journal.lease_source(Some("orders"), &ours).await.unwrap());
    apart.add("third");
    apart.until("all are handed over", |apart| apart.left() == 0 && apart.handed().len() >= 2).await;
    assert_eq!(apart.handed(), ["first", "second", "third"]);
}
