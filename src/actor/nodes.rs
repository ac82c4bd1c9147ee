//! Which shards this node runs: it reads who else is there and who holds what, and takes and gives accordingly.
//!
//! Reading order: who is there ([`roster`]), who is to run what ([`assignment`]), what this node does about it
//! ([`sharing`]), and what no node can put right ([`mistakes`]); these are pure. Then [`sharer`], which reads, starts shards and ends them.

mod roster;
mod assignment;
mod sharing;
mod mistakes;
pub(super) mod sharer;

pub(super) use sharer::Sharer;
