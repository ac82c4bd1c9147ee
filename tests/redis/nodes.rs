//! Several programs on one Redis: who runs which shard, how shards move, and what nobody notices of it.

mod balanced;
mod bench;
mod descriptors;
mod moves;
mod sharing;
pub(crate) mod durable;
mod fixed;
mod foreign;
mod foreign_anew;
mod foreign_form;
mod mistakes;
mod overview;
mod survives;
mod upgrade;
