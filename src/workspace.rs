//! The aggregate: everything that is decided about a workspace, and nothing else.
//!
//! Architecture invariant: this room is pure. It does no I/O, reads no clock, draws no randomness;
//! times, ids, secrets and HTTP outcomes come in as arguments. Commands may be refused; events are
//! facts, so [`State::evolve`] cannot fail and has no wildcard arm.
//!
//! Reading order: what an owner configures ([`configuration`], [`headers`], and what of it is [`confidential`]) and an
//! operator ([`policy`]), moments ([`time`]), what happened ([`event`]), what it adds
//! up to ([`state`]), what may be asked for ([`command`]), what follows from it ([`decide`], [`evolve`]),
//! which message goes next ([`chat_queues`]), what people write and paste ([`owner_address`], [`pasted`]), and what the outside
//! sees of it ([`view`], [`history`], [`explain`], [`redirect`]), counted for operators ([`outcomes`]).

pub mod command;
pub mod access;
pub mod confidential;
pub mod configuration;
pub mod decide;
pub mod event;
mod evolve;
pub mod explain;
pub mod headers;
pub mod owner_address;
pub mod history;
pub mod chat_queues;
pub mod pasted;
pub mod policy;
pub mod outcomes;
pub mod redirect;
pub mod state;
pub mod time;
pub mod view;
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
