//! The scripts that run inside Redis, each atomic. Their texts are in `redis/`.
//!
//! A script is sent by the hash of its text. Redis forgets texts when it restarts, so every new
//! connection that runs scripts loads them first.

use redis::Cmd;

/// One script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Acquire,
    /// Refused by a full Redis.
    Commit,
    /// The same, also on a full one.
    CommitFull,
    /// Refused by no Redis.
    EndSession,
    /// Refused by no Redis.
    Glances,
    Handover,
    Input,
    Meta,
    Nodes,
    /// Who reads only.
    NodesRead,
    Owed,
    Owner,
    Owners,
    Present,
    Publish,
    Read,
    Release,
    Requeue,
    /// Refused by a full Redis.
    RequeueClaim,
    SourceAck,
    SourceLease,
    SourcePending,
    SourceRead,
    Salvage,
    /// Refused by a full Redis.
    Submit,
    /// The same, also on a full one.
    SubmitFull,
    /// Refused by no Redis.
    Take,
}

/// Every text, in the order of [`Script`].
pub(super) const TEXTS: [&str; 27] = [
    include_str!("../../../redis/acquire.lua"),
    concat!(
        "#!lua\n",
        include_str!("../../../redis/need.lua"),
        include_str!("../../../redis/bound.lua"),
        include_str!("../../../redis/commit.lua")
    ),
    concat!(
        "#!lua flags=allow-oom\n",
        include_str!("../../../redis/need.lua"),
        include_str!("../../../redis/bound.lua"),
        include_str!("../../../redis/commit.lua")
    ),
    include_str!("../../../redis/end_session.lua"),
    include_str!("../../../redis/glances.lua"),
    concat!(
        "#!lua flags=allow-oom\n",
        include_str!("../../../redis/need.lua"),
        include_str!("../../../redis/bound.lua"),
        include_str!("../../../redis/handover.lua")
    ),
    include_str!("../../../redis/input.lua"),
    include_str!("../../../redis/meta.lua"),
    concat!("#!lua flags=allow-oom\n", include_str!("../../../redis/nodes.lua")),
    concat!("#!lua flags=no-writes,allow-oom\n", include_str!("../../../redis/nodes.lua")),
    include_str!("../../../redis/owed.lua"),
    include_str!("../../../redis/owner.lua"),
    include_str!("../../../redis/owners.lua"),
    include_str!("../../../redis/present.lua"),
    include_str!("../../../redis/publish.lua"),
    include_str!("../../../redis/read.lua"),
    include_str!("../../../redis/release.lua"),
    concat!("#!lua\n", include_str!("../../../redis/need.lua"), include_str!("../../../redis/requeue.lua")),
    include_str!("../../../redis/requeue_claim.lua"),
    include_str!("../../../redis/source_ack.lua"),
    include_str!("../../../redis/source_lease.lua"),
    include_str!("../../../redis/source_pending.lua"),
    concat!(
        "#!lua flags=allow-oom\n",
        include_str!("../../../redis/cut.lua"),
        include_str!("../../../redis/source_read.lua")
    ),
    include_str!("../../../redis/salvage.lua"),
    concat!("#!lua\n", include_str!("../../../redis/submit.lua")),
    concat!("#!lua flags=allow-oom\n", include_str!("../../../redis/submit.lua")),
    concat!(
        "#!lua flags=no-writes,allow-oom\n",
        include_str!("../../../redis/cut.lua"),
        include_str!("../../../redis/take.lua")
    ),
];

/// Which commands the user may run: asked at the start alone, of every primary.
pub(super) const ALLOWED: &str = include_str!("../../../redis/allowed.lua");

/// The hashes of [`TEXTS`], as Redis answered them.
#[derive(Debug, Clone)]
pub(super) struct Hashes(pub(super) Vec<String>);

impl Hashes {
    /// A call of `script` with `keys`; the arguments follow.
    pub(super) fn call(&self, script: Script, keys: &[String]) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&self.0[script as usize]).arg(keys.len());
        for key in keys {
            cmd.arg(key);
        }
        cmd
    }
}
