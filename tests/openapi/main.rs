//! The description of the API against the service: routes, problems and examples.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

mod examples;
#[path = "../facade_kit/mod.rs"]
mod facade_kit;
mod page;
mod problems;
mod routes;
#[path = "../support"]
mod support {
    pub(crate) mod receiver;
    #[allow(dead_code, unreachable_pub, reason = "each test binary uses the part of it that it needs")]
    pub(crate) mod redis_server;
    pub(crate) mod service;
    pub(crate) mod smtp;
}
