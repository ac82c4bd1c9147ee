//! The flags of `serve`, and what can be wrong with them together.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use url::Url;

use crate::cli::failure::{CommandError, EXIT_USAGE};
use crate::cli::transport::{JournalArgs, journal_flag};
use crate::cli::values::{
    Unrepeated, parse_age, parse_canary, parse_http_url, parse_listen, parse_stream, whole_number,
};
use crate::config::network::{AllowedNetwork, Network};
use crate::config::private::{Exposed, FileSharing};
use crate::config::{
    COMPRESSION_DEFAULT, ERROR_LIMIT_MAX, IN_FLIGHT_DEFAULT, IN_FLIGHT_MAX, JsonPointer, SHARDS_MAX, ShardSet,
    SourceFields, TIMEOUT_DEFAULT, TIMEOUT_MAX, duration,
};
use crate::journal::format::FORMAT;
use crate::workspace::Policy;

/// The flags of `outbound serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, mut_args(|flag| journal_flag(flag, JOURNAL_HELP)))]
pub struct ServeArgs {
    /// Where everything is remembered
    #[command(flatten)]
    pub journal: JournalArgs,
    /// Node id, lock, admin token, token key and the embedded journal's file
    #[arg(long, env = "OUTBOUND_DATA_DIR", value_name = "DIR", default_value = "./outbound-data")]
    pub data_dir: PathBuf,
    /// Where the HTTP facade (the API and the screens) listens
    #[arg(long, env = "OUTBOUND_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = parse_listen)]
    pub listen: SocketAddr,
    /// Into how many parts the workspaces are split, which nodes share: fixed at the first start, 16 if not given; a
    /// different value later is refused
    #[arg(long, env = "OUTBOUND_SHARDS", value_name = "N", value_parser = whole_number::<u16>(1, u64::from(SHARDS_MAX)))]
    pub shards: Option<u16>,
    /// The shards that this node runs, whoever else is there: numbers and ranges such as 0-3,8, or none to
    /// answer HTTP only; without it the nodes on one Redis share the shards
    #[arg(long, env = "OUTBOUND_STATIC_SHARDS", value_name = "SHARDS")]
    pub static_shards: Option<ShardSet>,
    /// A stream of someone else whose messages are delivered too: read with the consumer group `outbound`, never
    /// trimmed; repeat it or separate by commas
    #[arg(long = "source", env = "OUTBOUND_SOURCE", value_name = "STREAM", value_delimiter = ',', value_parser = parse_stream)]
    pub sources: Vec<String>,
    /// The fields of those streams' entries, where they have other names: workspace=NAME,message=NAME
    #[arg(long, env = "OUTBOUND_SOURCE_FIELDS", value_name = "NAMES")]
    pub source_fields: Option<SourceFields>,
    /// Where in the message field's JSON the message stands, such as /data/message; without it, the field is the message
    #[arg(long, env = "OUTBOUND_SOURCE_MESSAGE", value_name = "POINTER")]
    pub source_message: Option<JsonPointer>,
    /// Networks that webhooks may reach although they are private, local or this machine's own, also of one port only
    /// (10.0.0.5:8443, or `[fd00::1]:8443`); repeat it or separate by commas
    #[arg(long, env = "OUTBOUND_ALLOW_NET", value_name = "CIDR", value_delimiter = ',')]
    pub allow_net: Vec<AllowedNetwork>,
    /// Networks that webhooks may never reach, whatever --allow-net says; repeat it or separate by commas
    #[arg(long, env = "OUTBOUND_DENY_NET", value_name = "CIDR", value_delimiter = ',')]
    pub deny_net: Vec<Network>,
    /// Take https URLs only; a webhook that was saved with http fails from then on
    #[arg(long, env = "OUTBOUND_REQUIRE_HTTPS", value_parser = crate::cli::values::parse_yes)]
    pub require_https: bool,
    /// A server that is asked whether the network works when several endpoints cannot be reached, in their place
    #[arg(long, env = "OUTBOUND_CANARY", value_name = "URL", hide_env_values = true, value_parser = Unrepeated(parse_canary))]
    pub canary: Option<Url>,
    /// The mail server: smtp://HOST:PORT or smtps://HOST:PORT, with user:password@ if needed; `?tls=required` for STARTTLS
    #[arg(long, env = "OUTBOUND_SMTP_URL", value_name = "URL", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub smtp_url: Option<String>,
    /// A file that holds what --smtp-url would say, with a password that others must not see
    #[arg(long, env = "OUTBOUND_SMTP_URL_FILE", value_name = "FILE", conflicts_with = "smtp_url")]
    pub smtp_url_file: Option<PathBuf>,
    /// The sender of mails: outbound@example.com or "Outbound <outbound@example.com>"
    #[arg(long, env = "OUTBOUND_MAIL_FROM", value_name = "EMAIL", value_parser = NonEmptyStringValueParser::new())]
    pub mail_from: Option<String>,
    /// The name that the mail server is greeted with [default: the host of --public-url, this machine's full name, or
    /// its address]
    #[arg(long, env = "OUTBOUND_SMTP_HELLO", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub smtp_hello: Option<String>,
    /// A file with certificate authorities (PEM) that count for the mail server beside the system's
    #[arg(long, env = "OUTBOUND_SMTP_CA", value_name = "FILE")]
    pub smtp_ca: Option<PathBuf>,
    /// Warn the owner by mail after 5 errors in a row; never with an --error-limit below 5
    #[arg(long, env = "OUTBOUND_MAIL_WARNING", value_parser = crate::cli::values::parse_yes)]
    pub mail_warning: bool,
    /// Tell the owner by mail when a webhook delivers again that errors had switched off
    #[arg(long, env = "OUTBOUND_MAIL_RECOVERED", value_parser = crate::cli::values::parse_yes)]
    pub mail_recovered: bool,
    /// The address of the screens and the API as the outside sees it, for the link in mails
    #[arg(long, env = "OUTBOUND_PUBLIC_URL", value_name = "URL", value_parser = Unrepeated(parse_http_url))]
    pub public_url: Option<Url>,
    /// One deadline for an attempt, from DNS to the end of the answer's head; its body is read in what is left
    #[arg(long, env = "OUTBOUND_TIMEOUT", value_name = "DURATION", default_value = TIMEOUT_DEFAULT, value_parser = duration::parse_positive)]
    pub timeout: Duration,
    /// Attempts in flight on this node at most
    #[arg(long, env = "OUTBOUND_MAX_IN_FLIGHT", value_name = "N", default_value_t = IN_FLIGHT_DEFAULT, value_parser = whole_number::<u32>(1, u64::from(IN_FLIGHT_MAX)))]
    pub max_in_flight: u32,
    /// Attempts of one workspace in flight at most
    #[arg(long, env = "OUTBOUND_MAX_IN_FLIGHT_PER_WORKSPACE", value_name = "N", default_value_t = Policy::default().in_flight_max, value_parser = whole_number::<u32>(1, u64::from(IN_FLIGHT_MAX)))]
    pub max_in_flight_per_workspace: u32,
    /// Errors that a webhook may have; one more switches it off
    #[arg(long, env = "OUTBOUND_ERROR_LIMIT", value_name = "N", default_value_t = Policy::default().error_limit, value_parser = whole_number::<u32>(0, u64::from(ERROR_LIMIT_MAX)))]
    pub error_limit: u32,
    /// Which errors count
    #[arg(long, env = "OUTBOUND_ERROR_COUNTING", value_name = "WHICH", default_value = "consecutive")]
    pub error_counting: ErrorCounting,
    /// How the log of attempts is stored; left out, the journal decides
    #[arg(long, env = "OUTBOUND_JOURNAL_COMPRESSION", value_name = "HOW", help = compression_help())]
    pub journal_compression: Option<CompressionArg>,
    /// The newest format that this node reads and writes in Redis, until an upgrade is judged good: while one node has a
    /// lower one than its program's, the older program can come back. Start every node without it then [default: the
    /// program's]
    #[arg(long, env = "OUTBOUND_JOURNAL_FORMAT", value_name = "N", value_parser = whole_number::<u32>(1, u64::from(FORMAT)))]
    pub journal_format: Option<u32>,
    /// When what is stored in Redis counts as stored
    #[arg(long, env = "OUTBOUND_DURABILITY", value_name = "WHEN", default_value = "memory")]
    pub durability: DurabilityArg,
    /// Drop the attempts and the newest message of workspaces that had none for so long, such as 90d; they are kept if
    /// nothing is said
    #[arg(long, env = "OUTBOUND_LOG_MAX_AGE", value_name = "DURATION", value_parser = parse_age)]
    pub log_max_age: Option<Duration>,
    /// Run although Redis may delete any key when it is full (maxmemory-policy allkeys-…)
    #[arg(long, env = "OUTBOUND_ALLOW_VOLATILE_REDIS", value_parser = crate::cli::values::parse_yes)]
    pub allow_volatile_redis: bool,
    /// A file that holds the admin token
    #[arg(long, env = "OUTBOUND_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// A file that holds the key that workspace tokens are signed with, as Base64
    #[arg(long, env = "OUTBOUND_TOKEN_KEY_FILE", value_name = "FILE")]
    pub token_key_file: Option<PathBuf>,
    /// A file that holds the keys that signing secrets and custom headers are encrypted with where they are stored
    #[arg(long, env = "OUTBOUND_SECRET_KEY_FILE", value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
    /// Take a data directory and files with keys, tokens and passwords although others on this machine may read or write
    /// them, as where Docker or Kubernetes mounts secrets
    #[arg(long, env = "OUTBOUND_ALLOW_SHARED_FILES", value_parser = crate::cli::values::parse_yes)]
    pub allow_shared_files: bool,
    /// Start although these keys are missing, by their IDs; workspaces that need one stay unavailable. Repeat it or
    /// separate by commas
    #[arg(long, env = "OUTBOUND_WITHOUT_KEYS", value_name = "ID", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    pub without_keys: Vec<String>,
}

