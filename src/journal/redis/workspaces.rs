//! The list of workspaces: each shard has an index of its own, and a page is merged from all of them.

use futures_util::future::try_join_all;
use redis::RedisError;

use super::error::store_error;
use super::inner::RedisInner;
use super::{read, reply};
use crate::journal::port::{ListQuery, ListedWorkspace, StoreError};
use crate::journal::replay;
use crate::message::WorkspaceId;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::state::State;

impl RedisInner {
    pub(super) async fn list_workspaces(&self, query: &ListQuery) -> Result<Vec<ListedWorkspace>, StoreError> {
        let failed = |error| store_error("listing workspaces", error);
        let of_shards = (0..self.shards).map(|shard| self.listed_in(shard, query));
        let mut ids: Vec<WorkspaceId> = try_join_all(of_shards).await.map_err(failed)?.concat();
        ids.sort_unstable();
        ids.truncate(query.count);
        let states = ids.into_iter().map(async |workspace| {
            let state = self.glance(&workspace).await?;
            Ok(ListedWorkspace { workspace, state })
        });
        try_join_all(states).await.map_err(failed)
    }

    pub(super) async fn count_workspaces(&self) -> Result<[u64; 4], StoreError> {
        let of_shard = async |shard| {
            let keys = self.keys.shard(shard);
            let of_status = WebhookStatus::ALL.map(async |status| {
                let mut cmd = redis::cmd("ZCARD");
                cmd.arg(keys.workspaces(Some(status)));
                self.shared.call_repeatable(&keys.owner(), &cmd).await.and_then(reply::number)
            });
            try_join_all(of_status).await
        };
        let of_shards = try_join_all((0..self.shards).map(of_shard)).await;
        let of_shards = of_shards.map_err(|error| store_error("counting workspaces", error))?;
        let mut counts = [0; 4];
        for of_shard in of_shards {
            counts.iter_mut().zip(of_shard).for_each(|(count, more)| *count += more);
        }
        Ok(counts)
    }

    async fn listed_in(&self, shard: u16, query: &ListQuery) -> Result<Vec<WorkspaceId>, RedisError> {
        let keys = self.keys.shard(shard);
        let mut cmd = redis::cmd("ZRANGE");
        // Ids are ASCII, so whatever begins with the prefix comes before the prefix with DEL behind it.
        let from = match (&query.after, query.prefix.as_str()) {
            (Some(after), prefix) if after.as_str() >= prefix => format!("({after}"),
            (_, "") => "-".to_owned(),
            (_, prefix) => format!("[{prefix}"),
        };
        let to = if query.prefix.is_empty() { "+".to_owned() } else { format!("({}\x7f", query.prefix) };
        cmd.arg(keys.workspaces(query.status)).arg(from).arg(to).arg("BYLEX").arg("LIMIT").arg(0).arg(query.count);
        let answer = self.shared.call_repeatable(&keys.owner(), &cmd).await?;
        let ids = reply::list(answer)?.into_iter().map(reply::text).collect::<Result<Vec<_>, _>>()?;
        // Somebody else may have written there.
        Ok(ids.into_iter().filter_map(|id| id.parse().ok()).collect())
    }

    /// The state by the snapshot and the newest attempt; `None` when it cannot be read.
    async fn glance(&self, workspace: &WorkspaceId) -> Result<Option<State>, RedisError> {
        let keys = self.keys.shard(workspace.shard(self.shards));
        let cmd = read::command(&self.connector, &keys, workspace, read::AttemptRange::Newest);
        let answered = self.shared.call_repeatable(&keys.owner(), &cmd).await.and_then(read::parse)?;
        let glanced = answered.stored(workspace).and_then(|(stored, _)| replay::glance(workspace, &stored));
        match glanced {
            Ok(Some(state)) => Ok(Some(state)),
            Ok(None) => Ok(self.read_workspace(workspace).await.ok().map(|reading| reading.state)),
            Err(_) => Ok(None),
        }
    }
}
