//! Values of flags that several subcommands have: how they are written, and what is refused.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use url::{ParseError, Url};

use super::failure::{CommandError, EXIT_USAGE};
use crate::config::duration::{LIFETIME_UNITS, parse_in};
use crate::config::{JournalConfig, RedisFiles};
use crate::journal::redis::{PREFIX_MAX, is_prefix};

/// `--journal` is not understood. The text is never repeated, since it may hold a password.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJournal {
    /// Another scheme.
    #[error(
        "--journal must be `embedded`, `embedded:PATH`, `redis://HOST:PORT`, `rediss://HOST:PORT` (TLS), \
         `redis+unix:///PATH`, `redis+cluster://HOST:PORT,HOST:PORT`, `redis+sentinel://HOST:PORT,HOST:PORT/NAME`, or \
         `rediss+…` for TLS"
    )]
    Form,
    /// `embedded:` with a path to nothing, where a journal is read.
    #[error("--journal embedded:{} names no file: name the journal of the running service", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// No journal where one is worked on.
    #[error(
        "there is no journal at {}: name the data directory of the service with --data-dir, or its journal with --journal",
        path.display()
    )]
    NothingThere {
        /// The path.
        path: PathBuf,
    },
    /// `embedded:` without a path.
    #[error("--journal embedded: has no path: write `embedded` for the file in the data directory, or `embedded:PATH`")]
    NoPath,
    /// The part after the scheme is no URL.
    #[error(
        "the Redis URL of --journal cannot be read: write `redis://HOST:PORT`, with `user:password@` before the host if \
         needed, in which characters such as # / @ are percent-encoded (%23 %2F %40)"
    )]
    Url(#[source] ParseError),
    /// More than one host.
    #[error(
        "--journal redis:// has several hosts: write `redis+cluster://HOST:PORT,HOST:PORT` for a cluster, or \
         `redis+sentinel://HOST:PORT,HOST:PORT/NAME` for sentinels"
    )]
    SeveralHosts,
    /// No host.
    #[error("the Redis URL of --journal has no host: write `redis://HOST:PORT`")]
    NoHost,
    /// A socket without a path.
    #[error("--journal redis+unix:// has no path: write `redis+unix:///PATH` with three slashes")]
    NoSocket,
    /// An empty seed.
    #[error("a node in --journal redis+cluster:// is empty: write `redis+cluster://HOST:PORT,HOST:PORT`")]
    NoNode,
    /// No sentinel, or no name.
    #[error(
        "--journal redis+sentinel:// lacks a sentinel or the primary's name: write \
         `redis+sentinel://HOST:PORT,HOST:PORT/NAME`"
    )]
    NoPrimary,
    /// Files for TLS, and none.
    #[error("--redis-ca, --redis-cert and --redis-key are for TLS: write rediss:// in --journal, or leave them out")]
    NoTls,
    /// An embedded journal where only a Redis can be meant.
    #[error("only a Redis can be given with --journal here: the embedded journal belongs to its running service")]
    Embedded,
}

impl CommandError for InvalidJournal {
    fn exit_code(&self) -> u8 {
        EXIT_USAGE
    }
}

/// Reads `--journal`: where everything is remembered.
///
/// # Errors
/// See [`InvalidJournal`].
pub fn parse_journal(text: &str, prefix: &str, allow_volatile: bool) -> Result<JournalConfig, InvalidJournal> {
    // A blank that was copied along is no part of a URL; of a path it may be one.
    let text = if text.trim_start().starts_with("redis") { text.trim() } else { text };
    if text == "embedded" {
        return Ok(JournalConfig::Embedded(None));
    }
    if let Some(path) = text.strip_prefix("embedded:") {
        return if path.is_empty() {
            Err(InvalidJournal::NoPath)
        } else {
            Ok(JournalConfig::Embedded(Some(path.into())))
        };
    }
    if let Some(nodes) = text.strip_prefix("redis+cluster://").or_else(|| text.strip_prefix("rediss+cluster://")) {
        if nodes.split(',').any(|node| node.trim().is_empty()) {
            return Err(InvalidJournal::NoNode);
        }
    } else if let Some(rest) =
        text.strip_prefix("redis+sentinel://").or_else(|| text.strip_prefix("rediss+sentinel://"))
    {
        let (hosts, name) = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest).split_once('/').unwrap_or_default();
        if name.trim_matches('/').is_empty() || hosts.split(',').any(|host| host.trim().is_empty()) {
            return Err(InvalidJournal::NoPrimary);
        }
    } else if let Some(path) = text.strip_prefix("redis+unix://") {
        if !path.starts_with('/') {
            return Err(InvalidJournal::NoSocket);
        }
    } else if text.starts_with("redis://") || text.starts_with("rediss://") {
        let hosts = text.rsplit_once('@').map_or(text, |(_, hosts)| hosts);
        if hosts.contains(',') {
            return Err(InvalidJournal::SeveralHosts);
        }
        let url = Url::parse(text).map_err(InvalidJournal::Url)?;
        url.host_str().filter(|host| !host.is_empty()).ok_or(InvalidJournal::NoHost)?;
    } else {
        return Err(InvalidJournal::Form);
    }
    Ok(JournalConfig::Redis {
        url: text.to_owned(),
        prefix: prefix.to_owned(),
        allow_volatile,
        files: RedisFiles::default(),
    })
}

