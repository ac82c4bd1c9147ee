//! The subcommands, one file each: its flags, its help, what it does and how it fails.

pub mod attempts;
pub mod completions;
pub mod demo;
pub mod nodes;
pub mod discard;
pub mod publish;
pub mod receive;
pub mod rejected;
pub mod repair;
pub mod reseal;
pub mod serve;
pub mod shard;
pub mod token;
pub mod workspaces;
