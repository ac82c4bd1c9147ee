//! The program on a Redis that fails as stores and networks do: killed, gone back, full, hung, cut off,
//! taken over, trimmed by others. It is never started again unless a test says so.
//!
//! What must hold (Failure rules in src/docs/design.md, sections 2 and 3 of src/docs/contract.md): no acknowledged message is
//! lost; none is attempted twice unless Redis lost what it had acknowledged or somebody else held
//! the shard, and then under the same `webhook-id`; the log has each attempt once, without a hole;
//! and what was broken goes on by itself when the cause is gone.

mod away;
mod backlog;
pub(crate) mod bench;
mod cluster;
mod corrupt;
mod denied;
mod emptied;
mod full;
mod handed_over;
mod lost_writes;
mod parked;
mod refusing;
mod sentinel;
mod taken_over;
mod trimmed;
