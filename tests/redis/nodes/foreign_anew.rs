//! A stream of somebody else that is deleted and made anew, whatever its ids: its entries come, each once.

use std::collections::BTreeSet;

use crate::chaos::bench::repeated;
use crate::nodes::bench::{Nodes, stream, workspaces};
use crate::nodes::foreign::{ORDERS, until_drained};
use support::process::until;
use support::service::message;

/// What is done to the stream at once, as a producer does that replays a backlog: nobody looks in between.
struct Script(redis::Pipeline);

impl Script {
    fn new() -> Self {
        let mut pipe = redis::pipe();
        pipe.atomic();
        Self(pipe)
    }

    fn run(mut self, words: &[&str]) -> Self {
        self.0.cmd(words[0]).arg(&words[1..]).ignore();
        self
    }

    fn add(mut self, id: &str, workspace: &str, name: &str) -> Self {
        let text = message("+1", name);
        self.0.cmd("XADD").arg(ORDERS).arg(id).arg("workspace").arg(workspace).arg("message").arg(text).ignore();
        self
    }

    fn done(self, nodes: &Nodes) {
        let mut connection = redis::Client::open(nodes.redis.own_url()).unwrap().get_connection().unwrap();
        self.0.query::<()>(&mut connection).unwrap();
    }
}

async fn started() -> Nodes {
    let nodes = Nodes::start_with(&[&["--source", ORDERS]]).await;
    nodes.until_shared(&[0]).await;
    nodes.save(&workspaces(3)).await;
    nodes
}

fn check(nodes: &Nodes, came: usize, logged: usize) {
    let arrivals = nodes.receiver.arrivals();
    assert_eq!((arrivals.len(), repeated(&arrivals)), (came, BTreeSet::new()));
    assert_eq!(nodes.nodes[0].log().matches("A source is another stream than before").count(), logged);
}

#[tokio::test]
async fn a_stream_that_is_made_anew_and_has_grown_past_what_was_handed_over_is_delivered_whole() {
    let nodes = started().await;
    let mut script = Script::new();
    for n in 0..10 {
        script = script.add("*", &format!("w{}", n % 3), &format!("live-{n:02}"));
    }
    script.done(&nodes);
    until_drained(&nodes, 10).await;
    let mut script = Script::new().run(&["DEL", ORDERS]);
    for n in 0..10 {
        script =
            script.add(&format!("{}-0", 1_700_000_000_000_u64 + n), &format!("w{}", n % 3), &format!("old-{n:02}"));
    }
    for n in 0..5 {
        script = script.add("*", &format!("w{}", n % 3), &format!("then-{n:02}"));
    }
    script.done(&nodes);
    until_drained(&nodes, 25).await;
    check(&nodes, 25, 1);
}

/// Ids that count: each of the old stream is there again.
#[tokio::test]
async fn a_stream_that_counts_from_one_again_is_delivered_whole() {
    let nodes = started().await;
    let count = |mut script: Script, name: &str, until: u64| {
        for n in 1..=until {
            script = script.add(&format!("{n}-0"), &format!("w{}", n % 3), &format!("{name}-{n:02}"));
        }
        script
    };
    count(Script::new(), "a", 50).done(&nodes);
    until_drained(&nodes, 50).await;
    for (n, (name, more)) in [("b", 60), ("c", 40), ("d", 40)].into_iter().enumerate() {
        let before = nodes.receiver.arrivals().len();
        count(Script::new().run(&["DEL", ORDERS]), name, more).done(&nodes);
        until_drained(&nodes, before + usize::try_from(more).unwrap()).await;
        check(&nodes, before + usize::try_from(more).unwrap(), n + 1);
    }
}

/// Its owner trims and deletes, and somebody destroys the group: it is the same stream all the same.
#[tokio::test]
async fn a_stream_that_its_owner_trims_is_no_other_one() {
    let nodes = started().await;
    let mut sent = 0;
    let mut publish = |nodes: &Nodes, count: usize| {
        let mut script = Script::new();
        for _ in 0..count {
            script = script.add("*", &format!("w{}", sent % 3), &format!("m-{sent:03}"));
            sent += 1;
        }
        script.done(nodes);
        sent
    };
    let sent = publish(&nodes, 30);
    until_drained(&nodes, sent).await;
    for change in ["none", "the last", "trimmed", "all"] {
        match change {
            "the last" => {
                let ids: Vec<(String, Vec<String>)> = nodes.redis.call(&["XREVRANGE", ORDERS, "+", "-", "COUNT", "2"]);
                ids.iter().for_each(|(id, _)| nodes.redis.call(&["XDEL", ORDERS, id]));
            }
            "trimmed" => nodes.redis.call(&["XTRIM", ORDERS, "MAXLEN", "10"]),
            "all" => nodes.redis.call(&["XTRIM", ORDERS, "MAXLEN", "0"]),
            _ => {}
        }
        let () = nodes.redis.call(&["XGROUP", "DESTROY", ORDERS, "outbound"]);
        let sent = publish(&nodes, 3);
        until_drained(&nodes, sent).await;
        check(&nodes, sent, 0);
    }
}

