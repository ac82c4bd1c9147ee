//! Redis Cluster: the same code, straight to the primary of each shard's slot.

use std::time::{Duration, Instant};

use outbound::journal::Journal as _;
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::message::{EntryId, WorkspaceId};

use crate::journal::kit::{Workspace, batch, done, holder, message, options, save_command};
use support::process::until;
use support::proxy::{Mode, Proxy};
use support::redis_cluster::RedisCluster;
use support::redis_server::RedisServer;

/// Nothing is waited for so long.
const WAIT: Duration = support::process::PATIENCE;

/// Two primaries, each with half of the slots.
async fn cluster() -> [RedisServer; 2] {
    cluster_of(&[]).await
}

/// The same with further configuration.
pub(crate) async fn cluster_of(more: &[&str]) -> [RedisServer; 2] {
    let config = [&["--cluster-enabled", "yes", "--cluster-node-timeout", "15000"], more].concat();
    let nodes = [RedisServer::start_with(&config), RedisServer::start_with(&config)];
    let () = nodes[0].call(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"]);
    let () = nodes[1].call(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"]);
    let () = nodes[0].call(&["CLUSTER", "MEET", "127.0.0.1", &nodes[1].port().to_string()]);
    let is_whole = |node: &RedisServer| node.call::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
    until("the cluster is whole", async || nodes.iter().all(is_whole)).await;
    nodes
}

pub(crate) fn cluster_options(nodes: &[RedisServer]) -> RedisOptions {
    let seeds: Vec<String> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port())).collect();
    RedisOptions { shards: Some(4), ..options(&format!("redis+cluster://{}", seeds.join(","))) }
}

pub(crate) fn workspace_of(shard: u16) -> Workspace {
    let id = (0..1_000).map(|n| format!("ws-{n}")).find(|id| id.parse::<WorkspaceId>().unwrap().shard(4) == shard);
    Workspace::new(&id.unwrap())
}

#[tokio::test]
async fn shards_on_both_nodes_are_held_written_and_read() {
    let nodes = cluster().await;
    let journal = Redis::connect(&cluster_options(&nodes)).await.unwrap();
    for shard in 0..4 {
        let mut acquired = journal.acquire(shard, &holder("node-a")).await.unwrap();
        let mut workspace = workspace_of(shard);
        let input = journal.publish(&workspace.id, &message("hello")).await.unwrap();
        let poll = outbound::journal::port::Poll { messages: Some((Default::default(), 10)), ..Default::default() };
        assert_eq!(acquired.intake.poll(&poll).await.unwrap().messages[0].id, input);
        let steps = [workspace.saved(), workspace.attempted(input)];
        acquired.connection.commit(batch(steps)).await.unwrap();
        assert_eq!(journal.read(&workspace.id).await.unwrap().state, workspace.state);

        let command = save_command(WAIT);
        let answer = async {
            let poll = outbound::journal::port::Poll {
                commands: Some((Default::default(), 1)),
                block: WAIT,
                ..Default::default()
            };
            let id = acquired.intake.poll(&poll).await.unwrap().commands[0].id;
            let step = outbound::journal::port::Step { answers: vec![(id, done(3))], ..Default::default() };
            acquired.connection.commit(batch([step])).await.unwrap();
        };
        let (submitted, ()) = tokio::join!(journal.submit(&workspace.id, &command, WAIT), answer);
        assert_eq!(submitted.unwrap(), done(3));
    }
    let counts = nodes.each_ref().map(|node| node.call::<u64>(&["DBSIZE"]));
    assert!(counts.iter().all(|count| *count > 0), "both nodes hold shards: {counts:?}");
}

#[tokio::test]
async fn a_cluster_without_full_coverage_is_refused_and_what_it_has_stays() {
    let nodes = cluster().await;
    let journal = Redis::connect(&cluster_options(&nodes)).await.unwrap();
    let workspace = workspace_of(0);
    journal.publish(&workspace.id, &message("hello")).await.unwrap();
    let () = nodes[1].call(&["CLUSTER", "DELSLOTS", "9000"]);
    let () = nodes[1].call(&["CLUSTER", "DELSLOTSRANGE", "16000", "16383"]);
    let url = format!("redis+cluster://127.0.0.1:{}", nodes[1].port());
    let ended = support::service::Service::new(&url, &[]).refused();
    let sentence =
        "the cluster does not serve every slot: no node has slots 9000, 16000-16383; redis-cli --cluster check";
    assert!(ended.stderr.contains(sentence), "{}", ended.stderr);
    assert_eq!(ended.code, Some(1), "{ended:?}");

    let () = nodes[1].call(&["CLUSTER", "ADDSLOTSRANGE", "9000", "9000", "16000", "16383"]);
    let _service = support::service::Service::start(&url, &[]).await;
    // What it has is no valid message, so it is set aside.
    let set_aside = async || journal.rejected(0, EntryId::ZERO, 10).await.unwrap().len() == 1;
    until("what it has is taken up", set_aside).await;
}

