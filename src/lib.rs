//! outbound
pub mod message;
pub mod workspace;
pub mod journal;
pub mod sign;
pub mod deliver;
pub mod notify;
pub mod config;
