//! More than a shard holds in memory: parking, sweeps and giving back, on a real Redis.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use crate::chaos::bench::{Chaos, check_arrivals, neighbours, parcels, repeated};

/// A shard holds 2,048 entries, a workspace 512.
const MESSAGES: usize = 1_500;

#[tokio::test]
async fn workspaces_with_thousands_of_messages_on_one_shard_have_one_outcome_each() {
    let chaos = Chaos::start_with(&[], &["--max-in-flight-per-workspace", "8", "--timeout", "60s"]).await;
    let workspaces = neighbours("w", 6);
    for (n, workspace) in workspaces.iter().enumerate() {
        chaos.receiver.treat(workspace, |how| how.delay = Duration::from_millis([1, 5, 10, 20, 5, 1][n]));
    }
    // The first is switched off before more are answered.
    let toggled = &workspaces[0];
    chaos.receiver.treat(toggled, |how| how.answered_max = 300);
    // The last but one fails until it is switched off; the last one is never saved.
    chaos.receiver.treat(&workspaces[4], |how| how.status = 503);
    chaos.save(&workspaces[..5]).await;
    let published = chaos.publish(&parcels(&workspaces, "m", MESSAGES, 6)).acknowledged;
    // One is switched off in the middle of its backlog, and on again.
    chaos
        .receiver
        .until("some of its messages came", |arrivals| {
            arrivals.iter().filter(|one| one.workspace == *toggled).count() >= 300
        })
        .await;
    let url = chaos.receiver.url(toggled);
    chaos.api().save(toggled, &json!({"url": url, "enabled": false})).await.ok();
    chaos.receiver.treat(toggled, |how| how.answered_max = usize::MAX);
    chaos.api().until(toggled, "some are skipped", |webhook| webhook["skipped"]["count"].as_u64() >= Some(50)).await;
    chaos.api().save(toggled, &json!({"url": url})).await.ok();

    chaos.until_settled().await;
    let arrivals = chaos.receiver.arrivals();
    check_arrivals(&arrivals);
    assert_eq!(repeated(&arrivals), BTreeSet::new(), "attempted twice");
    assert!(arrivals.iter().all(|one| published.contains(&one.message_id)));
    let mut skipped = Vec::new();
    for workspace in &workspaces {
        let webhook = chaos.api().webhook(workspace).await;
        let attempted = arrivals.iter().filter(|one| one.workspace == *workspace).count();
        let count = usize::try_from(webhook["skipped"]["count"].as_u64().unwrap()).unwrap();
        assert_eq!(attempted + count, MESSAGES, "{workspace}: attempted and skipped: {webhook:#}");
        skipped.push(count);
    }
    assert_eq!(skipped[1..], [0, 0, 0, MESSAGES - 11, MESSAGES], "skipped, by workspace");
}