#[tokio::test]
async fn the_common_input_is_handed_over_to_shards_on_other_nodes() {
    let nodes = cluster().await;
    let journal = Redis::connect(&cluster_options(&nodes[..1])).await.unwrap();
    let slot: u64 = nodes[0].call(&["CLUSTER", "KEYSLOT", "outbound:messages"]);
    let home = &nodes[usize::from(slot > 8191)];
    for n in 0..40 {
        let workspace = format!("ws-{n}");
        home.call::<String>(&["XADD", "outbound:messages", "*", "workspace", &workspace, "message", "{}"]);
    }
    let mut moved = 0;
    while moved < 40 {
        moved += journal.hand_over(64, Duration::from_millis(20)).await.unwrap().count;
    }
    let mut handed = 0;
    for shard in 0..4 {
        let acquired = journal.acquire(shard, &holder("node-a")).await.unwrap();
        let from = Default::default();
        let to = outbound::message::EntryId { ms: u64::MAX, n: u64::MAX };
        handed += acquired.connection.catch_up(from, to, 100).await.unwrap().len();
    }
    assert_eq!(handed, 40);
}

/// The lease of a source lies on its node, which needs a hash tag.
#[tokio::test]
async fn a_source_beside_which_no_other_key_can_lie_is_refused_and_others_are_not() {
    let nodes = cluster().await;
    let journal = Redis::connect(&cluster_options(&nodes)).await.unwrap();
    for (name, reads) in [("a}b", false), ("{}x", false), ("p:{}q{r}", false), ("a{b", true), ("a}b{7}", true)] {
        assert_eq!(journal.check_source(name).await.is_ok(), reads, "{name}");
        if reads {
            assert!(journal.lease_source(Some(name), &holder("node-a")).await.unwrap());
            let form = outbound::config::SourceForm::default();
            journal.hand_over_from(name, &form, 10, Duration::from_millis(10)).await.unwrap();
        }
    }
    let ended = support::service::Service::new(&cluster_options(&nodes).url, &["--source", "a}b"]).refused();
    assert!(ended.stderr.contains("--source a}b cannot be read on a cluster"), "{}", ended.stderr);
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

/// Whether a key lies on the second node.
pub(crate) fn is_on_second(nodes: &[RedisServer; 2], key: &str) -> bool {
    nodes[0].call::<u64>(&["CLUSTER", "KEYSLOT", key]) > 8191
}

#[tokio::test]
async fn a_shard_that_refuses_writes_holds_back_its_own_entries_only() {
    let nodes = cluster().await;
    let journal = Redis::connect(&cluster_options(&nodes)).await.unwrap();
    let source = usize::from(is_on_second(&nodes, "outbound:messages"));
    let (home, other) = (&nodes[source], &nodes[1 - source]);
    let on_home = |shard: &u16| usize::from(is_on_second(&nodes, &format!("outbound:{{{shard}}}:messages"))) == source;
    let (open, refusing): (Vec<u16>, Vec<u16>) = (0..4).partition(on_home);
    let [open, refusing] = [open, refusing].map(|shards| workspace_of(shards[0]));
    let add = |workspace: &Workspace, n: usize| {
        let fields = ["workspace", workspace.id.as_str(), "message", &n.to_string()];
        home.call::<String>(&[["XADD", "outbound:messages", "*"].as_slice(), &fields].concat());
    };
    let handed = |workspace: &Workspace| -> Vec<String> {
        let key = format!("outbound:{{{}}}:messages", workspace.id.shard(4));
        let node = &nodes[usize::from(is_on_second(&nodes, &key))];
        let entries: Vec<(String, Vec<String>)> = node.call(&["XRANGE", &key, "-", "+"]);
        entries.into_iter().map(|(_, fields)| fields[3].clone()).collect()
    };
    let numbers = |n: usize| (0..n).map(|n| n.to_string()).collect::<Vec<_>>();
    let hand_over = async |until: &dyn Fn() -> bool| {
        let work = async {
            while !until() {
                journal.hand_over(256, Duration::from_millis(20)).await.ok();
            }
        };
        tokio::time::timeout(Duration::from_secs(60), work).await.expect("handed over within a minute");
    };

    let () = other.call(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    // More than is read at a time, before the first that can go on and among those that follow.
    (0..600).for_each(|n| add(&refusing, n));
    for n in 0..300 {
        add(&open, n);
        add(&refusing, 600 + n);
    }
    hand_over(&|| handed(&open).len() == 300).await;
    assert_eq!((handed(&open), handed(&refusing).len()), (numbers(300), 0));
    // What is held back stays, and what was handed over until that is durable.
    hand_over(&|| home.call::<u64>(&["XLEN", "outbound:messages"]) == 900).await;
    assert_eq!(handed(&refusing).len(), 0);

    let () = other.call(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    hand_over(&|| home.call::<u64>(&["XLEN", "outbound:messages"]) == 0).await;
    assert_eq!((handed(&open), handed(&refusing)), (numbers(300), numbers(900)));
}

#[tokio::test]
async fn a_shard_whose_slot_moves_to_another_node_goes_on_there() {
    let nodes = cluster().await;
    let journal = Redis::connect(&cluster_options(&nodes)).await.unwrap();
    let acquired = journal.acquire(0, &holder("node-a")).await.unwrap();
    let mut workspace = workspace_of(0);
    acquired.connection.commit(batch([workspace.saved()])).await.unwrap();

    let slot: u64 = nodes[0].call(&["CLUSTER", "KEYSLOT", "outbound:{0}:owner"]);
    let (from, to) = if slot <= 8191 { (&nodes[0], &nodes[1]) } else { (&nodes[1], &nodes[0]) };
    let slot = slot.to_string();
    let [from_id, to_id] = [from, to].map(|node| node.call::<String>(&["CLUSTER", "MYID"]));
    let () = to.call(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    let () = from.call(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    let keys: Vec<String> = from.call(&["CLUSTER", "GETKEYSINSLOT", &slot, "1000"]);
    let port = to.port().to_string();
    let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
    migrate.extend(keys.iter().map(String::as_str));
    let moving = acquired.connection.commit(batch([workspace.attempted(crate::journal::kit::entry(1))]));
    let () = from.call(&migrate);
    for node in [to, from] {
        let () = node.call(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    moving.await.unwrap();
    acquired.connection.commit(batch([workspace.attempted(crate::journal::kit::entry(2))])).await.unwrap();
    assert_eq!(acquired.connection.load(&workspace.id).await.unwrap().unwrap().state, workspace.state);
    assert_eq!(to.call::<u64>(&["HGET", "outbound:{0}:owner", "head"]), 3);
    let read = journal.read(&workspace.id).await.unwrap();
    assert_eq!(read.attempts.len(), 2);
}

/// What every node of the cluster tells of the nodes, in its own words.
async fn announce(nodes: &[RedisServer; 2], how: &[[&str; 2]], told: &str) {
    for node in nodes {
        for [name, value] in how {
            let () = node.call(&["CONFIG", "SET", name, value]);
        }
    }
    // The others learn it by and by.
    let tells = |node: &RedisServer| {
        let slots: Vec<redis::Value> = node.call(&["CLUSTER", "SLOTS"]);
        slots.iter().all(|range| {
            let redis::Value::Array(range) = range else { return false };
            let redis::Value::Array(primary) = &range[2] else { return false };
            match &primary[0] {
                redis::Value::Nil => told.is_empty(),
                name => redis::from_redis_value_ref::<String>(name).unwrap() == told,
            }
        })
    };
    until("every node tells it", async || nodes.iter().all(tells)).await;
}

/// Every shard can be held, written and read.
async fn works(journal: &Redis) {
    for shard in 0..4 {
        let acquired = journal.acquire(shard, &holder("node-a")).await.unwrap();
        let workspace = workspace_of(shard).id;
        journal.publish(&workspace, &message("hello")).await.unwrap();
        acquired.connection.commit(batch([])).await.unwrap();
        acquired.connection.load(&workspace).await.unwrap().unwrap();
        acquired.connection.release().await.unwrap();
    }
    journal.ping().await.unwrap();
}

/// Nodes in containers often do not know how they are reached, or know a name that leads nowhere from where we are.
#[tokio::test]
async fn nodes_that_announce_nothing_or_what_leads_nowhere_are_reached_or_named() {
    let nodes = cluster().await;
    for (kind, told) in [("hostname", "?"), ("unknown-endpoint", "")] {
        announce(&nodes, &[["cluster-preferred-endpoint-type", kind]], told).await;
        works(&Redis::connect(&cluster_options(&nodes)).await.unwrap()).await;
    }
    announce(&nodes, &[["cluster-preferred-endpoint-type", "ip"]], "127.0.0.1").await;
    let journal = Redis::connect(&cluster_options(&nodes)).await.unwrap();
    // Nothing listens there.
    let nowhere = [["cluster-announce-hostname", "127.0.0.99"], ["cluster-preferred-endpoint-type", "hostname"]];
    announce(&nodes, &nowhere, "127.0.0.99").await;
    let error = journal.ping().await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    let named = format!("the node that the cluster names, 127.0.0.99:{}, cannot be reached", nodes[0].port());
    let other = named.replace(&nodes[0].port().to_string(), &nodes[1].port().to_string());
    assert!(cause.contains(&named) || cause.contains(&other), "{cause}");
    announce(&nodes, &[["cluster-preferred-endpoint-type", "ip"]], "127.0.0.1").await;
    works(&journal).await;
}

/// As a machine that is frozen, or that packets to are dropped. It is asked while nobody is known who answers, and not for
/// every connection.
#[tokio::test]
async fn a_seed_that_hangs_is_not_asked_for_every_connection() {
    let nodes = cluster().await;
    let [first, second] = [Proxy::start(nodes[0].port()).await, Proxy::start(nodes[1].port()).await];
    [&first, &second].into_iter().for_each(|proxy| proxy.set(Mode::BlackHole));
    let mut options = cluster_options(&nodes);
    let hung = [&first, &second].map(|proxy| proxy.redis_url().replace("redis://", "")).join(",");
    options.url = options.url.replace("redis+cluster://", &format!("redis+cluster://{hung},"));
    let journal = Redis::connect(&options).await.unwrap();
    let asked = first.accepted();
    assert!(asked > 0, "it is the first one that is named");
    works(&journal).await;
    // Both that answer may have been slow for a moment.
    assert!(first.accepted() <= asked + 1, "{} connections", first.accepted() - asked);
}

/// In a fail-over, or while it is started anew.
#[tokio::test]
async fn a_primary_that_is_away_at_the_start_is_waited_for() {
    let mut nodes = cluster().await;
    // The other one holds what a start reads first.
    let away = usize::from(!is_on_second(&nodes, "outbound:meta"));
    nodes[away].kill();
    let seed = format!("127.0.0.1:{}", nodes[1 - away].port());
    let options = RedisOptions { url: format!("redis+cluster://{seed}"), ..cluster_options(&nodes) };
    let starting = tokio::spawn(async move { Redis::connect(&options).await.map(|_| ()) });
    nodes[away].restart();
    starting.await.unwrap().unwrap();
}

/// As a machine that is frozen, or that packets to are dropped: its connections say nothing. What others tell of it counts.
#[tokio::test]
async fn a_primary_that_hangs_is_left_as_soon_as_another_one_has_its_place() {
    let cluster = RedisCluster::start();
    let journal = Redis::connect(&RedisOptions { shards: Some(4), ..options(&cluster.url()) }).await.unwrap();
    let acquired = journal.acquire(0, &holder("node-a")).await.unwrap();
    let workspace = workspace_of(0);
    journal.publish(&workspace.id, &message("hello")).await.unwrap();
    let hung = cluster.primary_of("outbound:{0}:owner");
    // What it alone has would be lost with it.
    cluster.until_replicated(hung);
    cluster.nodes[hung].pause();
    cluster.take_over(hung);
    let began = Instant::now();
    acquired.connection.commit(batch([])).await.unwrap();
    journal.read(&workspace.id).await.unwrap();
    assert!(began.elapsed() < outbound::config::STORE_TIMEOUT, "{:?}", began.elapsed());
    cluster.nodes[hung].resume();
}

/// Not only the one that answers first: each holds shards.
#[tokio::test]
async fn every_primary_is_checked_at_the_start() {
    let nodes = cluster().await;
    for node in &nodes {
        for (setting, wrong, right, told) in [
            ("maxmemory-policy", "allkeys-lru", "noeviction", "allkeys-lru"),
            ("appendonly", "no", "yes", "keeps nothing"),
        ] {
            let () = node.call(&["CONFIG", "SET", "save", ""]);
            let () = node.call(&["CONFIG", "SET", setting, wrong]);
            let refused = Redis::connect(&cluster_options(&nodes)).await.map(|_| ()).unwrap_err();
            let why = std::error::Error::source(&refused).map(ToString::to_string).unwrap_or_default();
            let named = refused.to_string().contains(&node.port().to_string());
            assert!(named && why.contains(told), "{setting} {wrong}: {refused}: {why}");
            let () = node.call(&["CONFIG", "SET", setting, right]);
        }
    }
    Redis::connect(&cluster_options(&nodes)).await.unwrap();
}
