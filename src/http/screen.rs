//! `/workspaces/{ws}/outbound`: the "Integration / Outbound" screen of a workspace.
//!
//! Architecture invariants: a page is a pure function of a [`page::Model`]; everything in it is escaped
//! (maud); it needs no script, which only keeps the shown up to date; nothing is loaded from elsewhere,
//! and no script or style stands inside a page (`http::headers`).
//!
//! Reading order: what is asked for (`routes`, `form`), the page (`page`) and its parts in the order in
//! which they are seen (`status`, `webhook`, `attempts`, `plot`, `secret`, `changes`), what stands around
//! them (`frame`, `login`), and the files that go with it (`assets`).

mod assets;
mod attempts;
mod changes;
mod form;
mod frame;
mod json;
mod login;
mod page;
mod parts;
mod plot;
mod routes;
mod secret;
mod status;
mod webhook;

pub(super) use assets::asset;
pub(super) use login::{sign_in, trouble};
pub(super) use routes::routes;
