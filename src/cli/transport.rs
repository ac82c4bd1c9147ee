//! How a subcommand reaches what it works on: through a running service, or straight to its Redis.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::builder::NonEmptyStringValueParser;
use url::Url;

use super::client::{Client, ClientBuildError};
use super::credentials::{ADMIN_TOKEN, CredentialError, JOURNAL, TokenText, admin_token};
use super::data_dir::admin_token_file;
use super::failure::{CommandError, CommandFailure, EXIT_USAGE};
use super::values::{InvalidJournal, RedisFileArgs, Unrepeated, parse_http_url, parse_journal, parse_prefix};
use crate::app::{AppError, now, redis_tls};
use crate::config::private::FileSharing;
use crate::config::{JournalConfig, embedded_file};
use crate::journal::Journal;
use crate::journal::embedded::Embedded;
use crate::journal::redis::{self, Redis, RedisOptions};
use crate::message::WorkspaceId;

/// The server when none is named.
pub const SERVER_DEFAULT: &str = "http://127.0.0.1:8080";

/// The flags of every subcommand that has, or may have, a journal of its own. Each says in its own words what for.
#[derive(Debug, Clone, clap::Args)]
pub struct JournalArgs {
    /// The Redis that holds the journal
    #[arg(long, env = "OUTBOUND_JOURNAL", value_name = "JOURNAL", hide_env_values = true, value_parser = NonEmptyStringValueParser::new())]
    pub journal: Option<String>,
    /// A file that holds what --journal would say, with a password that others must not see
    #[arg(long, env = "OUTBOUND_JOURNAL_FILE", value_name = "FILE", conflicts_with = "journal")]
    pub journal_file: Option<PathBuf>,
    /// What every Redis key starts with
    #[arg(long, env = "OUTBOUND_PREFIX", default_value = "outbound", value_parser = parse_prefix)]
    pub prefix: String,
    /// TLS to it
    #[command(flatten)]
    pub redis_files: RedisFileArgs,
}

impl JournalArgs {
    /// The journal that is named, by the flag or in the file.
    ///
    /// # Errors
    /// The file cannot be read, or others may read it and `sharing` does not allow that.
    pub fn named(&self, sharing: FileSharing) -> Result<Option<String>, CredentialError> {
        match &self.journal_file {
            Some(file) => JOURNAL.file_text(file, sharing).map(Some),
            None => Ok(self.journal.clone()),
        }
    }
}

/// The flag, with what the subcommand uses the journal for if it is `--journal`.
pub(super) fn journal_flag(flag: clap::Arg, used_for: &'static str) -> clap::Arg {
    if flag.get_id() == "journal" { flag.help(used_for) } else { flag }
}

/// The flags of every subcommand that goes through a service or straight to its Redis.
#[derive(Debug, Clone, clap::Args)]
pub struct TransportArgs {
    /// The Redis
    #[command(flatten)]
    pub journal: JournalArgs,
    /// The service
    #[command(flatten)]
    pub server: ServerArgs,
}

/// The flags of every subcommand that talks to a running service.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// The service to talk to [default: http://127.0.0.1:8080]
    #[arg(long, env = "OUTBOUND_SERVER", value_name = "URL", hide_env_values = true, value_parser = Unrepeated(parse_http_url))]
    pub server: Option<Url>,
    /// The data directory of the service, for its admin token
    #[arg(long, env = "OUTBOUND_DATA_DIR", value_name = "DIR", default_value = "./outbound-data")]
    pub data_dir: PathBuf,
    /// A file that holds the admin token
    #[arg(long, env = "OUTBOUND_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
}

impl ServerArgs {
    /// A client for one workspace of the service.
    ///
    /// # Errors
    /// There is no usable token, or the URL cannot be used.
    pub fn workspace(&self, workspace: &WorkspaceId) -> Result<Client, CommandFailure> {
        let (url, token) = self.chosen()?;
        Ok(Client::new(&url, workspace, &token)?)
    }

    /// A client for what belongs to no workspace.
    ///
    /// # Errors
    /// There is no usable token, or the URL cannot be used.
    pub fn service(&self) -> Result<Client, CommandFailure> {
        let (url, token) = self.chosen()?;
        Ok(Client::of_service(&url, &token)?)
    }

    /// The service that is meant; the token comes from the environment, its file or the data directory.
    fn chosen(&self) -> Result<(Url, TokenText), CommandFailure> {
        let url = match &self.server {
            Some(url) => url.clone(),
            None => Url::parse(SERVER_DEFAULT).map_err(|_| ClientBuildError::ServerUrl)?,
        };
        let variable = ADMIN_TOKEN.from_environment();
        Ok((url, token(variable.as_deref(), self.admin_token_file.as_deref(), &self.data_dir)?))
    }
}

fn token(variable: Option<&str>, file: Option<&Path>, data_dir: &Path) -> Result<TokenText, CredentialError> {
    if let Some(token) = admin_token(variable, file, FileSharing::Allowed)? {
        return Ok(token);
    }
    match TokenText::read(&admin_token_file(data_dir), FileSharing::Allowed) {
        Err(CredentialError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Err(CredentialError::NoAdminToken { data_dir: data_dir.to_owned() })
        }
        read => read,
    }
}