const JOURNAL_HELP: &str = "\
Where everything is remembered: embedded, embedded:PATH, redis://HOST:PORT, rediss://HOST:PORT (TLS), \
redis+unix:///PATH, redis+cluster://HOST:PORT,HOST:PORT or redis+sentinel://HOST:PORT,HOST:PORT/NAME, these with \
rediss for TLS [default: embedded]";

const AFTER_HELP: &str = "\
The admin token has at least 32 characters and comes from OUTBOUND_ADMIN_TOKEN or --admin-token-file.
Without one, and only on a loopback address, it is made and kept in DIR/admin-token.
Workspace tokens and sessions are signed with the key in OUTBOUND_TOKEN_KEY or --token-key-file: the \
Base64 of at least 32 random bytes (openssl rand -base64 32), the same on every node. Without one it \
is made and kept in DIR/token-key.
Signing secrets and custom headers are encrypted where they are stored, with the keys in \
OUTBOUND_SECRET_KEY or --secret-key-file: one or several ID:KEY, the same on every node. A KEY is the \
Base64 of 32 random bytes (openssl rand -base64 32). The first one encrypts, all decrypt: to change the \
key, put a new one in front under a new ID and keep the old one behind it.

Examples:
  outbound serve
  outbound serve --journal redis://127.0.0.1:6379 --allow-net 127.0.0.0/8
  OUTBOUND_ADMIN_TOKEN=… outbound serve --listen 0.0.0.0:8080 --journal rediss://redis.example.com:6379 \\
    --smtp-url smtp://mail.example.com:587?tls=required --mail-from outbound@example.com \\
    --public-url https://outbound.example.com";

