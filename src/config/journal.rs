//! Where everything is remembered, and how safely.

use std::fmt;
use std::path::{Path, PathBuf};

/// How the log of attempts is stored in Redis. Both forms are always read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As JSON.
    None,
    /// As zstd, with a dictionary that is part of the program.
    Zstd,
}

/// How it is stored in Redis where `--journal-compression` says nothing. The embedded journal has JSON alone.
pub const COMPRESSION_DEFAULT: Compression = Compression::Zstd;

impl fmt::Display for Compression {
    /// As `--journal-compression` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Zstd => "zstd",
        })
    }
}

/// When what is stored counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When Redis has it in memory.
    #[default]
    Memory,
    /// When it is on Redis' disk, in the append-only file.
    Local,
    /// When a replica has it too.
    Replicated,
}

/// Where everything is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JournalConfig {
    /// One file; `None` is `outbound.redb` in the data directory.
    Embedded(Option<PathBuf>),
    /// One Redis (`redis://`, `rediss://`), the seeds of a cluster (`redis+cluster://a,b,c`) or sentinels
    /// (`redis+sentinel://a,b,c/NAME`).
    Redis {
        /// The URL as given.
        url: String,
        /// What every key starts with.
        prefix: String,
        /// Run even if Redis may delete any key when it is full.
        allow_volatile: bool,
        /// What TLS needs, for `rediss`.
        files: RedisFiles,
    },
}

/// The embedded journal's file; `None` is the one in the data directory.
#[must_use]
pub fn embedded_file(path: Option<PathBuf>, data_dir: &Path) -> PathBuf {
    path.unwrap_or_else(|| data_dir.join("outbound.redb"))
}

impl JournalConfig {
    /// Whether it is a Redis Cluster, as its URL says.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        let Self::Redis { url, .. } = self else { return false };
        url.split_once("://").is_some_and(|(scheme, _)| scheme.ends_with("+cluster"))
    }
}

/// Files in PEM form for TLS to Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisFiles {
    /// Certificate authorities that count beside the system's.
    pub authorities: Option<PathBuf>,
    /// Our own certificate, and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
}
