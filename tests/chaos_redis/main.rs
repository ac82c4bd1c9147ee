//! The program on a Redis that fails as stores and networks do: killed, gone back, full, hung, cut off,
//! taken over, trimmed by others. It is never started again unless a test says so.
//!
//! What must hold (DESIGN "Failure rules", CONTRACT sections 2 and 3): no acknowledged message is
//! lost; none is attempted twice unless Redis lost what it had acknowledged or somebody else held
//! the shard, and then under the same `webhook-id`; the log has each attempt once, without a hole;
//! and what was broken goes on by itself when the cause is gone.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

mod away;
mod chaos;
mod corrupt;
mod full;
mod lost_writes;
mod parked;
mod taken_over;
mod trimmed;
#[path = "../support"]
mod support {
    #[allow(dead_code, unreachable_pub, reason = "each test binary uses the part of it that it needs")]
    pub(crate) mod proxy;
    pub(crate) mod receiver;
    #[allow(dead_code, unreachable_pub, reason = "each test binary uses the part of it that it needs")]
    pub(crate) mod redis_server;
    pub(crate) mod service;
}