/// One of the two.
#[derive(Debug)]
pub enum Transport {
    /// Through a running service.
    Service(Client),
    /// Straight to this Redis, which is not connected to yet.
    Redis(JournalConfig),
}

/// Two transports at once.
#[derive(Debug, thiserror::Error)]
#[error("both --server and --journal are set (by flag or by OUTBOUND_SERVER and OUTBOUND_JOURNAL): keep one")]
pub struct TwoTransports;

impl CommandError for TwoTransports {
    fn exit_code(&self) -> u8 {
        EXIT_USAGE
    }
}

impl TransportArgs {
    /// What the flags ask for. An embedded journal belongs to its running service, so it is reached through that.
    ///
    /// # Errors
    /// Both are asked for, the journal is not understood, or there is no client for the service.
    pub fn chosen(&self, workspace: &WorkspaceId) -> Result<Transport, CommandFailure> {
        let prefix = &self.journal.prefix;
        let parse = |text: &str| self.journal.redis_files.with(parse_journal(text, prefix, true)?);
        match self.journal.named(FileSharing::Allowed)?.as_deref().map(parse).transpose()? {
            Some(JournalConfig::Redis { .. }) if self.server.server.is_some() => Err(TwoTransports.into()),
            Some(config @ JournalConfig::Redis { .. }) => Ok(Transport::Redis(config)),
            Some(JournalConfig::Embedded(Some(path))) if !path.is_file() => Err(InvalidJournal::NoFile { path }.into()),
            Some(JournalConfig::Embedded(_)) | None => self.server.workspace(workspace).map(Transport::Service),
        }
    }
}

/// Connects to a Redis journal, for a subcommand that is not the service. One that was never used
/// gets the default number of shards.
///
/// # Errors
/// The store is away, or cannot be trusted.
pub async fn connect(config: JournalConfig) -> Result<Redis, CommandFailure> {
    let JournalConfig::Redis { url, prefix, allow_volatile, files } = config else {
        return Err(InvalidJournal::Embedded.into());
    };
    let tls = redis_tls(&url, &files)?;
    let options = RedisOptions { prefix, allow_volatile, tls, ..RedisOptions::new(url, now) };
    Ok(Redis::connect(&options).await?)
}

/// Opens a journal that no service has open, for a subcommand that works on it alone. It must have been used before.
///
/// # Errors
/// There is none, a service has it open, or it is away.
pub async fn open_offline(args: &JournalArgs, data_dir: &Path) -> Result<Arc<dyn Journal>, CommandFailure> {
    let named = args.named(FileSharing::Allowed)?;
    let parsed = parse_journal(named.as_deref().unwrap_or("embedded"), &args.prefix, true)?;
    match args.redis_files.with(parsed)? {
        JournalConfig::Embedded(path) => {
            let path = embedded_file(path, data_dir);
            if !path.is_file() {
                return Err(InvalidJournal::NothingThere { path }.into());
            }
            let journal = Embedded::open(&path, None, now).map_err(AppError::Embedded)?;
            Ok(Arc::new(journal))
        }
        config @ JournalConfig::Redis { .. } => {
            // Connecting to one that was never used would fix its number of shards.
            stored_shards(&config).await?.ok_or(UnusedJournal)?;
            Ok(Arc::new(connect(config).await?))
        }
    }
}

/// The Redis was never used.
#[derive(Debug, thiserror::Error)]
#[error("no service has started on this Redis with this --prefix: there is nothing in it")]
pub struct UnusedJournal;

impl CommandError for UnusedJournal {}

/// The number of shards that a Redis journal has; `None` before the first start of a service on it.
///
/// # Errors
/// The store is away, or holds another format.
pub async fn stored_shards(config: &JournalConfig) -> Result<Option<u16>, CommandFailure> {
    match config {
        JournalConfig::Redis { url, prefix, files, .. } => {
            Ok(redis::stored_shards(url, prefix, &redis_tls(url, files)?).await?)
        }
        JournalConfig::Embedded(_) => Err(InvalidJournal::Embedded.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(url: Option<&str>) -> Result<Transport, CommandFailure> {
        let journal = JournalArgs {
            journal: Some("redis://h:1".to_owned()),
            journal_file: None,
            prefix: "outbound".to_owned(),
            redis_files: RedisFileArgs::default(),
        };
        let server = url.map(|url| url.parse().unwrap());
        let server = ServerArgs { server, data_dir: "/nonexistent".into(), admin_token_file: None };
        TransportArgs { journal, server }.chosen(&"acme".parse().unwrap())
    }

    #[test]
    fn a_redis_is_reached_straight_and_two_transports_are_refused() {
        assert!(matches!(chosen(None), Ok(Transport::Redis(_))));
        let both = chosen(Some("http://h")).unwrap_err();
        assert!(both.to_string().contains("keep one"), "{both}");
    }

    #[test]
    fn the_token_in_a_data_directory_opens_its_service() {
        let dir = tempfile::tempdir().unwrap();
        let made = "0123456789abcdef0123456789abcdef";
        std::fs::write(admin_token_file(dir.path()), format!("{made}\n")).unwrap();
        assert_eq!(token(None, None, dir.path()).unwrap().as_str(), made);
        assert!(matches!(token(None, None, Path::new("/nonexistent")), Err(CredentialError::NoAdminToken { .. })));
    }
}