/// The flags for TLS to Redis.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct RedisFileArgs {
    /// A file with certificate authorities (PEM) that count for Redis beside the system's
    #[arg(long, env = "OUTBOUND_REDIS_CA", value_name = "FILE")]
    pub redis_ca: Option<PathBuf>,
    /// A file with the certificate (PEM) that Redis asks for; needs --redis-key
    #[arg(long, env = "OUTBOUND_REDIS_CERT", value_name = "FILE", requires = "redis_key")]
    pub redis_cert: Option<PathBuf>,
    /// A file with the key (PEM) of that certificate; needs --redis-cert
    #[arg(long, env = "OUTBOUND_REDIS_KEY", value_name = "FILE", requires = "redis_cert")]
    pub redis_key: Option<PathBuf>,
}

impl RedisFileArgs {
    /// The journal with these files. An embedded one, or one without TLS, has no use for them.
    ///
    /// # Errors
    /// [`InvalidJournal::NoTls`].
    pub fn with(&self, journal: JournalConfig) -> Result<JournalConfig, InvalidJournal> {
        let identity = self.redis_cert.clone().zip(self.redis_key.clone());
        let files = RedisFiles { authorities: self.redis_ca.clone(), identity };
        match journal {
            journal if files == RedisFiles::default() => Ok(journal),
            JournalConfig::Redis { url, prefix, allow_volatile, .. } if url.starts_with("rediss") => {
                Ok(JournalConfig::Redis { url, prefix, allow_volatile, files })
            }
            _ => Err(InvalidJournal::NoTls),
        }
    }
}

/// Reads a `--journal` that must be a Redis, for a subcommand that is not the service.
///
/// # Errors
/// See [`InvalidJournal`].
pub fn parse_redis(text: &str, prefix: &str) -> Result<JournalConfig, InvalidJournal> {
    match parse_journal(text, prefix, true)? {
        config @ JournalConfig::Redis { .. } => Ok(config),
        JournalConfig::Embedded(_) => Err(InvalidJournal::Embedded),
    }
}

/// Reads a `--prefix`: what every Redis key starts with.
///
/// # Errors
/// A sentence that says what a prefix is.
pub fn parse_prefix(text: &str) -> Result<String, String> {
    if is_prefix(text) {
        Ok(text.to_owned())
    } else {
        Err(format!("a prefix has 1 to {PREFIX_MAX} characters of A-Z a-z 0-9 _ . -"))
    }
}

/// Reads a whole number from `least` to `most`, both of which `T` can hold.
pub fn whole_number<T: TryFrom<u64>>(least: u64, most: u64) -> impl Fn(&str) -> Result<T, String> + Clone {
    move |text| {
        let number = text.parse::<u64>().ok().filter(|number| (least..=most).contains(number));
        let number = number.and_then(|number| T::try_from(number).ok());
        number.ok_or_else(|| format!("write a whole number from {least} to {most}"))
    }
}

/// Reads a value that may hold a password: one that is refused is not repeated.
#[derive(Clone)]
pub struct Unrepeated<T>(pub fn(&str) -> Result<T, String>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Unrepeated<T> {
    type Value = T;

    fn parse_ref(&self, command: &clap::Command, flag: Option<&clap::Arg>, value: &OsStr) -> Result<T, clap::Error> {
        let read = value.to_str().map_or_else(|| Err("it is not UTF-8".to_owned()), self.0);
        read.map_err(|why| {
            let flag = flag.and_then(clap::Arg::get_long).unwrap_or_default();
            command.clone().error(ErrorKind::ValueValidation, format!("--{flag} cannot be used: {why}"))
        })
    }
}

/// Reads the variable of a flag that takes no value: one that is empty says no.
///
/// # Errors
/// A sentence that says what may be written.
pub fn parse_yes(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "1" | "yes" | "on" | "true" | "y" | "t" => Ok(true),
        "" | "0" | "no" | "off" | "false" | "n" | "f" => Ok(false),
        _ => Err("write yes or no, on or off, true or false, 1 or 0".to_owned()),
    }
}

