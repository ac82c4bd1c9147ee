//! The running shards: actors that read, decide, attempt and commit.
//!
//! Architecture invariants: only this room names actix. Nothing outside holds an address of an
//! actor; `handle::start` owns the actix system and the rest of the crate sees a [`Handle`].
//! Every actix handler is a few lines around a plain struct: `workspace::core` decides for one
//! workspace, `shard::core` for one shard; both are synchronous and know no I/O.
//!
//! House rules, learnt from actix 0.13's source:
//! 1. A mailbox bounds nothing; permits do. No permit, no read.
//! 2. Batches, not singles: a workspace has one `Wake` in its mailbox whatever is new for it, a shard one `Work`.
//! 3. A POST runs in a task of its own and tells its workspace; no long work in an actor's context.
//! 4. One timer an actor, armed again; no `run_interval`, `notify`, registry or `Supervisor`.
//! 5. Stopping discards mail silently, so passivation is a protocol with the shard.
//! 6. A panic kills an actor silently, so it is caught where it happens and reported.
//!
//! Reading order: what shard and workspace say to each other (`protocol`) and what they share (`book`, its accounts, and
//! `shared_shard`), one workspace (`workspace`, its `core`, and what stays of it without work: `hibernated`), one shard
//! (`shard`, its `core`, and the parts of that below `shard/`), what limits attempts (`admission`) and reads
//! (`read_scheduler`), what is counted of the rejected (`rejections`), known of the store (`store_watch`) and of what
//! waits (`waiting_board`), what begins again after a panic (`supervised`), which shards run here (`options`, `board`, `shard_host`, `nodes`), what hands sources over to
//! them (`sources`), and the way in (`handle`).
//!
//! A message passes these files: it is read (`shard`), checked (`shard/core/feeding`, `shard/entry`) and entered in the
//! book (`book`, `book/entries`, `workspace::chat_queues`); its workspace's actor is woken (`shared_shard`, `workspace`),
//! judges it (`workspace/core`) and has it POSTed (`deliver::courier`); the end wakes the actor
//! again (`shard/core/decisions`), and what that decides (`workspace/core/apply`) is committed (`shard/committer`) and
//! leaves the book (`shard/core/lifecycle`).

mod protocol;
mod rejections;
mod store_watch;
mod supervised;
mod waiting_board;
mod book;
mod shared_shard;
mod workspace;
mod shard;
mod admission;
mod read_scheduler;
mod options;
mod board;
mod shard_host;
mod nodes;
mod sources;
mod handle;
mod maps;
#[cfg(not(test))]
#[doc(hidden)]
pub mod bench;
#[cfg(test)]
mod tests;

pub use board::ShardReport;
pub use handle::{Died, Handle, StartShardsError, start};
pub use options::ShardOptions;
pub(crate) use supervised::supervised;
