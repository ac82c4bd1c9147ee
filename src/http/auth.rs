//! Who calls: tokens and sessions, what they open, and what becomes of wrong ones.
//!
//! Reading order: what opens the facade (`access`), how browsers reach it (`public_origin`), the tokens
//! themselves (`jwt`), wrong ones (`failures`), and who calls for which workspace (`caller`).

pub(super) mod access;
pub(super) mod public_origin;
pub(super) mod jwt;
pub(super) mod failures;
pub(super) mod caller;
