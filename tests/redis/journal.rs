//! The Redis adapter against a real Redis: what the laws of every journal cannot ask, because it is
//! about this store: lost answers, restarts, rollbacks, a full memory, the keys themselves.

pub(crate) mod cluster;
mod compression;
mod durable_copy;
mod durable_wait;
mod facade;
mod forget;
mod glances;
mod intake;
mod keys;
mod kit;
mod lease;
mod listing;
mod shard_connection;
mod permissions;
mod rejected;
pub(crate) mod sentinel;
mod source;
mod start;
mod takeover;
mod transaction;
mod tls;
mod users;