/// Reads an address to listen on.
///
/// # Errors
/// A sentence that shows how one is written.
pub fn parse_listen(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .map_err(|_| "write an IP address and a port, such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080".to_owned())
}

/// Reads the name of a stream, without the blanks around it: a list may be written with some.
///
/// # Errors
/// There is none.
pub fn parse_stream(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() { Err("name a stream".to_owned()) } else { Ok(name.to_owned()) }
}

/// Reads the URL of an HTTP server. What it may hold besides is judged by who uses it.
///
/// # Errors
/// A sentence that shows how one is written.
pub fn parse_http_url(text: &str) -> Result<Url, String> {
    let written = "write http:// or https:// and a host, such as https://outbound.example.com";
    match Url::parse(text.trim()) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        Ok(_) | Err(ParseError::RelativeUrlWithoutBase) => Err(written.to_owned()),
        Err(error) => Err(format!("{error}; {written}")),
    }
}

/// Reads `--canary`.
///
/// # Errors
/// A sentence that shows how it is written.
pub fn parse_canary(text: &str) -> Result<Url, String> {
    let url = parse_http_url(text)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it is asked without a user name or password: leave them out".to_owned());
    }
    Ok(url)
}

/// The greatest age that may be given.
const AGE_MAX: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

/// Reads an age: 1 second to ten years.
///
/// # Errors
/// A sentence that shows how one is written.
pub fn parse_age(text: &str) -> Result<Duration, String> {
    let age = parse_in(text.trim(), &LIFETIME_UNITS, AGE_MAX).ok().filter(|age| !age.is_zero());
    age.ok_or_else(|| "write a whole number and a unit from 1s to 3650d, such as 12h or 90d".to_owned())
}

/// Whether a URL names an HTTP server and nothing that would be dropped or shown when it is used.
pub(super) fn is_plain_http(url: &Url) -> bool {
    let bare =
        url.username().is_empty() && url.password().is_none() && url.query().is_none() && url.fragment().is_none();
    bare && matches!(url.scheme(), "http" | "https")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::CommandFailure;

    fn redis(url: &str) -> JournalConfig {
        JournalConfig::Redis {
            url: url.to_owned(),
            prefix: "outbound".to_owned(),
            allow_volatile: false,
            files: RedisFiles::default(),
        }
    }

    #[test]
    fn every_documented_form_is_read() {
        let read = |text: &str| parse_journal(text, "outbound", false).unwrap();
        assert_eq!(read("embedded"), JournalConfig::Embedded(None));
        assert_eq!(read("embedded:/var/lib/x.redb"), JournalConfig::Embedded(Some("/var/lib/x.redb".into())));
        for url in [
            "redis://127.0.0.1:6379",
            "rediss://user:pw@redis.example.com/0",
            "redis+unix:///run/redis.sock?db=1",
            "redis+cluster://a:1,b:2,c",
            "rediss+cluster://:pw@a:1,b:2",
            "redis+sentinel://a:1,b,c/main",
            "rediss+sentinel://user:p/w@a,b/main/3",
        ] {
            assert_eq!(read(url), redis(url));
            assert_eq!(read(&format!(" {url}\n")), redis(url), "copied with what stood around it");
        }
    }

    #[test]
    fn another_form_is_refused_without_repeating_a_password() {
        for text in [
            "",
            "redis",
            "redis:6379",
            "memory",
            "http://x",
            "embedded:",
            "redis://",
            "redis://:hunter2@",
            "rediss://:hunter2@h:port",
            "redis://:hunter2@a:1,b:2",
            "redis+cluster://",
            "redis+cluster://a,,b",
            "rediss+cluster://a,,b",
            "redis+unix://",
            "redis+sentinel://:hunter2@a,b",
            "redis+sentinel://a,,b/main",
            "rediss+sentinel://:hunter2@a/",
        ] {
            let error = parse_journal(text, "outbound", false).unwrap_err();
            let report = CommandFailure::from(error).to_string();
            assert!(!report.contains("hunter2"), "{report}");
            assert!(report.contains("--journal"), "{report}");
        }
    }

    #[test]
    fn a_prefix_cannot_carry_a_hash_tag() {
        assert_eq!(parse_prefix("eu-1.outbound").as_deref(), Ok("eu-1.outbound"));
        for text in ["", "{a}", "a:b", "a b", "a\n", &"x".repeat(65)] {
            assert!(parse_prefix(text).is_err(), "{text:?}");
        }
    }
}
