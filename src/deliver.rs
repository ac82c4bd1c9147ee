//! One attempt: a signed POST through the egress guard, and what came of it.
//!
//! Architecture invariants: one call of [`Courier::attempt`] writes at most one request to the network;
//! only this room speaks HTTP to endpoints; a courier belongs to one thread's runtime.
//!
//! Reading order: who makes the POST ([`courier`]), to whom ([`target`]), where it may go ([`guard`], `spelling`,
//! `resolve`, `names`, `family`), on which connection (`pool`, `connection`, `race`, `this_host`, `sockets`), until when (`deadline`), what its end means (`head`,
//! `recorded_stream`, `response`, `echo`, `certificate`, `classify`), and whose fault that is (`outage`, `canary`,
//! `clock_check`).

pub mod courier;
pub mod target;
pub mod guard;
mod spelling;
mod resolve;
mod names;
mod family;
mod pool;
mod connection;
mod race;
mod this_host;
mod sockets;
mod deadline;
mod echo;
mod head;
mod recorded_stream;
mod response;
mod certificate;
mod classify;
mod outage;
mod canary;
mod clock_check;

pub use canary::Canary;
pub(crate) use classify::causes;
pub use clock_check::{ClockCheck, ClockOffsets};
pub use connection::{install_crypto, platform_certificates, platform_roots};
pub use courier::{AttemptOutcome, Courier, CourierError, CourierOptions, Egress, Post, PostResult};
pub use guard::{Barrier, Forbidden, Guard, InvalidUrl, parse_endpoint};
pub use outage::{OUTAGE, Outage};
pub use spelling::typed_endpoint;
pub use target::Target;