/// Which errors count towards the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ErrorCounting {
    /// A success sets the counter to 0
    Consecutive,
    /// Only a save sets the counter to 0
    SinceSaved,
}

fn compression_help() -> String {
    format!(
        "How the log of attempts is stored in Redis; whichever is chosen, both forms are read \
         [default: {COMPRESSION_DEFAULT}; the embedded journal: none]"
    )
}

/// How the log of attempts is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CompressionArg {
    /// As JSON
    None,
    /// Compressed with a dictionary that is part of the program
    Zstd,
}

/// When what is stored counts as stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DurabilityArg {
    /// When Redis has it
    Memory,
    /// When it is on Redis' disk: needs WAITAOF (Redis 7.2, Valkey) or appendfsync always
    Local,
    /// When a replica has it too
    Replicated,
}

/// Flags that are well formed each but cannot hold together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum ConfigError {
    /// Over [`TIMEOUT_MAX`].
    #[error(
        "--timeout {timeout:?} is longer than {TIMEOUT_MAX:?}, and no lease and no shutdown should wait that long: give at most {TIMEOUT_MAX:?}"
    )]
    Timeout { timeout: Duration },
    /// A workspace's share is greater than the whole.
    #[error(
        "--max-in-flight-per-workspace {workspace} is greater than --max-in-flight {node}: lower the first or raise the second"
    )]
    InFlight { workspace: u32, node: u32 },
    /// Mails would have no sender.
    #[error("--smtp-url needs --mail-from: the address that mails are sent from")]
    NoSender,
    /// Mails would have no way out.
    #[error("--mail-from needs --smtp-url: without a mail server no mail is ever sent")]
    NoMailServer,
    /// Mails that were asked for would have no way out.
    #[error("{flag} needs --smtp-url and --mail-from: without a mail server no mail is ever sent")]
    NoMail { flag: &'static str },
    /// The key of TLS to Redis is not this process' own.
    #[error("the file {} of --redis-key is not private", path.display())]
    RedisKey {
        path: PathBuf,
        #[source]
        source: Exposed,
    },
    /// The embedded journal has no compressed form.
    #[error("--journal-compression zstd is for a Redis journal: the embedded one stores its log as JSON, on disk")]
    EmbeddedCompression,
    /// The embedded journal has one process, which writes what it reads.
    #[error(
        "--journal-format is for a Redis journal: the embedded one has one process; to be able to go back, copy its file \
         before the upgrade"
    )]
    EmbeddedFormat,
    /// The embedded journal has one node.
    #[error("--static-shards is for a Redis journal: the embedded one has one node, which runs every shard")]
    EmbeddedStaticShards,
    /// The embedded journal has no replica.
    #[error(
        "--durability replicated is for a Redis journal: the embedded one has no replica; what it answers is on disk"
    )]
    EmbeddedReplica,
    /// The embedded journal reads no streams.
    #[error("--source is for a Redis journal: the embedded one has no streams of others")]
    EmbeddedSource,
    /// Nothing is read by that form.
    #[error("{flag} needs --source: it says how the entries of those streams are read")]
    NoSource { flag: &'static str },
    /// The mail server's URL has another scheme. It may hold a password and is not repeated.
    #[error(
        "--smtp-url must be smtp://HOST:PORT or smtps://HOST:PORT, with user:password@ before the host if needed, both \
         percent-encoded: /, ?, #, @ and % are %2F, %3F, %23, %40 and %25"
    )]
    SmtpUrl,
    /// The sender is no address.
    #[error("--mail-from {from:?} is no mail address: write name@example.com")]
    Sender { from: String },
    /// The public URL cannot carry a link.
    #[error("--public-url {url} must be http:// or https:// with a host, without user info, query or fragment")]
    PublicUrl { url: String },
}

impl CommandError for ConfigError {
    fn exit_code(&self) -> u8 {
        EXIT_USAGE
    }
}

impl ServeArgs {
    /// Whether files with secrets may be read by others.
    pub(super) fn sharing(&self) -> FileSharing {
        if self.allow_shared_files { FileSharing::Allowed } else { FileSharing::Refused }
    }
}
