//! The program as a process of its own, on both journals: what it keeps over crashes, what it refuses
//! to start with, what its facade does, and how it ends.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

mod access;
mod again;
mod bench;
mod clocks;
mod crash;
mod damaged;
mod damaged_file;
mod drain;
mod entrusted;
mod facade;
mod full_disk;
mod input;
mod lost_edits;
mod mail;
mod many_messages;
mod neighbours;
mod network;
mod old_logs;
mod oversized;
mod reload;
mod sealed;
mod shortage;
mod silent_store;
mod start;
mod store;
mod survive;
mod waiting;
