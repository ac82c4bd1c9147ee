//! What is remembered, and the streams that messages and commands arrive on.
//!
//! [`port`] is the contract; [`conformance`] holds its laws; [`redis`] and [`embedded`] keep them.
//! [`record`] is the stored form of events and snapshots, [`fold`] what they add up to.

pub mod port;
pub mod record;
pub mod fold;
pub mod rejected;
pub mod embedded;
pub mod redis;

#[cfg(test)]
pub(crate) mod conformance;

pub use port::{Journal, ShardIntake, ShardLine};
