//! The Redis adapter against a real Redis: what the laws of every journal cannot ask, because it is
//! about this store: lost answers, restarts, rollbacks, a full memory, the keys themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod cluster;
mod compression;
mod facade;
mod forget;
mod intake;
mod keys;
mod kit;
mod lease;
mod line;
mod rejected;
mod source;
mod start;
