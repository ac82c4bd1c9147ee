//! The facade: its resources, access and problems on a journal that answers as a test tells it, its screen,
//! its description, and the whole of it tried from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

mod access;
mod generators;
mod kit;
mod live;
mod openapi;
mod operator;
mod problems;
mod receiver;
mod rejected;
mod resources;
mod schemathesis;
mod screen;
mod serve;
mod session;
mod slow_readers;
mod strangers;
mod workspaces;
