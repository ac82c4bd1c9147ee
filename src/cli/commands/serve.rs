//! `outbound serve`: the service. Its flags (`args`) become a [`Config`] (`configuration`); the rest is `app`'s.

mod args;
mod configuration;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;
use uuid::Uuid;

use crate::app::{self, App, Credentials};
use crate::cli::credentials::{
    ADMIN_TOKEN, CredentialError, KeyBytes, SECRET_KEY, TOKEN_KEY, TokenText, admin_token, keyring, token_key,
};
use crate::cli::data_dir::{DataDir, DataDirError};
use crate::cli::failure::CommandFailure;
use crate::cli::runtime::{block_on_threads, stop_signal};
use crate::config::{self, Config, JournalConfig};

pub use args::{CompressionArg, ConfigError, DurabilityArg, ErrorCounting, ServeArgs};

/// Everything that the service needs before it starts.
#[derive(Debug)]
pub struct Prepared {
    /// What it runs with.
    pub config: Config,
    /// What opens its facade.
    pub admin_token: TokenText,
    /// What signs the tokens that open one workspace.
    pub token_key: KeyBytes,
    /// The file that holds the token, when the service keeps it itself.
    pub admin_token_file: Option<PathBuf>,
    /// Who this node is. Held for as long as the service runs.
    pub data_dir: DataDir,
}

/// Runs the service until it is told to stop.
///
/// # Errors
/// Configuration, data directory, or why the service ended.
pub fn run(args: &ServeArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let Prepared { config, admin_token, token_key, admin_token_file, data_dir } = prepare(args)?;
    if let Some(file) = &admin_token_file {
        writeln!(out, "admin token: kept in {}", file.display()).map_err(CommandFailure::output)?;
    }
    if config.mail.is_none() {
        warn!(
            "There is no mail server: no owner is told when errors switch a webhook off; set --smtp-url and --mail-from."
        );
    }
    block_on_threads(async {
        let listener = app::bind(config.listen).await?;
        let credentials = Credentials { admin_token: admin_token.as_str(), token_key: token_key.bytes() };
        let app = App::start(config, listener, &credentials, data_dir.node(), None).await?;
        let stop = stop_signal();
        writeln!(out, "listening on http://{}/", app.address())
            .and_then(|()| out.flush())
            .map_err(CommandFailure::output)?;
        Ok(app.run(stop).await?)
    })
}

/// Turns the flags into what the service needs. Nothing is written before everything is found valid.
///
/// # Errors
/// Configuration (exit code 2) or data directory (1).
pub fn prepare(args: &ServeArgs) -> Result<Prepared, CommandFailure> {
    let sharing = args.sharing();
    let variable = SECRET_KEY.from_environment();
    let keyring = keyring(variable.as_deref(), args.secret_key_file.as_deref(), sharing, rand::random)?;
    let config = Config { keyring: Arc::new(keyring), ..configuration::config(args)? };
    let variable = ADMIN_TOKEN.from_environment();
    let chosen_token = admin_token(variable.as_deref(), args.admin_token_file.as_deref(), sharing)?;
    if chosen_token.is_none() && !config.listen.ip().is_loopback() {
        return Err(CredentialError::Unprotected { listen: config.listen }.into());
    }
    let variable = TOKEN_KEY.from_environment();
    let chosen_key = token_key(variable.as_deref(), args.token_key_file.as_deref(), chosen_token.as_ref(), sharing)?;
    let data_dir = DataDir::open(&config.data_dir, Uuid::new_v4(), sharing)?;
    if let Some(file) = embedded_file(&config) {
        sharing.check_path(&file).map_err(DataDirError::Exposed)?;
    }
    let (admin_token, admin_token_file) = match chosen_token {
        Some(token) => (token, None),
        None => data_dir.admin_token(&mut rand::rng()).map(|(token, file)| (token, Some(file)))?,
    };
    let token_key = match chosen_key {
        Some(key) => key,
        None => own_token_key(&config, &data_dir)?,
    };
    Ok(Prepared { config, admin_token, token_key, admin_token_file, data_dir })
}

/// The file of an embedded journal: it holds messages and signing secrets.
fn embedded_file(config: &Config) -> Option<PathBuf> {
    match &config.journal {
        JournalConfig::Embedded(path) => Some(config::embedded_file(path.clone(), &config.data_dir)),
        JournalConfig::Redis { .. } => None,
    }
}

/// The key that this node made for itself.
fn own_token_key(config: &Config, data_dir: &DataDir) -> Result<KeyBytes, CommandFailure> {
    let (key, file) = data_dir.token_key(&mut rand::rng())?;
    if matches!(config.journal, JournalConfig::Redis { .. }) {
        warn!(
            file = %file.display(),
            "The key of workspace tokens is kept on this node alone; other nodes take its tokens only with the same \
             key in {}.",
            TOKEN_KEY.variable
        );
    }
    Ok(key)
}

#[cfg(test)]
mod tests;