/// One shard refuses, so all of the source waits; its owner trims what is pending.
#[tokio::test]
async fn entries_that_are_trimmed_while_they_wait_are_told() {
    let nodes = started().await;
    Script::new().add("*", "w1", "first").done(&nodes);
    until_drained(&nodes, 1).await;
    let () = nodes.redis.call(&["SET", &stream("w0"), "in the way"]);
    let mut script = Script::new();
    for n in 0..20 {
        script = script.add("*", "w0", &format!("m-{n:02}"));
    }
    script.done(&nodes);
    until("they are pending", async || {
        let (count, _, _, _): (u64, redis::Value, redis::Value, redis::Value) =
            nodes.redis.call(&["XPENDING", ORDERS, "outbound"]);
        count == 20
    })
    .await;
    let () = nodes.redis.call(&["XTRIM", ORDERS, "MAXLEN", "5"]);
    // What was read before that may be on its way: of the second round that fails from now on it is certain.
    let failed = || {
        let errors: String = nodes.redis.call(&["INFO", "errorstats"]);
        let count = errors.lines().find_map(|line| line.strip_prefix("errorstat_WRONGTYPE:count="));
        count.map_or(0, |count| count.trim().parse::<u64>().unwrap())
    };
    let before = failed();
    until("it was tried twice more", async || failed() >= before + 2).await;
    let () = nodes.redis.call(&["DEL", &stream("w0")]);
    until_drained(&nodes, 6).await;
    assert_eq!(nodes.receiver.ids("w0"), (15..20).map(|n| format!("m-{n:02}")).collect::<Vec<_>>());
    let log = nodes.nodes[0].log();
    let told: Vec<&str> = log.lines().filter(|line| line.contains("were deleted or trimmed while")).collect();
    assert!(told.len() == 1 && told[0].contains("15"), "{told:?}");
}

/// Its ids begin below those of the one before, and get beyond them.
#[tokio::test]
async fn a_foreign_stream_that_is_made_anew_with_lower_ids_is_another_one_and_its_group_goes_on_there() {
    let nodes = Nodes::start_with(&[&["--source", ORDERS]]).await;
    nodes.until_shared(&[0]).await;
    // On two shards: the second one was given nothing of the stream before, so it notices nothing.
    let all = workspaces(16);
    nodes.save(&all).await;
    let (before, after) = (&all[0], all.iter().find(|one| stream(one) != stream(&all[0])).unwrap());
    let put = |entry: &str, workspace: &str, id: &str| {
        nodes.redis.call::<String>(&["XADD", ORDERS, entry, "workspace", workspace, "message", &message("+1", id)])
    };
    put("100-0", before, "a-100");
    until_drained(&nodes, 1).await;
    let () = nodes.redis.call(&["DEL", ORDERS]);
    put("5-0", after, "b-5");
    until_drained(&nodes, 2).await;
    let position = || nodes.redis.call::<String>(&["HGET", &format!("outbound:source:{{{ORDERS}}}"), "position"]);
    until("it stands there", async || position() == "5-0").await;
    // What comes while there is no group, on both sides of where the stream before was read to.
    let mut both = redis::pipe();
    both.cmd("XGROUP").arg("DESTROY").arg(ORDERS).arg("outbound");
    for (entry, id) in [("50-0", "b-50"), ("150-0", "b-150")] {
        both.cmd("XADD").arg(ORDERS).arg(entry).arg("workspace").arg(after).arg("message").arg(message("+1", id));
    }
    let mut connection = redis::Client::open(nodes.redis.own_url()).unwrap().get_connection().unwrap();
    both.atomic().query::<()>(&mut connection).unwrap();
    until_drained(&nodes, 4).await;
    assert_eq!(nodes.receiver.ids(before), ["a-100"]);
    assert_eq!(nodes.receiver.ids(after), ["b-5", "b-50", "b-150"]);
}
