//! What is remembered, and the streams that messages and commands arrive on.
//!
//! [`port`] is the contract; `conformance` holds its laws; [`redis`] and [`embedded`] keep them.
//! [`codec`] is the stored form of events and snapshots, [`replay`] what they add up to,
//! [`rejected`] what is kept of an entry that is no valid message, and [`salvage`] what can still be told where events and
//! snapshots contradict each other.

mod aside;
pub mod embedded;
pub mod replay;
pub mod salvage;
pub mod port;
pub mod format;
pub mod codec;
pub mod redis;
pub mod rejected;

#[cfg(test)]
pub(crate) mod conformance;

pub(crate) use aside::joined;
pub use port::{Journal, ShardConnection, ShardIntake};
