//! `/workspaces/{ws}/outbound`: the "Integration / Outbound" screen of a workspace.
//!
//! Architecture invariants: a page is a pure function of a [`model::Model`]; everything in it is escaped
//! (maud); it needs no script, which only keeps the shown up to date; nothing is loaded from elsewhere,
//! and no script or style stands inside a page (`http::layers`).
//!
//! Reading order: what is asked for (`routes`), by whom (`session`, `sign_in`) and in which form
//! (`submitted`, `after_sign_in`, `typed`, `query`, `filter`), and what an attempt is copied as (`curl`); what is known then (`notice`, `model`), the page of it (`page`) and its parts in the
//! order in which they are seen (`status`, `webhook`, `attempts`, `plot`, `secret`, `changes`), what they
//! are made of (`parts`, `json`), what stands around them (`frame`), and the files that go with it
//! (`assets`). The screen of the whole service is a room of its own (`operator`) and made of the same parts.

pub(super) mod routes;
mod session;
mod sign_in;
mod submitted;
mod typed;
mod query;
mod after_sign_in;
mod filter;
mod curl;
mod notice;
mod model;
mod page;
mod status;
mod webhook;
mod attempts;
mod plot;
mod secret;
mod changes;
mod parts;
mod json;
mod frame;
pub(super) mod assets;
pub(super) mod operator;
