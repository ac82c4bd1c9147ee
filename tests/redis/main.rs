//! On a real Redis: the journal's adapter alone, and the program when the store fails.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

mod chaos;
mod journal;
