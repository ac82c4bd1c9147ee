//! `GET /v1/nodes`: the nodes that share the store, who holds which shard, and what each shard owes; admin only.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use futures_util::future::try_join;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::{NODE_GONE_AFTER, ShardSet};
use crate::http::auth::caller::Admin;
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::problems::{ADMIN_ONLY, STORE, TOKEN};
use crate::http::problem::Problem;
use crate::http::state::FacadeState;
use crate::journal::port::{NodeRole, NodesReading, Owed, SeenNode};
use crate::workspace::time::Time;

/// Who runs what.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct NodeList {
    /// The nodes, by id. One that is gone is listed for another minute.
    pub(in crate::http) nodes: Vec<ListedNode>,
    /// Every shard, by number.
    pub(in crate::http) shards: Vec<ListedShard>,
}

/// A node.
#[derive(Serialize, ToSchema)]
#[schema(as = Node)]
pub(in crate::http) struct ListedNode {
    /// Kept in its data directory.
    pub(in crate::http) id: String,
    /// Where its facade listens.
    pub(in crate::http) address: String,
    /// The program's version.
    pub(in crate::http) version: String,
    /// What it does.
    pub(in crate::http) role: NodeRole,
    /// Whether it told of itself within the last seconds.
    pub(in crate::http) alive: bool,
    /// When it started.
    pub(in crate::http) began_at: Time,
    /// When it told of itself last.
    pub(in crate::http) seen_at: Time,
    /// What `--static-shards` says; null when it shares the shards with the others.
    pub(in crate::http) static_shards: Option<String>,
    /// The shards that it holds.
    pub(in crate::http) shards: Vec<u16>,
}

/// A shard.
#[derive(Serialize, ToSchema)]
#[schema(as = Shard)]
pub(in crate::http) struct ListedShard {
    /// Its number.
    pub(in crate::http) shard: u16,
    /// The node that holds it; null when none does.
    pub(in crate::http) node: Option<String>,
    /// Messages that are owed: not yet attempted, or whose outcome is not yet durable.
    pub(in crate::http) owed: u64,
    /// When the oldest of them came; null when none is owed.
    pub(in crate::http) oldest_at: Option<Time>,
}

impl NodeList {
    fn new(reading: &NodesReading, owed: &[Owed]) -> Self {
        let holder = |shard: usize| reading.owners.get(shard)?.as_ref().map(|owner| owner.node.clone());
        let node = |seen: &SeenNode| {
            let record = &seen.record;
            let holds = |shard: &u16| holder(usize::from(*shard)).as_ref() == Some(&record.id);
            let shards: Vec<u16> = (0..).take(reading.owners.len()).filter(holds).collect();
            ListedNode {
                id: record.id.clone(),
                address: record.address.clone(),
                version: record.version.clone(),
                role: match record.role() {
                    // Leases tell of shards that were just acquired before the record does.
                    NodeRole::Standby if !shards.is_empty() => NodeRole::Worker,
                    told => told,
                },
                alive: reading.at.since(seen.seen) < NODE_GONE_AFTER,
                began_at: seen.began,
                seen_at: seen.seen,
                static_shards: record.static_shards.as_ref().map(ShardSet::to_string),
                shards,
            }
        };
        let shard = |(shard, owed): (u16, &Owed)| {
            // An id begins with the time at which the entry was appended.
            let oldest = owed.oldest.map(|id| Time::from_unix_ms(i64::try_from(id.ms).unwrap_or(i64::MAX)));
            ListedShard { shard, node: holder(usize::from(shard)), owed: owed.messages, oldest_at: oldest }
        };
        Self { nodes: reading.nodes.iter().map(node).collect(), shards: (0..).zip(owed).map(shard).collect() }
    }
}

pub(in crate::http) async fn list(State(state): State<Arc<FacadeState>>, _: Admin) -> Result<Json<NodeList>, Problem> {
    state.list_nodes().await.map(Json)
}

impl FacadeState {
    /// Who runs what.
    pub(in crate::http) async fn list_nodes(&self) -> Result<NodeList, Problem> {
        let journal = &self.facade.journal;
        let (reading, owed) = self.reader.small(None, try_join(journal.nodes(), journal.owed())).await?;
        Ok(NodeList::new(&reading, &owed))
    }
}

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    vec![
        ApiCall::get("/v1/nodes", list)
            .named("listNodes", "Who runs what")
            .says("The nodes that share the store, who holds which shard, and what each shard owes.")
            .answers::<NodeList>(200, "The nodes and the shards", &[sample!("nodes", "Two nodes, one of them gone")])
            .refuses(&[TOKEN, ADMIN_ONLY, STORE]),
    ]
}
