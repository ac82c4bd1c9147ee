//! `outbound rejected`: what was set aside, its way back, and its end, through a running service.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::str::FromStr;

use clap::builder::NonEmptyStringValueParser;
use serde_json::value::RawValue;

use crate::cli::client::{Client, RequestError};
use crate::cli::failure::{CommandError, CommandFailure};
use crate::cli::output::{printable, printable_json};
use crate::cli::runtime::block_on;
use crate::cli::transport::ServerArgs;
use crate::cli::values::whole_number;
use crate::config::{REJECTED_KINDS_MAX, SHARDS_MAX};
use crate::journal::rejected::reason_kind;
use crate::message::{EntryId, WorkspaceId};

/// The flags of `outbound rejected`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct RejectedArgs {
    /// What to do
    #[command(subcommand)]
    pub action: RejectedAction,
}

/// What to do with rejected entries.
#[derive(Debug, clap::Subcommand)]
pub enum RejectedAction {
    /// List them, by shard and oldest first
    List {
        /// Only those of this shard
        #[arg(long, env = "OUTBOUND_SHARD", value_name = "SHARD", value_parser = whole_number::<u16>(0, u64::from(SHARDS_MAX - 1)))]
        shard: Option<u16>,
        /// Print one JSON object a line
        #[arg(long, env = "OUTBOUND_JSON", value_parser = crate::cli::values::parse_yes)]
        json: bool,
        /// The service
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show one with its fields, as JSON
    Show {
        /// The entry, as the list names it
        #[arg(value_name = "SHARD/ID")]
        entry: RejectedName,
        /// The service
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Delete entries for good
    #[command(override_usage = DISCARD_USAGE)]
    Discard {
        /// The entries, as the list names them
        #[arg(value_name = "SHARD/ID", required_unless_present_any = ["all", "reason"])]
        entries: Vec<RejectedName>,
        /// Those of this reason, as the list tells it
        #[arg(long, env = "OUTBOUND_REASON", value_name = "TEXT", value_parser = NonEmptyStringValueParser::new(), conflicts_with_all = ["entries", "all"])]
        reason: Option<String>,
        /// Every entry
        #[arg(long, env = "OUTBOUND_ALL", value_parser = crate::cli::values::parse_yes, conflicts_with = "entries", requires = "yes")]
        all: bool,
        /// With --all or --reason: only those of this shard
        #[arg(long, env = "OUTBOUND_SHARD", value_name = "SHARD", conflicts_with = "entries", value_parser = whole_number::<u16>(0, u64::from(SHARDS_MAX - 1)))]
        shard: Option<u16>,
        /// With --all: they are to go for good
        #[arg(long, env = "OUTBOUND_YES", value_parser = crate::cli::values::parse_yes)]
        yes: bool,
        /// The service
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Check entries again and move the valid ones to the stream that their workspace belongs to
    #[command(override_usage = REQUEUE_USAGE)]
    Requeue {
        /// The entries, as the list names them
        #[arg(value_name = "SHARD/ID", required_unless_present = "all")]
        entries: Vec<RejectedName>,
        /// Every entry that the list shows now
        #[arg(long, env = "OUTBOUND_ALL", value_parser = crate::cli::values::parse_yes, conflicts_with = "entries")]
        all: bool,
        /// With --all: only those of this shard
        #[arg(long, env = "OUTBOUND_SHARD", value_name = "SHARD", requires = "all", value_parser = whole_number::<u16>(0, u64::from(SHARDS_MAX - 1)))]
        shard: Option<u16>,
        /// The service
        #[command(flatten)]
        server: ServerArgs,
    },
}

// Which of the arguments go together is more than the library tells.
const DISCARD_USAGE: &str = "\
outbound rejected discard <SHARD/ID>...
       outbound rejected discard --reason <TEXT> [--shard <SHARD>]
       outbound rejected discard --all --yes [--shard <SHARD>]";
const REQUEUE_USAGE: &str = "\
outbound rejected requeue <SHARD/ID>...
       outbound rejected requeue --all [--shard <SHARD>]";

const AFTER_HELP: &str = "\
An entry that is no valid message, or stands in another shard's stream than its workspace's, is set \
aside with the reason. Requeued, it is checked again; what is still not valid stays, and the exit code \
is 1. A requeued message goes behind everything that waits. Discarded, it is gone for good, and the \
service stops naming it in /readyz.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.

Examples:
  outbound rejected list
  outbound rejected list --shard 7 --json
  outbound rejected show 7/1769860800001-0
  outbound rejected requeue 7/1769860800001-0 9/1769860800002-0
  outbound rejected requeue --all
  outbound rejected discard 7/1769860800001-0
  outbound rejected discard --reason 'the message is not JSON'
  outbound rejected discard --all --yes";

/// The name of an entry that is set aside: `<shard>/<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectedName {
    shard: u16,
    id: EntryId,
}

impl FromStr for RejectedName {
    type Err = InvalidRejectedName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (shard, id) = text.split_once('/').ok_or(InvalidRejectedName)?;
        Ok(Self {
            shard: shard.parse().map_err(|_| InvalidRejectedName)?,
            id: id.parse().map_err(|_| InvalidRejectedName)?,
        })
    }
}

/// The text names no rejected entry.
#[derive(Debug, thiserror::Error)]
#[error("a rejected entry is named <shard>/<id>, such as 7/1769860800001-0: see `outbound rejected list`")]
pub struct InvalidRejectedName;

impl fmt::Display for RejectedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shard, self.id)
    }
}

