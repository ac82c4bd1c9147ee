//! What `serve` runs with, made of its flags.

use std::collections::BTreeSet;
use std::sync::Arc;

use url::Url;

use super::args::{CompressionArg, ConfigError, DurabilityArg, ErrorCounting, ServeArgs};
use crate::cli::credentials::SMTP_URL;
use crate::cli::failure::CommandFailure;
use crate::cli::runtime::raise_descriptor_limit;
use crate::cli::transport::JournalArgs;
use crate::cli::values::{is_plain_http, parse_journal};
use crate::config::network::EgressRules;
use crate::config::{
    COMPRESSION_DEFAULT, Compression, Config, Durability, JournalConfig, MailConfig, NameSource, SourceFields,
    SourceForm, TIMEOUT_MAX,
};
use crate::workspace::Policy;
use crate::workspace::policy::Counting;

/// What the flags ask for.
///
/// # Errors
/// See [`ConfigError`], and those of files that are named.
pub(super) fn config(args: &ServeArgs) -> Result<Config, CommandFailure> {
    let mail = mail(args)?;
    let policy = policy(args, mail.is_some())?;
    let journal = journal(args)?;
    let compression = match (args.journal_compression, &journal) {
        (Some(CompressionArg::Zstd), JournalConfig::Embedded(_)) => return Err(ConfigError::EmbeddedCompression.into()),
        (Some(CompressionArg::None), _) | (None, JournalConfig::Embedded(_)) => Compression::None,
        (Some(CompressionArg::Zstd), JournalConfig::Redis { .. }) => Compression::Zstd,
        (None, JournalConfig::Redis { .. }) => COMPRESSION_DEFAULT,
    };
    if args.journal_format.is_some() && matches!(journal, JournalConfig::Embedded(_)) {
        return Err(ConfigError::EmbeddedFormat.into());
    }
    if args.static_shards.is_some() && matches!(journal, JournalConfig::Embedded(_)) {
        return Err(ConfigError::EmbeddedStaticShards.into());
    }
    let durability = durability(args, &journal)?;
    let source_form = source_form(args, &journal)?;
    Ok(Config {
        journal,
        durability,
        compression,
        format: args.journal_format,
        data_dir: args.data_dir.clone(),
        shards: args.shards,
        sources: sources(args),
        source_form,
        static_shards: args.static_shards.clone(),
        policy,
        timeout: args.timeout,
        in_flight_max: usize::try_from(args.max_in_flight).unwrap_or(usize::MAX),
        reach: EgressRules {
            allow: args.allow_net.clone(),
            deny: args.deny_net.clone(),
            require_https: args.require_https,
        },
        mail,
        keyring: Arc::default(),
        without_keys: args.without_keys.clone(),
        listen: args.listen,
        public_url: args.public_url.as_ref().map(public_url).transpose()?,
        arbiters: std::thread::available_parallelism().map_or(1, usize::from),
        descriptors: raise_descriptor_limit(),
        names: NameSource::default(),
        canary: args.canary.clone(),
        log_max_age: args.log_max_age,
    })
}

/// The rules' numbers.
fn policy(args: &ServeArgs, mail_server: bool) -> Result<Policy, ConfigError> {
    if args.timeout > TIMEOUT_MAX {
        return Err(ConfigError::Timeout { timeout: args.timeout });
    }
    for (asked, flag) in [(args.mail_warning, "--mail-warning"), (args.mail_recovered, "--mail-recovered")] {
        if asked && !mail_server {
            return Err(ConfigError::NoMail { flag });
        }
    }
    let (workspace, node) = (args.max_in_flight_per_workspace, args.max_in_flight);
    if workspace > node {
        return Err(ConfigError::InFlight { workspace, node });
    }
    Ok(Policy {
        error_limit: args.error_limit,
        counting: match args.error_counting {
            ErrorCounting::Consecutive => Counting::Consecutive,
            ErrorCounting::SinceSaved => Counting::SinceSaved,
        },
        in_flight_max: workspace,
        mail_server,
        mail_warning: args.mail_warning,
        mail_recovered: args.mail_recovered,
    })
}

