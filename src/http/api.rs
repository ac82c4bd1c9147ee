//! The calls of the API, one file a resource.

pub(super) mod webhook;
pub(super) mod save_body;
pub(super) mod secret;
pub(super) mod workspace;
pub(super) mod tokens;
pub(super) mod attempts;
pub(super) mod messages;
pub(super) mod rejected;
pub(super) mod service;
