//! What a node tells the others of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use uuid::Uuid;

use super::error::AppError;
use crate::config::network::EgressRules;
use crate::config::{Config, Durability, SourceForm, TIMEOUT_DEFAULT};
use crate::journal::codec::FORMAT;
use crate::journal::port::NodeRecord;
use crate::workspace::policy::Counting;

/// What this node tells the others of itself.
pub(super) fn record(config: &Config, shards: u16, node: &str, address: SocketAddr) -> Result<NodeRecord, AppError> {
    let static_shards = config.static_shards.clone();
    if let Some(asked) = static_shards.as_ref().filter(|asked| asked.iter().any(|shard| shard >= shards)) {
        return Err(AppError::StaticShards { asked: asked.clone(), shards });
    }
    // Whoever looks for the node finds it under the machine's name when it listens on all addresses.
    let machine = rustix::system::uname();
    let address = match machine.nodename().to_str() {
        Ok(name) if address.ip().is_unspecified() => format!("{name}:{}", address.port()),
        _ => address.to_string(),
    };
    Ok(NodeRecord {
        id: node.to_owned(),
        process: Uuid::new_v4().to_string(),
        address,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        static_shards,
        format: newest_format(config),
        settings: settings(config),
        ..NodeRecord::default()
    })
}

/// The newest format that this node reads and writes.
pub(super) fn newest_format(config: &Config) -> u32 {
    config.format.unwrap_or(FORMAT)
}

/// The flags that decide what comes of a message, so that it is the same whichever node runs its shard or reads its source.
/// Nothing confidential: every node reads it.
fn settings(config: &Config) -> BTreeMap<String, String> {
    // The order says nothing.
    let sources: BTreeSet<&str> = config.sources.iter().map(String::as_str).collect();
    let SourceForm { workspace, message, pointer } = &config.source_form;
    let form = [("--source-fields", format!("workspace={workspace},message={message}"))]
        .into_iter()
        .chain(pointer.as_ref().map(|pointer| ("--source-message", pointer.as_str().to_owned())));
    let durability = match config.durability {
        Durability::Memory => "memory",
        Durability::Local => "local",
        Durability::Replicated => "replicated",
    };
    let counting = match config.policy.counting {
        Counting::Consecutive => "consecutive",
        Counting::SinceSaved => "since-saved",
    };
    let mail = config.mail.as_ref().map(|_| ("--smtp-url", "a mail server".to_owned()));
    let rules = [
        ("--durability", durability.to_owned()),
        ("--error-counting", counting.to_owned()),
        ("--error-limit", config.policy.error_limit.to_string()),
    ];
    let listed = (!sources.is_empty()).then(|| ("--source", sources.into_iter().collect::<Vec<_>>().join(",")));
    let of_sources = listed.into_iter().flat_map(|listed| form.clone().chain([listed]));
    let attempts = attempt_settings(config);
    rules
        .into_iter()
        .chain(mail)
        .chain(of_sources)
        .chain(attempts)
        .map(|(flag, value)| (flag.to_owned(), value))
        .collect()
}

/// Those that decide which attempts fail. Only where they are not the default: a program that tells none has that.
fn attempt_settings(config: &Config) -> impl Iterator<Item = (&'static str, String)> {
    let listed =
        |networks: BTreeSet<String>| (!networks.is_empty()).then(|| networks.into_iter().collect::<Vec<_>>().join(","));
    let EgressRules { allow, deny, require_https } = &config.reach;
    let timeout = Some(format!("{:?}", config.timeout)).filter(|timeout| timeout != TIMEOUT_DEFAULT);
    [
        ("--allow-net", listed(allow.iter().map(ToString::to_string).collect())),
        ("--deny-net", listed(deny.iter().map(ToString::to_string).collect())),
        ("--require-https", require_https.then(|| "true".to_owned())),
        ("--timeout", timeout),
    ]
    .into_iter()
    .filter_map(|(flag, value)| Some((flag, value?)))
}
