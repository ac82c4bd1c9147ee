//! The aggregate: everything that is decided about a workspace, and nothing else.
//!
//! Architecture invariant: this room is pure. It does no I/O, reads no clock, draws no randomness;
//! times, ids, secrets and HTTP outcomes come in as arguments. Commands may be refused; events are
//! facts, so [`State::evolve`] cannot fail and has no wildcard arm.
//!
//! Reading order: what an owner configures ([`configuration`], [`headers`], and what of it is [`confidential`]) and an
//! operator ([`policy`]), who may come in ([`access`]), moments ([`time`]), what happened ([`event`]), what it adds
//! up to ([`state`]), what may be asked for ([`command`]), what follows from it ([`decide`], [`evolve`]),
//! which message goes next ([`chat_queues`]), what people write and paste ([`owner_address`], [`pasted`]), and what the outside
//! sees of it ([`view`], [`history`], [`explain`], [`redirect`]), counted for operators ([`outcomes`]); how sentences of it
//! begin and end ([`wording`]).

pub mod configuration;
pub mod headers;
pub mod confidential;
pub mod policy;
pub mod access;
pub mod time;
pub mod event;
pub mod state;
pub mod command;
pub mod decide;
mod evolve;
pub mod chat_queues;
pub mod owner_address;
pub mod pasted;
pub mod view;
pub mod history;
pub mod explain;
pub mod redirect;
pub mod outcomes;
pub mod wording;

#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod tests;

pub use command::{Answer, Command, Refusal};
pub use confidential::Confidential;
pub use event::Event;
pub use policy::Policy;
pub use state::State;
pub use time::Time;
