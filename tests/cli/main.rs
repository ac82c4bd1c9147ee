//! The command line, as the program itself answers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

mod attempts;
mod mistakes;
mod private;
mod program;
mod publish;
mod rejected;
mod token;
mod unreached;
