//! What several integration tests use.
#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test takes what it needs")]

pub mod proxy;
pub mod redis_server;
