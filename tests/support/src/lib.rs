//! What the tests and benches share, compiled once: a Redis and a mail server of their own, endpoints and
//! networks that misbehave, and the program as a process.

pub mod authority;
pub mod clock;
pub mod dns;
pub mod endpoint;
pub mod held_out;
pub mod namespace;
pub mod port;
pub mod process;
pub mod proxy;
pub mod redis_cluster;
pub mod redis_server;
pub mod service;
pub mod smtp;
