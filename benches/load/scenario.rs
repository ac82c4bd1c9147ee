//! The scenarios: what there is, and how large.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

use super::store::Load;

/// Deliveries a second that a measurement is sized for.
const EXPECTED_PER_S: f64 = 20_000.0;
const MESSAGE_BYTES: usize = 700;

/// How large the measurements are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// How long a measurement should take, roughly.
    pub(crate) seconds: f64,
    /// Measurements of each side.
    pub(crate) pairs: usize,
    /// Workspaces, and endpoints.
    pub(crate) workspaces: usize,
    /// Steps of what grows, at most.
    pub(crate) steps: usize,
}

impl Size {
    /// Workspaces of a real measurement.
    pub(crate) const WORKSPACES: usize = 1_000;
    /// Everything runs, nothing is measured.
    pub(crate) const TINY: Self = Self { seconds: 0.05, pairs: 1, workspaces: 50, steps: 2 };

    /// Messages of a measurement: 100,000 at 5 seconds.
    pub(crate) fn backlog(&self) -> usize {
        (self.seconds * EXPECTED_PER_S) as usize
    }

    /// Many workspaces with a few chats each.
    pub(crate) fn spread(&self) -> Load {
        Load { workspaces: self.workspaces, chats: 4, bytes: MESSAGE_BYTES }
    }

    /// One workspace with many chats.
    pub(crate) fn hot(&self) -> Load {
        Load { workspaces: 1, chats: 500, bytes: MESSAGE_BYTES }
    }
}

/// The scenarios that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scenario {
    /// 1,000 workspaces and 1,000 endpoints share a backlog of 700-byte messages
    Spread,
    /// 1,000 workspaces, one endpoint
    OneHost,
    /// One workspace with 500 chats, 256 in flight; the bare loop has one thread
    Hot,
    /// 5,000 a second; 1 % of the endpoints never answer, beside the same without them
    Hung,
    /// 10 % of the endpoints answer 500
    Failing,
    /// 5,000 a second: from XADD to arrival
    Latency,
    /// A backlog of 1,000,000, beside one of 100,000
    Drain,
    /// kill -9 with 100,000 owed, and a new start on the same data
    Takeover,
    /// A quick workspace behind 300,000 messages of a slow one on its shard, after a start and after a crash
    Behind,
    /// 1,000,000 workspaces are known and 100,000 of them in memory, without work
    Idle,
    /// The same as spread on the embedded journal, beside Redis
    Embedded,
    /// The backlog of spread and 200 a second through the common stream, beside the shards' own, also durable; and through someone else's
    Common,
    /// The same as spread at each level of --durability
    Durability,
    /// The same as spread with the log stored as JSON and as zstd
    Compression,
    /// The same as spread on three primaries, and what each of them did, beside one Redis
    Cluster,
    /// What Redis takes for a commit, by script and as a transaction, and nothing else
    Commits,
    /// CPU a delivery and p99 while workspaces, messages, endpoints, chats or headers grow, one at a time
    Growth,
    /// Pages of the list of 1,000,000 workspaces and the operators' overview, idle and beside a backlog; what the index costs
    Listed,
    /// Publishing over HTTP on the embedded journal, many messages a request beside one
    Publish,
    /// What a logged attempt costs in Redis, as JSON and as zstd; random words beside them
    Bytes,
    /// A BullMQ worker and an asyncio worker, beside the service; needs Node, npm and Python, so only when named
    Peers,
}

impl Scenario {
    /// Those that need nothing installed.
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().iter().copied().filter(|name| *name != Self::Peers).collect()
    }

    /// One sentence for whoever waits: what `--help` tells too.
    pub(crate) fn what(self) -> String {
        let value = self.to_possible_value().expect("no scenario is hidden");
        value.get_help().map(ToString::to_string).unwrap_or_default()
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("no scenario is hidden").get_name())
    }
}
