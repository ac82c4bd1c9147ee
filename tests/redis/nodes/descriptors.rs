//! A node on a cluster, whose connections are counted before the rest of its descriptors is split.

use outbound::config::{DESCRIPTORS_A_SHARD, JournalConfig, RedisFiles, journal_descriptors};
use serde_json::json;

use crate::journal::cluster::{cluster_of, is_on_second};
use crate::nodes::bench::{SHARDS, workspaces};
use support::endpoint::Receiver;
use support::redis_server::RedisServer;
use support::service::{Service, message};

/// Connections of the service's user.
fn connections(nodes: &[RedisServer; 2]) -> usize {
    let of_user = |node: &RedisServer| node.call::<String>(&["CLIENT", "LIST"]).matches("user=outbound ").count();
    nodes.iter().map(of_user).sum()
}

#[tokio::test]
async fn no_more_connections_lead_to_a_cluster_than_descriptors_are_kept_for_them() {
    let nodes = cluster_of(&[]).await;
    let url = format!("redis+cluster://outbound:change-me-outbound@127.0.0.1:{}", nodes[0].port());
    let service = Service::start(&url, &["--source", "orders"]).await;
    let (receiver, all) = (Receiver::start(), workspaces(64));
    let journal = JournalConfig::Redis {
        url,
        prefix: "outbound".to_owned(),
        allow_volatile: false,
        files: RedisFiles::default(),
    };
    let kept = journal_descriptors(&journal, (usize::from(SHARDS), SHARDS), 1);
    for workspace in &all {
        service.api().save(workspace, &json!({"url": receiver.url(workspace)})).await.ok();
    }
    let mut most = connections(&nodes);
    for (n, source) in ["outbound:messages", "orders"].into_iter().enumerate() {
        for workspace in &all {
            let text = message("+1", &format!("{workspace}-{source}"));
            let node = &nodes[usize::from(is_on_second(&nodes, source))];
            node.call::<String>(&["XADD", source, "*", "workspace", workspace, "message", &text]);
        }
        receiver.until("all came", |arrivals| arrivals.len() == all.len() * (n + 1)).await;
        most = most.max(connections(&nodes));
    }
    let without_the_cluster = DESCRIPTORS_A_SHARD * usize::from(SHARDS);
    assert!((without_the_cluster + 1..=kept).contains(&most), "{most} of {kept}");
}