/// Why it did not do everything.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum RejectedError {
    /// It ended before its end.
    #[error("{done} were {verb} and it stopped at {at}; list the rejected entries to see what is left")]
    Stopped {
        done: usize,
        verb: &'static str,
        at: RejectedName,
        #[source]
        source: RequestError,
    },
    /// Some stayed where they are.
    #[error("{left} of {all} were not {verb}; each line above says why")]
    Left { left: usize, all: usize, verb: &'static str },
}

impl CommandError for RejectedError {}

/// Does it.
///
/// # Errors
/// There is no usable token, the service does not answer or refuses, or an entry was not requeued.
pub fn run(args: &RejectedArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    match &args.action {
        RejectedAction::List { shard, json, server } => block_on(list(&server.service()?, *shard, *json, out)),
        RejectedAction::Show { entry, server } => block_on(show(&server.service()?, *entry, out)),
        RejectedAction::Discard { entries, reason, all, shard, yes: _, server } => {
            let client = server.service()?;
            block_on(async {
                match (reason, all) {
                    (None, false) => discard(&client, entries, out).await,
                    (reason, _) => discard_many(&client, reason.as_deref(), *shard, out).await,
                }
            })
        }
        RejectedAction::Requeue { entries, all, shard, server } => {
            let client = server.service()?;
            block_on(async {
                let wanted = if *all { ids(&client, *shard).await? } else { entries.clone() };
                requeue(&client, &wanted, out).await
            })
        }
    }
}

/// What a list says of an entry.
#[derive(Debug, serde::Deserialize)]
struct ListedRejection {
    shard: u16,
    id: EntryId,
    at: String,
    reason: String,
    workspace: Option<WorkspaceId>,
}

async fn each_rejected(
    client: &Client,
    shard: Option<u16>,
    take: impl FnMut(&RawValue) -> Result<(), CommandFailure>,
) -> Result<(), CommandFailure> {
    let shard = shard.map(|shard| shard.to_string());
    client.each_line("rejected", &[("shard", shard.as_deref())], take).await
}

fn parsed(line: &RawValue) -> Result<ListedRejection, CommandFailure> {
    Ok(serde_json::from_str(line.get()).map_err(RequestError::Strange)?)
}

async fn list(client: &Client, shard: Option<u16>, json: bool, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let mut count = 0_u64;
    let mut by_kind = BTreeMap::<String, u64>::new();
    each_rejected(client, shard, |line| {
        count += 1;
        let written = if json {
            writeln!(out, "{}", printable_json(line.get()))
        } else {
            let ListedRejection { shard, id, at, reason, workspace } = parsed(line)?;
            let kind = reason_kind(&reason);
            if by_kind.len() < REJECTED_KINDS_MAX || by_kind.contains_key(&kind) {
                *by_kind.entry(kind).or_default() += 1;
            }
            let workspace = workspace.as_ref().map_or("-", WorkspaceId::as_str);
            // A reason may quote what a producer wrote: no control character reaches the terminal.
            writeln!(out, "{shard}/{id}  {}  {workspace}  {}", at.escape_debug(), printable(&reason))
        };
        written.map_err(CommandFailure::output)
    })
    .await?;
    if json {
        return Ok(());
    }
    let noun = if count == 1 { "entry" } else { "entries" };
    writeln!(out, "{count} rejected {noun}").map_err(CommandFailure::output)?;
    let mut by_kind: Vec<(String, u64)> = by_kind.into_iter().collect();
    by_kind.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (kind, count) in by_kind {
        writeln!(out, "{count:>7}  {}", printable(&kind)).map_err(CommandFailure::output)?;
    }
    Ok(())
}

async fn show(client: &Client, entry: RejectedName, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let RejectedName { shard, id } = entry;
    let path = ["rejected", &shard.to_string(), &id.to_string()];
    let entry: serde_json::Value = client.get(&path).await?;
    writeln!(out, "{}", printable_json(&format!("{entry:#}"))).map_err(CommandFailure::output)
}

