//! The list of workspaces: each shard has an index of its own, and a page is merged from all of them.

use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use redis::RedisError;

use super::error::store_error;
use super::inner::RedisInner;
use super::{read, reply};
use crate::journal::port::{ListQuery, ListedWorkspace, StoreError};
use crate::journal::replay;
use crate::message::WorkspaceId;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::state::State;

/// Ids that are asked of a shard beyond twice its part of a page: ids are spread by chance.
const LISTED_MORE: usize = 8;
/// Workspaces of a page that are read at a time: the newest attempt comes whole, and may be of 256 KiB.
const STATES_AT_ONCE: usize = 32;

impl RedisInner {
    pub(super) async fn list_workspaces(&self, query: &ListQuery) -> Result<Vec<ListedWorkspace>, StoreError> {
        let failed = |error| store_error("listing workspaces", error);
        let states = self.listed_ids(query).await.map_err(failed)?.into_iter().map(async |workspace| {
            let state = self.newest_state(&workspace).await?;
            Ok(ListedWorkspace { workspace, state })
        });
        stream::iter(states).buffered(STATES_AT_ONCE).try_collect().await.map_err(failed)
    }

    /// The first ids of all shards together. Of each shard about its part is asked for, then more only of those that ended
    /// before the last id of the page: a page costs its size and a little for each shard, however many there are.
    async fn listed_ids(&self, query: &ListQuery) -> Result<Vec<WorkspaceId>, RedisError> {
        let part = 2 * query.count.div_ceil(usize::from(self.shards).max(1)) + LISTED_MORE;
        let at_once = part.min(query.count);
        let mut ids: Vec<WorkspaceId> = Vec::new();
        let mut open: Vec<(u16, Option<String>)> = (0..self.shards).map(|shard| (shard, None)).collect();
        while !open.is_empty() {
            let reads = open.iter().map(|(shard, after)| self.listed_in(*shard, query, after.as_deref(), at_once));
            let found = try_join_all(reads).await?;
            for ((_, after), found) in open.iter_mut().zip(found) {
                *after = found.last().filter(|_| found.len() == at_once).cloned();
                // Somebody else may have written there.
                ids.extend(found.into_iter().filter_map(|id| id.parse().ok()));
            }
            ids.sort_unstable();
            ids.truncate(query.count);
            let last = ids.get(query.count.saturating_sub(1));
            let may_have_more = |after: &str| last.is_none_or(|last| after < last.as_str());
            open.retain(|(_, after)| after.as_deref().is_some_and(may_have_more));
        }
        Ok(ids)
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

    /// What stands in the index of a shard, from behind `after` on.
    async fn listed_in(
        &self,
        shard: u16,
        query: &ListQuery,
        after: Option<&str>,
        count: usize,
    ) -> Result<Vec<String>, RedisError> {
        let keys = self.keys.shard(shard);
        let mut cmd = redis::cmd("ZRANGE");
        // Ids are ASCII, so whatever begins with the prefix comes before the prefix with DEL behind it.
        let from = match (after.or(query.after.as_ref().map(WorkspaceId::as_str)), query.prefix.as_str()) {
            (Some(after), prefix) if after >= prefix => format!("({after}"),
            (_, "") => "-".to_owned(),
            (_, prefix) => format!("[{prefix}"),
        };
        let to = if query.prefix.is_empty() { "+".to_owned() } else { format!("({}\x7f", query.prefix) };
        cmd.arg(keys.workspaces(query.status)).arg(from).arg(to).arg("BYLEX").arg("LIMIT").arg(0).arg(count);
        let answer = self.shared.call_repeatable(&keys.owner(), &cmd).await?;
        reply::list(answer)?.into_iter().map(reply::text).collect()
    }

    /// The state by the snapshot and the newest attempt; `None` when it cannot be read.
    async fn newest_state(&self, workspace: &WorkspaceId) -> Result<Option<State>, RedisError> {
        let keys = self.keys.shard(workspace.shard(self.shards));
        let cmd = read::command(&self.connector, &keys, workspace, read::AttemptRange::Newest);
        let answer = self.shared.call_repeatable(&keys.owner(), &cmd).await.and_then(read::parse);
        let stored = read::of_workspace(answer, workspace)?.and_then(|answered| answered.stored(workspace));
        let known = stored.and_then(|(stored, _)| replay::newest_state(workspace, &stored));
        match known {
            Ok(Some(state)) => Ok(Some(state)),
            Ok(None) => Ok(self.read_workspace(workspace).await.ok().map(|reading| reading.state)),
            Err(_) => Ok(None),
        }
    }
}