/// Where everything is remembered.
fn journal(args: &ServeArgs) -> Result<JournalConfig, CommandFailure> {
    let JournalArgs { prefix, redis_files, .. } = &args.journal;
    let named = args.journal.named(args.sharing())?;
    if let Some(key) = &redis_files.redis_key {
        let exposed = |source| ConfigError::RedisKey { path: key.clone(), source };
        args.sharing().check_path(key).map_err(exposed)?;
    }
    let journal = parse_journal(named.as_deref().unwrap_or("embedded"), prefix, args.allow_volatile_redis)?;
    Ok(redis_files.with(journal)?)
}

/// When what is stored counts as stored.
fn durability(args: &ServeArgs, journal: &JournalConfig) -> Result<Durability, ConfigError> {
    match (args.durability, journal) {
        (DurabilityArg::Memory, _) => Ok(Durability::Memory),
        // What the embedded journal answers is on disk.
        (DurabilityArg::Local, _) => Ok(Durability::Local),
        (DurabilityArg::Replicated, JournalConfig::Redis { .. }) => Ok(Durability::Replicated),
        (DurabilityArg::Replicated, JournalConfig::Embedded(_)) => Err(ConfigError::EmbeddedReplica),
    }
}

/// Each stream once: two hand-overs of one would each pass over what the other one has.
fn sources(args: &ServeArgs) -> Vec<String> {
    let mut seen = BTreeSet::new();
    args.sources.iter().filter(|source| seen.insert(source.as_str())).cloned().collect()
}

/// How the entries of sources are read.
fn source_form(args: &ServeArgs, journal: &JournalConfig) -> Result<SourceForm, ConfigError> {
    if args.sources.is_empty() {
        let flags =
            [(args.source_fields.is_some(), "--source-fields"), (args.source_message.is_some(), "--source-message")];
        let alone = flags.into_iter().find(|(given, _)| *given);
        return alone.map_or_else(|| Ok(SourceForm::default()), |(_, flag)| Err(ConfigError::NoSource { flag }));
    }
    if matches!(journal, JournalConfig::Embedded(_)) {
        return Err(ConfigError::EmbeddedSource);
    }
    let form = SourceForm { pointer: args.source_message.clone(), ..SourceForm::default() };
    Ok(match args.source_fields.clone() {
        Some(SourceFields { workspace, message }) => SourceForm { workspace, message, ..form },
        None => form,
    })
}

fn mail(args: &ServeArgs) -> Result<Option<MailConfig>, CommandFailure> {
    let smtp_url = match &args.smtp_url_file {
        Some(file) => Some(SMTP_URL.file_text(file, args.sharing())?),
        None => args.smtp_url.clone(),
    };
    Ok(mail_by(args, smtp_url.as_deref())?)
}

fn mail_by(args: &ServeArgs, smtp_url: Option<&str>) -> Result<Option<MailConfig>, ConfigError> {
    let (smtp_url, from) = match (smtp_url, args.mail_from.as_deref()) {
        (None, None) if args.smtp_hello.is_some() => return Err(ConfigError::NoMail { flag: "--smtp-hello" }),
        (None, None) if args.smtp_ca.is_some() => return Err(ConfigError::NoMail { flag: "--smtp-ca" }),
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(ConfigError::NoSender),
        (None, Some(_)) => return Err(ConfigError::NoMailServer),
        (Some(smtp_url), Some(from)) => (smtp_url, from),
    };
    let url = Url::parse(smtp_url).map_err(|_| ConfigError::SmtpUrl)?;
    if !matches!(url.scheme(), "smtp" | "smtps") || url.host_str().is_none_or(str::is_empty) {
        return Err(ConfigError::SmtpUrl);
    }
    // Only its shape; the mailer reads it fully.
    let shaped = from.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
    if !shaped {
        return Err(ConfigError::Sender { from: from.to_owned() });
    }
    let (hello, authorities) = (args.smtp_hello.clone(), args.smtp_ca.clone());
    Ok(Some(MailConfig { smtp_url: smtp_url.to_owned(), from: from.to_owned(), hello, authorities }))
}

/// Without a slash at its end, so that a path can be put behind it.
fn public_url(url: &Url) -> Result<String, ConfigError> {
    if !is_plain_http(url) {
        let mut shown = url.clone();
        shown.set_password(None).ok();
        return Err(ConfigError::PublicUrl { url: shown.into() });
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}
