//! A commit that breaks off in its middle makes the shard load again, and repeats nothing.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use outbound::config::BACKOFF;
use serde_json::json;

use crate::bench::{Bench, Kind, Parcel, parcel, shard};
use support::process::until;
use support::service::PATIENCE;

const MESSAGES: usize = 1_000;
/// Messages of the broken workspace: each of its attempts breaks a commit off.
const OF_BROKEN: usize = 10;

#[tokio::test]
async fn commits_that_break_off_repeat_nothing_and_stop_no_other_workspace() {
    let bench = Bench::start(Kind::Redis, &[]).await;
    let broken = (0..).map(|n| format!("broken-{n}")).find(|name| shard(name) == shard("acme")).unwrap();
    for workspace in ["acme", &broken] {
        bench.save(workspace, json!({})).await;
        bench.publish_ids(workspace, "+1", &[&format!("{workspace}-first")]).await;
        bench.api().until(workspace, "it is loaded", |webhook| webhook["last_attempt"]["id"] == "2").await;
    }
    let attempts = format!("outbound:{{{}}}:attempts:{broken}", shard("acme"));
    bench.redis().call::<()>(&["RENAME", &attempts, "aside"]);
    // Of another type than a stream: what is written before it in the same commit stays written.
    bench.redis().call::<()>(&["SET", &attempts, "in the way"]);
    let parcels: Vec<Parcel> = (0..MESSAGES).flat_map(|n| both(&broken, n)).collect();
    bench.publish(&parcels).await;

    until_logged(&bench, "acme", 1 + MESSAGES).await;
    let log = bench.service.log();
    assert!(log.contains("The shard is loaded again."), "no commit broke off: {log}");
    bench.redis().call::<()>(&["DEL", &attempts]);
    bench.redis().call::<()>(&["RENAME", "aside", &attempts]);
    until_logged(&bench, &broken, 1 + OF_BROKEN).await;

    for workspace in ["acme", &broken] {
        let of_workspace = parcels.iter().filter(|parcel| parcel.workspace == workspace);
        let mut published: BTreeSet<String> = of_workspace.map(|parcel| parcel.message_id.clone()).collect();
        published.insert(format!("{workspace}-first"));
        let came = bench.receiver.ids(workspace);
        assert_eq!((came.len(), came.into_iter().collect()), (published.len(), published), "{workspace}");
    }
    let stream = format!("outbound:{{{}}}:messages", shard("acme"));
    until("the stream is settled", async || bench.redis().call::<usize>(&["XLEN", &stream]) == 0).await;
}

#[tokio::test]
async fn a_shard_whose_commits_are_all_refused_is_loaded_again_ever_more_slowly_until_they_are_not() {
    let bench = Bench::start(Kind::Redis, &[]).await;
    bench.save("acme", json!({})).await;
    let rejected = format!("outbound:{{{}}}:rejected", shard("acme"));
    let began = Instant::now();
    // Whatever is read is committed behind what is set aside first.
    bench.redis().call::<()>(&["SET", &rejected, "in the way"]);
    let messages = format!("outbound:{{{}}}:messages", shard("acme"));
    bench.redis().call::<()>(&["XADD", &messages, "*", "workspace", "acme", "message", "none"]);
    let parcels: Vec<Parcel> = (0..100).map(|n| parcel("acme", &format!("+{}", n % 12), &format!("a{n:03}"))).collect();
    bench.publish(&parcels).await;
    let loaded = async || bench.service.log().matches("The shard is loaded again.").count();
    until("the shard is loaded again", async || loaded().await >= 5).await;
    // Doubled each time, from the first to the fifth.
    assert!(began.elapsed() >= BACKOFF.first * (1 + 2 + 4 + 8), "five loads within {:?}", began.elapsed());
    bench.redis().call::<()>(&["DEL", &rejected]);
    until_logged(&bench, "acme", 100).await;
    let ids: BTreeSet<String> = parcels.into_iter().map(|parcel| parcel.message_id).collect();
    let came = bench.receiver.ids("acme");
    assert_eq!((came.len(), came.into_iter().collect()), (ids.len(), ids));
}

/// A message for acme, and every so often one for the broken workspace.
fn both(broken: &str, n: usize) -> Vec<Parcel> {
    let mut parcels = vec![parcel("acme", &format!("+{}", n % 12), &format!("a{n:04}"))];
    if n % (MESSAGES / OF_BROKEN) == MESSAGES / OF_BROKEN / 2 {
        parcels.push(parcel(broken, "+1", &format!("b{n:04}")));
    }
    parcels
}

/// Waits until the workspace has so many attempts in its log, and not one more, for as long as there are more of them.
async fn until_logged(bench: &Bench, workspace: &str, attempts: usize) {
    let newest = |webhook: &serde_json::Value| -> usize {
        webhook["last_attempt"]["id"].as_str().map_or(0, |id| id.parse().unwrap())
    };
    let (mut most, mut since) = (0, Instant::now());
    loop {
        let reply = bench.api().read(workspace, "webhook").await;
        // While its key is in the way it cannot be read.
        let seq = if reply.status == 200 { newest(&reply.body) } else { 0 };
        assert!(seq <= 1 + attempts, "{workspace}: {seq} events, one attempt was recorded twice");
        if seq == 1 + attempts {
            return;
        }
        if seq > most {
            (most, since) = (seq, Instant::now());
        }
        assert!(since.elapsed() < PATIENCE, "{workspace}: only {seq} events\n{}", bench.service.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
