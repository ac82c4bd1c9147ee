//! The facade: a thin layer of HTTP over the journal ([contract, section 4](crate::docs::contract#4-http)).
//!
//! Architecture invariants: this is the only room that names axum; it never talks to an actor. A
//! command is *submitted* to the journal and its answer waited for; what is shown is *read* from the
//! journal. So every node answers for every workspace. Every error is a [`problem`] document.
//!
//! Reading order: [`router`](mod@router), the routes; [`state`], what the handlers share, with [`reader`], which reads
//! from the store; [`api`], the calls; [`auth`], who calls; [`live`], the live stream; [`screen`], the
//! pages; [`openapi`], the description; [`body`], [`etag`], [`shares`], [`places`], [`sending`] and [`layers`], what holds for every request;
//! [`connections`] and [`server`], the connections. [`receiver`] is no part of the facade: it is the built-in endpoint.

mod router;
mod state;
mod reader;
mod api;
mod auth;
mod live;
mod screen;
mod openapi;
mod problem;
mod body;
mod etag;
mod shares;
mod places;
mod sending;
mod layers;
mod connections;
mod server;
pub mod receiver;

pub use self::problem::is_outcome_unknown;

pub use api::attempts::write_log;
pub use api::tokens::{InvalidTtl, Ttl};
pub use auth::access::{Access, AdminToken, TokenTooShort};
pub use auth::failures::PeerAddress;
pub use auth::jwt::{KeyTooShort, TokenKey};
pub use auth::public_origin::PublicOrigin;
pub use router::router;
pub use server::serve;
pub use state::{Facade, NodeShards, ReadReadiness, Readiness, SendTestMail};
