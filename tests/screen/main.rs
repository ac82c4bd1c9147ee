//! The screen in a real browser, against the real program on an embedded journal and a real receiver.
//!
//! Every test also leaves pictures of what it saw in `target/screens`, 1280 and 360 pixels wide.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

mod attempts;
mod browser;
mod colleagues;
mod mails;
mod operator;
mod samples;
mod saving;
mod secret;
mod sending;
mod sessions;
mod stage;
