//! The list of workspaces, merged from the shards' indexes: whatever their number, and however the ids lie in them.

use std::collections::BTreeSet;

use outbound::app::now;
use outbound::journal::Journal as _;
use outbound::journal::port::ListQuery;
use outbound::journal::redis::{Redis, RedisOptions};
use outbound::message::WorkspaceId;

use support::redis_server::RedisServer;

async fn journal(server: &RedisServer, shards: u16) -> Redis {
    let options = RedisOptions { shards: Some(shards), ..RedisOptions::new(server.url(), now) };
    Redis::connect(&options).await.unwrap()
}

/// Writes ids to the indexes of their shards, as commits do.
fn index<'a>(server: &RedisServer, shards: u16, ids: impl IntoIterator<Item = &'a String>) {
    for id in ids {
        let shard = id.parse::<WorkspaceId>().unwrap().shard(shards);
        for list in ["workspaces", "workspaces:disabled"] {
            server.call::<u64>(&["ZADD", &format!("outbound:{{{shard}}}:{list}"), "0", id]);
        }
    }
}

/// All ids that begin so, a page after the other.
async fn pages(journal: &Redis, prefix: &str, count: usize) -> Vec<String> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let status = Some(outbound::workspace::configuration::WebhookStatus::Disabled);
        let query = ListQuery { after: after.take(), prefix: prefix.to_owned(), status, count };
        let page = journal.workspaces(&query).await.unwrap();
        assert!(page.len() <= count);
        let Some(last) = page.last().filter(|_| page.len() == count) else {
            found.extend(page.into_iter().map(|listed| listed.workspace.to_string()));
            return found;
        };
        after = Some(last.workspace.clone());
        found.extend(page.into_iter().map(|listed| listed.workspace.to_string()));
    }
}

#[tokio::test]
async fn a_page_is_the_same_however_the_ids_lie_in_the_shards() {
    for shards in [1_u16, 4, 64] {
        let server = RedisServer::start();
        let journal = journal(&server, shards).await;
        // Those of the first shard stand together, at the beginning and in the middle; the others are spread.
        let of_first = |id: &String| id.parse::<WorkspaceId>().unwrap().shard(shards) == 0;
        let together = |prefix: &'static str| (0..).map(move |n| format!("{prefix}-{n}")).filter(of_first).take(90);
        let spread = (0..90).map(|n| format!("spread-{n}"));
        let ids: BTreeSet<String> = together("a").chain(together("m")).chain(spread).collect();
        index(&server, shards, &ids);
        for count in [1, 7, 101] {
            for prefix in ["", "a", "m-", "spread-1", "x"] {
                let wanted: Vec<&String> = ids.iter().filter(|id| id.starts_with(prefix)).collect();
                assert_eq!(pages(&journal, prefix, count).await.iter().collect::<Vec<_>>(), wanted, "{shards} {count}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_no_id_in_an_index_ends_no_list() {
    let server = RedisServer::start();
    let journal = journal(&server, 1).await;
    let ids: BTreeSet<String> = (0..30).map(|n| format!("w{n:02}")).collect();
    index(&server, 1, &ids);
    for n in 0..40 {
        server.call::<u64>(&["ZADD", "outbound:{0}:workspaces:disabled", "0", &format!("w10 no id {n:02}")]);
    }
    assert_eq!(pages(&journal, "", 5).await, ids.into_iter().collect::<Vec<_>>());
}
