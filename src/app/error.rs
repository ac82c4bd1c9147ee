//! Why the service does not start, or stopped.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::sealing;
use crate::config::ShardSet;
use crate::journal::port::StoreError;
use crate::journal::{embedded, redis};
use crate::{actor, http, notify};

/// Why the service does not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address to listen on cannot be had.
    #[error("cannot listen on {address}: {}", mend(source))]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The admin token is too short.
    #[error(transparent)]
    AdminToken(#[from] http::TokenTooShort),
    /// The token key is too short.
    #[error(transparent)]
    TokenKey(#[from] http::KeyTooShort),
    /// The embedded journal cannot be opened.
    #[error(transparent)]
    Embedded(#[from] embedded::JournalFileError),
    /// Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] redis::RedisStartError),
    /// A key is missing that something is sealed with.
    #[error(transparent)]
    Sealing(#[from] sealing::SealingError),
    /// The mail settings cannot be used.
    #[error(transparent)]
    Mail(#[from] notify::MailerError),
    /// The certificate authorities of the mail server cannot be read.
    #[error(
        "--smtp-ca {}: {detail}; name a readable file with certificates in PEM form (-----BEGIN CERTIFICATE-----)",
        file.display()
    )]
    Authorities {
        /// The file.
        file: PathBuf,
        /// Why.
        detail: String,
    },
    /// A file for TLS to Redis cannot be used.
    #[error("{flag} {}: {detail}; name a readable file in PEM form", file.display())]
    RedisFile {
        /// The flag that names it.
        flag: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        detail: String,
    },
    /// The shards cannot be started.
    #[error(transparent)]
    Shards(#[from] actor::StartShardsError),
    /// The shards stopped by themselves.
    #[error(transparent)]
    Died(#[from] actor::Died),
    /// A static shard is none of the journal's.
    #[error("--static-shards {asked} names a shard that is not there: there are {shards}, numbered from 0")]
    StaticShards {
        /// What was asked for.
        asked: ShardSet,
        /// How many there are.
        shards: u16,
    },
    /// The journal is of no use until it is opened again.
    #[error("the service has ended, because the journal can only be opened again by a new start")]
    Journal(#[source] StoreError),
}

/// What helps where an address cannot be listened on.
fn mend(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    match source.kind() {
        AddrInUse => "stop what uses the port, or choose another with --listen",
        AddrNotAvailable => {
            "this machine does not have that address; give one of its own with --listen, or 0.0.0.0 for all of them"
        }
        PermissionDenied => "this user may not use the port; choose one from 1024 on with --listen",
        _ => "choose another address with --listen",
    }
}
