//! The nodes that share a store: what each tells of itself, and what all can read.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::config::ShardSet;
use crate::message::EntryId;
use crate::workspace::time::Time;
use crate::workspace::view::NodeGlance;

/// What a node tells of itself. Stored as JSON; members may be added, each with a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// The node's id, the same at every start on its data directory.
    pub id: String,
    /// Names this process: another at every start. Without blanks.
    pub process: String,
    /// Where its facade listens.
    pub address: String,
    /// The program's version.
    pub version: String,
    /// The shards that it runs whoever else is there; `None` shares them among the nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub static_shards: Option<ShardSet>,
    /// The shards that it runs now, also those that it is about to give away.
    #[serde(default)]
    pub runs: ShardSet,
    /// A print of the key of workspace tokens, from which the key cannot be found; two nodes with one key have one print.
    #[serde(default)]
    pub token_key: String,
    /// The same of the keys for what is stored encrypted; the first encrypts.
    #[serde(default)]
    pub secret_keys: Vec<String>,
    /// What must be the same on all nodes, by flag: what comes of a message depends on it, whoever runs its shard. Nothing of a
    /// program that does not tell.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
    /// It ends: it takes nothing more and gives away what it has.
    #[serde(default)]
    pub leaving: bool,
    /// The newest stored format that it reads ([`crate::journal::codec::FORMAT`], or less where an operator keeps it to an older
    /// one); 0 of a program that does not tell.
    #[serde(default)]
    pub format: u32,
}

/// A node as its record stands in the store, with times by the store's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenNode {
    /// What it told last.
    pub record: NodeRecord,
    /// When its process told something first.
    pub began: Time,
    /// When its record was written last.
    pub seen: Time,
}

/// Who holds a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardOwner {
    /// The holder's id.
    pub node: String,
    /// How long its lease lives; nothing when it has ended and nobody took the shard since.
    pub remaining: Duration,
}

/// The nodes and the shards' owners, as of about one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodesReading {
    /// The store's clock.
    pub at: Time,
    /// Every record that stands, by id.
    pub nodes: Vec<SeenNode>,
    /// By shard; `None` when it was released, or never held.
    pub owners: Vec<Option<ShardOwner>>,
    /// No other process can have this store.
    pub exclusive: bool,
    /// The newest format that may be found in the store, as it says itself; 0 when it was not asked.
    pub format: u32,
    /// How many shards the store says that it has; nothing when it was not asked.
    pub shards: Option<u16>,
    /// The process whose record the caller's replaced: its predecessor, or another one with the same id.
    pub replaced: Option<String>,
}

/// What a process told last of what it knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldGlance {
    /// What it told.
    pub glance: NodeGlance,
    /// When, by the store's clock.
    pub at: Time,
}

/// What all processes told last, also those that ended within [`crate::config::GLANCE_KEPT_FOR`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GlancesReading {
    /// The store's clock.
    pub at: Time,
    /// One a process, in no order; of those that are gone at most [`crate::config::GLANCES_KEPT_MAX`].
    pub glances: Vec<ToldGlance>,
}

/// What a shard owes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owed {
    /// Messages in its stream.
    pub messages: u64,
    /// The oldest of them.
    pub oldest: Option<EntryId>,
}

/// What a node does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// It runs shards.
    Worker,
    /// It runs none, and takes some when nodes are fewer or it is its turn.
    #[default]
    Standby,
    /// It was told to run none; its facade answers for every workspace.
    Facade,
    /// It ends and gives away what it has.
    Leaving,
}

impl NodeRecord {
    /// What the node does, as far as it tells.
    #[must_use]
    pub fn role(&self) -> NodeRole {
        match &self.static_shards {
            _ if self.leaving => NodeRole::Leaving,
            Some(shards) if shards.is_empty() => NodeRole::Facade,
            _ if self.runs.is_empty() => NodeRole::Standby,
            _ => NodeRole::Worker,
        }
    }
}
