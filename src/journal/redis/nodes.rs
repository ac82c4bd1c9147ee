//! The nodes that share this Redis: their records, who holds which shard, and what each shard owes.

use std::time::Duration;

use futures_util::future::{join, try_join_all};
use redis::{Cmd, RedisError, Value};
use tracing::warn;

use super::error::{store_error, unexpected};
use super::inner::RedisInner;
use super::json::json;
use super::meta::StoredMeta;
use super::reply;
use super::script::Script;
use crate::config::{NODE_SHOWN_FOR, NODE_WRITTEN_EVERY};
use crate::journal::port::{NodeRecord, NodesReading, Owed, SeenNode, ShardOwner, StoreError};

impl RedisInner {
    pub(super) async fn register_node(&self, node: &NodeRecord) -> Result<NodesReading, StoreError> {
        let read = async {
            let mut reading = self.nodes_and_owners(&node.id, &node.process, &json(node)).await?;
            let StoredMeta { format, shards } = self.agree(&reading).await?;
            (reading.format, reading.shards) = (format, shards);
            Ok(reading)
        };
        read.await.map_err(|error| store_error("telling the other nodes that this one is there", error))
    }

    pub(super) async fn withdraw_node(&self, node: &NodeRecord) -> Result<(), StoreError> {
        let taken_away = self.call_nodes(&node.id, &node.process, b"").await.map(drop);
        taken_away.map_err(|error| store_error("telling the other nodes that this one has ended", error))
    }

    pub(super) async fn read_nodes(&self) -> Result<NodesReading, StoreError> {
        let read = self.nodes_and_owners("", "", b"").await;
        read.map_err(|error| store_error("reading which nodes there are", error))
    }

    pub(super) async fn read_owed(&self) -> Result<Vec<Owed>, StoreError> {
        let keys = (0..self.shards).map(|shard| self.keys.shard(shard).messages());
        let read = self.of_all_shards(Script::Owed, keys.collect(), |first, second| {
            let oldest = reply::text(second)?;
            let oldest = (!oldest.is_empty()).then(|| oldest.parse().map_err(|_| unexpected("not an entry id")));
            Ok(Owed { messages: reply::number(first)?, oldest: oldest.transpose()? })
        });
        read.await.map_err(|error| store_error("counting what is owed", error))
    }

    async fn nodes_and_owners(&self, id: &str, process: &str, record: &[u8]) -> Result<NodesReading, RedisError> {
        let keys = (0..self.shards).map(|shard| self.keys.shard(shard).owner());
        let owners = self.of_all_shards(Script::Owners, keys.collect(), |first, second| {
            let (node, remaining) = (reply::text(first)?, Duration::from_millis(reply::number(second)?));
            Ok((!node.is_empty()).then_some(ShardOwner { node, remaining }))
        });
        let (nodes, owners) = join(self.call_nodes(id, process, record), owners).await;
        Ok(NodesReading { owners: owners?, ..nodes? })
    }

    async fn call_nodes(&self, id: &str, process: &str, record: &[u8]) -> Result<NodesReading, RedisError> {
        let key = self.keys.nodes();
        let script = if id.is_empty() { Script::NodesRead } else { Script::Nodes };
        let mut cmd = self.connector.script(script, std::slice::from_ref(&key));
        cmd.arg(id).arg(process).arg(record);
        cmd.arg(NODE_WRITTEN_EVERY.as_millis().to_string()).arg(NODE_SHOWN_FOR.as_millis().to_string());
        self.shared.call_repeatable(&key, &cmd).await.and_then(reading)
    }

    /// Calls a script that answers two values a key: once, or with a cluster once a key, for they lie on several nodes.
    async fn of_all_shards<T>(
        &self,
        script: Script,
        keys: Vec<String>,
        parse: impl Fn(Value, Value) -> Result<T, RedisError>,
    ) -> Result<Vec<T>, RedisError> {
        let at_once = if self.connector.is_cluster() { 1 } else { keys.len() };
        let calls = keys.chunks(at_once.max(1)).map(|keys| {
            let cmd: Cmd = self.connector.script(script, keys);
            async move { self.shared.call_repeatable(&keys[0], &cmd).await.and_then(reply::list) }
        });
        let mut values = try_join_all(calls).await?.into_iter().flatten();
        let mut all = Vec::with_capacity(keys.len());
        while let (Some(first), Some(second)) = (values.next(), values.next()) {
            all.push(parse(first, second)?);
        }
        if all.len() == keys.len() { Ok(all) } else { Err(unexpected("an answer for another number of shards")) }
    }
}

fn reading(answer: Value) -> Result<NodesReading, RedisError> {
    let mut values = reply::list(answer)?.into_iter();
    let mut next = || values.next().ok_or_else(|| unexpected("a short answer"));
    let (at, replaced) = (reply::unix_ms(next()?)?, reply::text(next()?)?);
    let mut nodes = Vec::new();
    while let Ok(id) = next() {
        let (id, began, seen) = (reply::text(id)?, reply::unix_ms(next()?)?, reply::unix_ms(next()?)?);
        match decode(next()?) {
            Ok(record) => nodes.push(SeenNode { record, began, seen }),
            // Its leases keep its shards from us all the same.
            Err(error) => warn!(node = id, %error, "The record of a node cannot be read; it is not counted."),
        }
    }
    nodes.sort_unstable_by(|a: &SeenNode, b| a.record.id.cmp(&b.record.id));
    let replaced = (!replaced.is_empty()).then_some(replaced);
    Ok(NodesReading { at, nodes, replaced, ..NodesReading::default() })
}

fn decode(value: Value) -> Result<NodeRecord, Box<dyn std::error::Error + Send + Sync>> {
    Ok(serde_json::from_slice(&reply::bytes(value)?.unwrap_or_default())?)
}
