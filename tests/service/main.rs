//! The program as a process of its own, on both journals: what it keeps over crashes, what it refuses
//! to start with, what its facade does, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

mod access;
mod bench;
mod crash;
mod damaged;
mod drain;
mod entrusted;
mod facade;
mod full_disk;
mod input;
mod mail;
mod many_messages;
mod reload;
mod sealed;
mod shortage;
mod silent_store;
mod start;
mod store;
mod survive;
