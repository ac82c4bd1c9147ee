//! Who calls: tokens and sessions, what they open, and what becomes of wrong ones.
//!
//! Reading order: what opens the facade (`access`), how browsers reach it (`public_origin`), the tokens
//! themselves (`jwt`), wrong ones (`failures`), the session's `cookie`, which sessions of
//! operators hold (`operator_sessions`), what a request shows at once
//! (`shown`), and who calls for which workspace (`caller`).

pub(super) mod access;
pub(super) mod public_origin;
pub(super) mod jwt;
pub(super) mod failures;
pub(super) mod cookie;
pub(super) mod operator_sessions;
pub(super) mod shown;
pub(super) mod caller;
