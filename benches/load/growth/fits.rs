//! What this machine must have for a step.

use outbound::config::{DESCRIPTORS_A_SHARD, DescriptorShares};

use super::{Axis, Setting};
use crate::process::{disk_free, memory_free, raise_open_files};
use crate::store::SHARDS;

/// Bytes of Redis that a message takes beside its own, while it is owed.
const MESSAGE_MORE: usize = 400;
/// Bytes of the append-only file that a message takes beside its own: its entry in the log, and that it is settled.
const FILE_MORE: usize = 1_300;
/// Bytes of Redis, and of its file, of a workspace that is known.
const KNOWN: usize = 8 * 1024;
/// Left for everything else.
const REST: usize = 1 << 30;

/// What this machine has too little of. `None` where it has enough.
pub(super) fn lacks(axis: Axis, setting: &Setting) -> Option<String> {
    let Setting { load, known, endpoints, messages, .. } = setting;
    let connections = DescriptorShares::of(raise_open_files(), DESCRIPTORS_A_SHARD * usize::from(SHARDS)).connections;
    if axis == Axis::Endpoints && connections < *endpoints {
        return Some(format!("the limit of open files leaves {connections} connections to endpoints"));
    }
    let memory = messages * (load.bytes + MESSAGE_MORE) + known * KNOWN + REST;
    let disk = messages * (load.bytes + FILE_MORE) + known * KNOWN + REST;
    [("memory", memory, memory_free()), ("disk", disk, disk_free())].into_iter().find_map(|(what, needed, free)| {
        let gib = |bytes: usize| bytes as f64 / (1 << 30) as f64;
        (free < needed).then(|| format!("{:.1} GiB of {what} are needed and {:.1} free", gib(needed), gib(free)))
    })
}