/// Every entry that the list shows: named before the first one is moved, so that one that is
/// rejected again does not come round for ever.
async fn ids(client: &Client, shard: Option<u16>) -> Result<Vec<RejectedName>, CommandFailure> {
    let mut ids = Vec::new();
    each_rejected(client, shard, |line| {
        let ListedRejection { shard, id, .. } = parsed(line)?;
        ids.push(RejectedName { shard, id });
        Ok(())
    })
    .await?;
    Ok(ids)
}

async fn requeue(client: &Client, wanted: &[RejectedName], out: &mut dyn Write) -> Result<(), CommandFailure> {
    #[derive(serde::Deserialize)]
    struct RequeuedEntry {
        workspace: WorkspaceId,
        shard: u16,
        id: EntryId,
    }
    let requeue = async |RejectedName { shard, id }: RejectedName| {
        let path = ["rejected", &shard.to_string(), &id.to_string(), "requeue"];
        let RequeuedEntry { workspace, shard, id } = client.post(&path).await?;
        Ok(Some(format!("requeued as {shard}/{id} of {workspace}")))
    };
    each(wanted, "requeued", requeue, out).await
}

async fn discard(client: &Client, wanted: &[RejectedName], out: &mut dyn Write) -> Result<(), CommandFailure> {
    let discard = async |RejectedName { shard, id }: RejectedName| {
        client.delete(&["rejected", &shard.to_string(), &id.to_string()]).await?;
        Ok(None)
    };
    each(wanted, "discarded", discard, out).await
}

/// Does it to each, and prints what it says of it. What is refused alone stays, and the next one has its turn.
async fn each(
    wanted: &[RejectedName],
    verb: &'static str,
    does: impl AsyncFn(RejectedName) -> Result<Option<String>, RequestError>,
    out: &mut dyn Write,
) -> Result<(), CommandFailure> {
    let mut left = 0;
    for (done, entry) in wanted.iter().enumerate() {
        let told = match does(*entry).await {
            Ok(told) => told,
            Err(RequestError::Refused { status: 404 | 422, detail, .. }) => {
                left += 1;
                Some(printable(&detail))
            }
            Err(source) => return Err(RejectedError::Stopped { done: done - left, verb, at: *entry, source }.into()),
        };
        if let Some(told) = told {
            writeln!(out, "{entry}: {told}").map_err(CommandFailure::output)?;
        }
    }
    if left > 0 {
        return Err(RejectedError::Left { left, all: wanted.len(), verb }.into());
    }
    writeln!(out, "{verb} {}", entries(wanted.len() as u64)).map_err(CommandFailure::output)
}

/// Discards what there is of a reason, or all, until the service has no more of it.
async fn discard_many(
    client: &Client,
    reason: Option<&str>,
    shard: Option<u16>,
    out: &mut dyn Write,
) -> Result<(), CommandFailure> {
    #[derive(serde::Deserialize)]
    struct DiscardedPart {
        discarded: u64,
        more: bool,
    }
    let shard = shard.map(|shard| shard.to_string());
    let which = reason.map_or(("all", "true"), |reason| ("reason", reason));
    let mut total = 0;
    loop {
        let parameters = [which].into_iter().chain(shard.as_deref().map(|shard| ("shard", shard)));
        let part: DiscardedPart = client.delete_with(&["rejected"], parameters).await?;
        total += part.discarded;
        if !part.more {
            writeln!(out, "discarded {}", entries(total)).map_err(CommandFailure::output)?;
            // What one shard has not, another one may have.
            let unknown = reason.filter(|_| total == 0 && shard.is_none());
            return match unknown {
                Some(_) => {
                    writeln!(out, "nothing is set aside for that reason: `outbound rejected list` tells the reasons")
                        .map_err(CommandFailure::output)
                }
                None => Ok(()),
            };
        }
    }
}

/// `1 entry`, `3 entries`.
fn entries(count: u64) -> String {
    format!("{count} {}", if count == 1 { "entry" } else { "entries" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_named_by_shard_and_id() {
        let entry = "7/1769860800001-0".parse::<RejectedName>().unwrap();
        assert_eq!(entry, RejectedName { shard: 7, id: EntryId { ms: 1_769_860_800_001, n: 0 } });
        assert_eq!(entry.to_string(), "7/1769860800001-0");
        for text in ["", "7", "7/", "7/5", "x/5-0", "-1/5-0", "7/5-0/1", "70000/5-0"] {
            assert!(text.parse::<RejectedName>().is_err(), "{text}");
        }
    }
}
