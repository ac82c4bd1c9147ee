//! A long backlog of one slow workspace, and a quick one on its shard: the quick one does not wait for it.

use std::time::Duration;

use outbound::config::{BOOKMARK_EVERY, READ_COUNT_MAX, READ_PASSED_MAX};

use crate::chaos::bench::{Chaos, neighbours, parcel, parcels, stream_of};
use support::process::until;

/// Some ten times what a shard holds, and several times what lies between two bookmarks.
const BACKLOG: usize = 20_000;
/// To pass it over takes so many reads, and as many looks at the commands.
const READS: usize = 2 * BACKLOG / READ_COUNT_MAX;
/// To pass over what lies between two bookmarks, and a few that find what the slow one may hold.
const READS_MAX: usize = 2 * BOOKMARK_EVERY / READ_COUNT_MAX + 300;
const _: () = assert!(READS_MAX * 2 < READS);

/// How often streams were read since Redis' counts were set back.
fn reads(chaos: &Chaos) -> usize {
    let stats: String = chaos.redis.call(&["INFO", "commandstats"]);
    let calls = |name: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.and_then(|line| line.split(',').next()).map_or(0, |calls| calls.parse::<usize>().unwrap())
    };
    calls("xread") + calls("xrange")
}

/// What nobody has read yet is passed over in longer reads, after a few that grow to it.
const UNREAD_MAX: usize = 2 * BACKLOG / READ_PASSED_MAX + 200;
const _: () = assert!(UNREAD_MAX * 2 < READS);

/// Appends a backlog of one workspace.
fn fill(chaos: &Chaos, workspace: &str, entries: usize) {
    let fill = "for n = 1, tonumber(ARGV[1]) do \
        redis.call('XADD', KEYS[1], '*', 'workspace', ARGV[2], 'message', ARGV[3]) end return 1";
    let text = parcel(workspace, 0, "slow", "lorem").message;
    chaos.redis.call::<u64>(&["EVAL", fill, "1", &stream_of(workspace), &entries.to_string(), workspace, &text]);
}

#[tokio::test]
async fn after_a_restart_nothing_new_waits_until_a_backlog_is_read_once_more() {
    let mut chaos = Chaos::start_with(&["--appendfsync", "no"], &["--timeout", "300s"]).await;
    let workspaces = neighbours("w", 2);
    let (slow, quick) = (&workspaces[0], &workspaces[1]);
    chaos.receiver.treat(slow, |how| how.delay = Duration::from_secs(600));
    chaos.save(&workspaces).await;
    fill(&chaos, slow, BACKLOG);
    chaos.publish(&parcels(std::slice::from_ref(quick), "before", 1, 1));
    let before = format!("{quick}-before00000");
    chaos.receiver.until("it is passed", |arrivals| arrivals.iter().any(|one| one.message_id == before)).await;
    chaos
        .receiver
        .until("the slow one has begun", |arrivals| arrivals.iter().any(|one| one.message_id == "slow"))
        .await;
    let shard = stream_of(slow).replace(":messages", "");
    let marked = || chaos.redis.call::<Option<String>>(&["GET", &format!("{shard}:bookmark")]);
    until("it is told how far the shard is read", async || marked().is_some()).await;
    until("the quick one's is settled", async || chaos.redis.call::<usize>(&["XLEN", &stream_of(slow)]) == BACKLOG)
        .await;

    chaos.service.kill();
    chaos.publish(&parcels(std::slice::from_ref(quick), "after", 1, 1));
    chaos.redis.call::<()>(&["CONFIG", "RESETSTAT"]);
    chaos.service.launch().await;
    let after = format!("{quick}-after00000");
    chaos.receiver.until("what is new came", |arrivals| arrivals.iter().any(|one| one.message_id == after)).await;
    let reads = reads(&chaos);
    assert!(reads <= READS_MAX, "{reads} reads came first");
    chaos
        .receiver
        .until("the slow one goes on", |arrivals| arrivals.iter().filter(|one| one.message_id == "slow").count() == 2)
        .await;
}

/// What came while no service ran must be read once, for an earlier message of the same chat may stand anywhere in it.
#[tokio::test]
async fn a_backlog_that_nobody_has_read_is_passed_over_in_long_reads_and_in_order() {
    let mut chaos = Chaos::start_with(&["--appendfsync", "no"], &["--timeout", "300s"]).await;
    let workspaces = neighbours("w", 2);
    let (slow, quick) = (&workspaces[0], &workspaces[1]);
    chaos.receiver.treat(slow, |how| how.delay = Duration::from_secs(600));
    chaos.save(&workspaces).await;
    chaos.service.kill();
    let ids = ["a-first", "b-middle", "c-last"].map(|name| format!("{quick}-{name}00000"));
    for name in ["a-first", "b-middle", "c-last"] {
        chaos.publish(&parcels(std::slice::from_ref(quick), name, 1, 1));
        if name != "c-last" {
            fill(&chaos, slow, BACKLOG / 2);
        }
    }
    chaos.redis.call::<()>(&["CONFIG", "RESETSTAT"]);
    chaos.service.launch().await;
    chaos.receiver.until("the last one came", |arrivals| arrivals.iter().any(|one| one.message_id == ids[2])).await;
    let reads = reads(&chaos);
    assert!(reads <= UNREAD_MAX, "{reads} reads came first");
    assert_eq!(chaos.receiver.ids(quick), ids);
}
