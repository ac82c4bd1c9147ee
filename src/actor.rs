//! The running shards: actors that read, decide, attempt and commit.
//!
//! Architecture invariants: only this room names actix. Nothing outside holds an address of an
//! actor; `handle::start` owns the actix system and the rest of the crate sees a [`Handle`].
//! Every actix handler is a few lines around a plain struct: `core` decides for one workspace,
//! `desk` for one shard; both are synchronous and know no I/O.
//!
//! House rules, learnt from actix 0.13's source:
//! 1. A mailbox bounds nothing; permits do. No permit, no read.
//! 2. Batches, not singles: one `Entries` a read, one `Outcomes` a turn, one mail of the `inbox` a turn.
//! 3. A POST runs in a task of its own and reports to the shard; no long work in an actor's context.
//! 4. One timer an actor, armed again; no `run_interval`, `notify`, registry or `Supervisor`.
//! 5. Stopping discards mail silently, so passivation is a protocol with the shard.
//! 6. A panic kills an actor silently, so it is caught where it happens and reported.
//!
//! Reading order: what shard and workspace say to each other (`protocol`), one workspace
//! (`core`, `test_run`, `rest`, `workspace`), one shard (`entry`, `table`, `slots`, `intake`, `committer`,
//! `mails`, `desk`, `inbox`, `shard`), what limits both (`throttle`) and the reads (`pace`), and the way in (`handle`).

mod committer;
mod log;
mod core;
mod desk;
mod entry;
mod handle;
mod inbox;
mod intake;
mod mails;
mod maps;
mod pace;
mod protocol;
mod rest;
mod sealing;
mod shard;
mod slots;
mod table;
mod test_run;
#[cfg(test)]
mod tests;
mod throttle;
mod workspace;

pub use handle::{Died, Handle, Options, ShardReport, StartError, start};
