//! The names of the keys, as [contract, section 6](crate::docs::contract#6-redis-keys-shard-k) fixes them.

use std::fmt;
use std::sync::Arc;

use crate::message::WorkspaceId;
use crate::workspace::configuration::WebhookStatus;

/// The longest prefix in characters.
pub const PREFIX_MAX: usize = 64;

/// Whether keys may begin with `text`. A brace would move the hash tag, and with it the shard's keys,
/// to another cluster node.
#[must_use]
pub fn is_prefix(text: &str) -> bool {
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=PREFIX_MAX).contains(&text.len()) && text.bytes().all(usable)
}

/// Makes the names that begin with one prefix.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: Arc<str>,
}

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.into() }
    }

    /// The format and the number of shards.
    pub(super) fn meta(&self) -> String {
        format!("{}:meta", self.prefix)
    }

    /// The operator's sessions that ended before their time.
    pub(super) fn sessions(&self) -> String {
        format!("{}:sessions", self.prefix)
    }

    /// What each node tells of itself.
    pub(super) fn nodes(&self) -> String {
        format!("{}:nodes", self.prefix)
    }

    /// What each process told last of what it knows.
    pub(super) fn glances(&self) -> String {
        format!("{}:glances", self.prefix)
    }

    /// The common input, whose entries are handed over to the shards.
    pub(super) fn source(&self) -> String {
        format!("{}:messages", self.prefix)
    }

    /// Whether a key is one that the service makes.
    pub(super) fn is_own(&self, key: &str) -> bool {
        key.strip_prefix(&*self.prefix).is_some_and(|rest| rest.starts_with(':'))
    }

    /// Who reads a source, and how far that has come. It lies on the node of a cluster that holds the source.
    pub(super) fn source_lease(&self, source: &str) -> String {
        match tag(source) {
            Some(tag) => format!("{}:source:{{{tag}}}:{source}", self.prefix),
            None => format!("{}:source:{{{source}}}", self.prefix),
        }
    }

    /// What stands before a shard's number, and between it and the workspace's id, in the names of snapshots.
    pub(super) fn snapshots(&self) -> (String, String) {
        (format!("{}:{{", self.prefix), format!("}}:{}:", WorkspaceKey::Snapshot))
    }

    /// The keys of one shard. The braces are the hash tag of Redis Cluster: all lie in one slot.
    pub(super) fn shard(&self, shard: u16) -> ShardKeys {
        ShardKeys { base: format!("{}:{{{shard}}}:", self.prefix).into() }
    }
}

/// Whether another key can lie on the node of a cluster that holds this one: of a key without a tag the whole name counts, and
/// a tag ends at its first brace.
pub(super) fn has_neighbours(key: &str) -> bool {
    tag(key).is_some() || !key.contains('}')
}

/// The part of a key that decides where a cluster keeps it; `None`: all of it does.
fn tag(key: &str) -> Option<&str> {
    let (tag, _) = key.split_once('{')?.1.split_once('}')?;
    Some(tag).filter(|tag| !tag.is_empty())
}

/// Makes the names of one shard's keys.
#[derive(Debug, Clone)]
pub(super) struct ShardKeys {
    base: Arc<str>,
}

impl ShardKeys {
    pub(super) fn messages(&self) -> String {
        self.name("messages")
    }

    pub(super) fn commands(&self) -> String {
        self.name("commands")
    }

    pub(super) fn answers(&self) -> String {
        self.name("answers")
    }

    pub(super) fn outbox(&self) -> String {
        self.name("outbox")
    }

    /// How far the shard has been read.
    pub(super) fn bookmark(&self) -> String {
        self.name("bookmark")
    }

    pub(super) fn owner(&self) -> String {
        self.name("owner")
    }

    /// What a wait for durability writes. Not the owner: its transactions would be aborted by every such write.
    pub(super) fn durable(&self) -> String {
        self.name("durable")
    }

    pub(super) fn sources(&self) -> String {
        self.name("sources")
    }

    pub(super) fn rejected(&self) -> String {
        self.name("rejected")
    }

    /// Which of them are on their way to another server.
    pub(super) fn requeueing(&self) -> String {
        self.name("requeueing")
    }

    /// The ids of workspaces: all, or those with a status.
    pub(super) fn workspaces(&self, status: Option<WebhookStatus>) -> String {
        match status {
            None => self.name("workspaces"),
            Some(status) => format!("{}workspaces:{}", self.base, status.as_str()),
        }
    }

    pub(super) fn of(&self, workspace: &WorkspaceId, what: WorkspaceKey) -> String {
        format!("{}{what}:{workspace}", self.base)
    }

    fn name(&self, what: &str) -> String {
        format!("{}{what}", self.base)
    }
}

/// What is kept for each workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum WorkspaceKey {
    /// Attempts, by seq.
    Attempts,
    /// Other events, by seq.
    Journal,
    /// The state at a seq.
    Snapshot,
    /// The newest message, when it was skipped.
    Last,
}

impl fmt::Display for WorkspaceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Attempts => "attempts",
            Self::Journal => "journal",
            Self::Snapshot => "snapshot",
            Self::Last => "last",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        let keys = Keys::new("outbound");
        let shard = keys.shard(7);
        let acme: WorkspaceId = "acme".parse().unwrap();
        assert_eq!(keys.meta(), "outbound:meta");
        assert_eq!(keys.nodes(), "outbound:nodes");
        assert_eq!(keys.glances(), "outbound:glances");
        assert_eq!(keys.source(), "outbound:messages");
        assert_eq!(keys.source_lease("orders"), "outbound:source:{orders}");
        assert_eq!(keys.source_lease("eu:{7}:orders"), "outbound:source:{7}:eu:{7}:orders");
        for (key, neighbours) in [("a}b{7}", true), ("{a{b}c", true), ("a{b", true), ("a}b", false), ("{}x", false)] {
            assert_eq!(has_neighbours(key), neighbours, "{key}");
        }
        assert_eq!(shard.messages(), "outbound:{7}:messages");
        assert_eq!(shard.owner(), "outbound:{7}:owner");
        assert_eq!(shard.bookmark(), "outbound:{7}:bookmark");
        assert_eq!(shard.requeueing(), "outbound:{7}:requeueing");
        assert_eq!(shard.of(&acme, WorkspaceKey::Attempts), "outbound:{7}:attempts:acme");
        assert_eq!(shard.of(&acme, WorkspaceKey::Last), "outbound:{7}:last:acme");
    }
}
