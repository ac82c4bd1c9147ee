//! One attempt: a signed POST through the egress guard, and what came of it.
//!
//! Architecture invariants: one call of [`Courier::attempt`] writes at most one request to the network;
//! only this room speaks HTTP to endpoints; a courier belongs to one thread's runtime.
//!
//! Reading order: who makes the POST ([`courier`]), to whom ([`target`]), where it may go ([`guard`],
//! `spelling`, `resolve`), on which connection (`pool`, `connection`), and what its end means (`head`, `response`, `classify`).

pub mod courier;
pub mod target;
pub mod guard;
mod spelling;
mod resolve;
mod pool;
mod connection;
mod head;
mod response;
mod classify;

pub use connection::{install_crypto, platform_roots};
pub use courier::{AttemptOutcome, Courier, CourierError, CourierOptions, Post, PostResult};
pub use guard::{Forbidden, Guard, InvalidUrl, parse_endpoint};
pub use spelling::typed_endpoint;
pub use target::Target;
