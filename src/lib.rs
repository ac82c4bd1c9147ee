//! outbound
pub mod config;
pub mod deliver;
pub mod journal;
pub mod message;
pub mod notify;
pub mod sign;
pub mod workspace;
