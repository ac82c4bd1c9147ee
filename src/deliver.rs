//! One attempt: a signed POST through the egress guard, and what came of it.
//!
//! Architecture invariants: one call of [`Courier::attempt`] writes at most one request to the network;
//! only this room speaks HTTP to endpoints; a courier belongs to one thread's runtime.
//!
//! Reading order: who makes the POST ([`courier`]), to whom ([`target`]), where it may go ([`guard`], `resolve`, `tls`), on which
//! connection (`connections`, `kept`, `reuse`), and what its end means (`answer`, `classify`).

mod answer;
mod classify;
mod connections;
pub mod courier;
pub mod guard;
mod kept;
mod resolve;
mod reuse;
pub mod target;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;

use crate::workspace::event::{AttemptError, Header, Response};
use crate::workspace::time::Clock;

pub use courier::Courier;
pub use guard::{Forbidden, Guard, InvalidUrl, parse_endpoint};
pub use target::Target;
pub use tls::install_crypto;

/// How a courier works.
#[derive(Debug, Clone)]
pub struct Options {
    /// One deadline, from DNS to the last byte of the response.
    pub timeout: Duration,
    /// Addresses that the egress guard lets through although they are special.
    pub allow: Vec<IpNet>,
    /// Reads the wall clock, for `webhook-timestamp`.
    pub clock: Clock,
}

/// One POST to make.
#[derive(Debug, Clone)]
pub struct Post {
    /// Where to, signed with what.
    pub to: Arc<Target>,
    /// The `webhook-id`.
    pub webhook_id: Arc<str>,
    /// The body.
    pub body: Bytes,
}

/// What became of a POST.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// It was attempted; the outcome is final.
    Done(Done),
    /// Our own system could not make it (no file descriptor, no free port): nothing was attempted.
    Unable(String),
}

/// A final outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Every header that we set, in order; custom ones are masked. `host` and `content-length` follow
    /// from the URL and the body.
    pub headers: Arc<[Header]>,
    /// Why it failed; `None` is delivered.
    pub error: Option<AttemptError>,
    /// What came back.
    pub response: Option<Arc<Response>>,
    /// From the start to the last byte that was read.
    pub duration: Duration,
}

/// Connections cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct BuildError(#[source] pub Box<dyn std::error::Error + Send + Sync>);
