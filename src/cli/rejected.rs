//! `outbound rejected`: what was set aside, and its way back, through a running service.

use std::fmt;
use std::io::Write;
use std::str::FromStr;

use serde_json::value::RawValue;

use super::client::{Client, SendError};
use super::server::ServerArgs;
use super::{EXIT_FAILED, block_on, printable};
use crate::message::{EntryId, WorkspaceId};

/// The flags of `outbound rejected`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct RejectedArgs {
    /// What to do
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with rejected entries.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// List them, by shard and oldest first
    List {
        /// Only those of this shard
        #[arg(long, env = "OUTBOUND_SHARD", value_name = "SHARD")]
        shard: Option<u16>,
        /// Print one JSON object a line
        #[arg(long, env = "OUTBOUND_JSON")]
        json: bool,
        /// The service
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Show one with its fields, as JSON
    Show {
        /// The entry, as the list names it
        #[arg(value_name = "SHARD/ID")]
        entry: Place,
        /// The service
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Check entries again and move the valid ones to the stream that their workspace belongs to
    Requeue {
        /// The entries, as the list names them
        #[arg(value_name = "SHARD/ID", required_unless_present = "all")]
        entries: Vec<Place>,
        /// Every entry that the list shows now
        #[arg(long, env = "OUTBOUND_ALL", conflicts_with = "entries")]
        all: bool,
        /// With --all: only those of this shard
        #[arg(long, env = "OUTBOUND_SHARD", value_name = "SHARD", requires = "all")]
        shard: Option<u16>,
        /// The service
        #[command(flatten)]
        server: ServerArgs,
    },
}

const AFTER_HELP: &str = "\
An entry that is no valid message, or stands in another shard's stream than its workspace's, is set
aside with the reason. Requeued, it is checked again; what is still not valid stays, and the exit code
is 1. A requeued message goes behind everything that waits.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.

Examples:
  outbound rejected list
  outbound rejected list --shard 7 --json
  outbound rejected show 7/1769860800001-0
  outbound rejected requeue 7/1769860800001-0 9/1769860800002-0
  outbound rejected requeue --all";

/// Where an entry is set aside: `<shard>/<id>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    shard: u16,
    id: EntryId,
}

impl FromStr for Place {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (shard, id) = text.split_once('/').ok_or(InvalidPlace)?;
        Ok(Self { shard: shard.parse().map_err(|_| InvalidPlace)?, id: id.parse().map_err(|_| InvalidPlace)? })
    }
}

/// The text names no rejected entry.
#[derive(Debug, thiserror::Error)]
#[error("a rejected entry is named <shard>/<id>, such as 7/1769860800001-0: see `outbound rejected list`")]
pub struct InvalidPlace;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shard, self.id)
    }
}

/// Why it did not do everything.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum Error {
    /// The service refused, or is away.
    #[error(transparent)]
    Service(#[from] SendError),
    /// Requeueing ended before its end.
    #[error("{requeued} were requeued and it stopped at {at}; list the rejected entries to see what is left")]
    Stopped {
        requeued: usize,
        at: Place,
        #[source]
        source: SendError,
    },
    /// Some were not requeued.
    #[error("{left} of {all} were not requeued; each line above says why")]
    Left { left: usize, all: usize },
}

impl Error {
    /// Whatever it is, something failed.
    #[must_use]
    pub fn exit(&self) -> u8 {
        EXIT_FAILED
    }
}

/// Does it.
///
/// # Errors
/// There is no usable token, the service does not answer or refuses, or an entry was not requeued.
pub fn run(args: &RejectedArgs, out: &mut dyn Write) -> Result<(), super::Error> {
    match &args.action {
        Action::List { shard, json, server } => block_on(list(&client(server)?, *shard, *json, out)),
        Action::Show { entry, server } => block_on(show(&client(server)?, *entry, out)),
        Action::Requeue { entries, all, shard, server } => {
            let client = client(server)?;
            block_on(async {
                let wanted = if *all { places(&client, *shard).await? } else { entries.clone() };
                requeue(&client, &wanted, out).await
            })
        }
    }
}

fn client(server: &ServerArgs) -> Result<Client, super::Error> {
    Ok(Client::of_service(&server.chosen()?)?)
}

/// What a list says of an entry.
#[derive(Debug, serde::Deserialize)]
struct Line {
    shard: u16,
    id: EntryId,
    at: String,
    reason: String,
    workspace: Option<WorkspaceId>,
}

#[derive(serde::Deserialize)]
struct Page {
    rejected: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// Hands every line of the list to `take`, one page in memory at a time.
async fn each_line(
    client: &Client,
    shard: Option<u16>,
    mut take: impl FnMut(&RawValue) -> Result<(), super::Error>,
) -> Result<(), super::Error> {
    let shard = shard.map(|shard| shard.to_string());
    let mut after = None;
    loop {
        let parameters = [("shard", &shard), ("after", &after)];
        let parameters = parameters.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?)));
        let page: Page = client.get_with(&["rejected"], parameters).await.map_err(Error::from)?;
        for line in &page.rejected {
            take(line)?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

fn parsed(line: &RawValue) -> Result<Line, super::Error> {
    serde_json::from_str(line.get()).map_err(|error| Error::Service(SendError::Strange(error)).into())
}

async fn list(client: &Client, shard: Option<u16>, json: bool, out: &mut dyn Write) -> Result<(), super::Error> {
    let mut count = 0_u64;
    each_line(client, shard, |line| {
        count += 1;
        let written = if json {
            writeln!(out, "{}", line.get())
        } else {
            let Line { shard, id, at, reason, workspace } = parsed(line)?;
            let workspace = workspace.as_ref().map_or("-", WorkspaceId::as_str);
            // A reason may quote what a producer wrote: no control character reaches the terminal.
            writeln!(out, "{shard}/{id}  {}  {workspace}  {}", at.escape_debug(), printable(&reason))
        };
        written.map_err(super::Error::Output)
    })
    .await?;
    if json {
        return Ok(());
    }
    let noun = if count == 1 { "entry" } else { "entries" };
    writeln!(out, "{count} rejected {noun}").map_err(super::Error::Output)
}

async fn show(client: &Client, place: Place, out: &mut dyn Write) -> Result<(), super::Error> {
    let Place { shard, id } = place;
    let path = ["rejected", &shard.to_string(), &id.to_string()];
    let entry: serde_json::Value = client.get(&path).await.map_err(Error::from)?;
    writeln!(out, "{entry:#}").map_err(super::Error::Output)
}

/// Every entry that the list shows: named before the first one is moved, so that one that is
/// rejected again does not come round for ever.
async fn places(client: &Client, shard: Option<u16>) -> Result<Vec<Place>, super::Error> {
    let mut places = Vec::new();
    each_line(client, shard, |line| {
        let Line { shard, id, .. } = parsed(line)?;
        places.push(Place { shard, id });
        Ok(())
    })
    .await?;
    Ok(places)
}

async fn requeue(client: &Client, wanted: &[Place], out: &mut dyn Write) -> Result<(), super::Error> {
    #[derive(serde::Deserialize)]
    struct Moved {
        workspace: WorkspaceId,
        shard: u16,
        id: EntryId,
    }
    let mut left = 0;
    for (done, place) in wanted.iter().enumerate() {
        let Place { shard, id } = place;
        let path = ["rejected", &shard.to_string(), &id.to_string(), "requeue"];
        let told = match client.post(&path).await {
            Ok(Moved { workspace, shard, id }) => writeln!(out, "{place}: requeued as {shard}/{id} of {workspace}"),
            Err(SendError::Refused { status: 404 | 422, detail }) => {
                left += 1;
                writeln!(out, "{place}: {}", printable(&detail))
            }
            Err(source) => return Err(Error::Stopped { requeued: done - left, at: *place, source }.into()),
        };
        told.map_err(super::Error::Output)?;
    }
    if left > 0 {
        return Err(Error::Left { left, all: wanted.len() }.into());
    }
    let noun = if wanted.len() == 1 { "entry" } else { "entries" };
    writeln!(out, "requeued {} {noun}", wanted.len()).map_err(super::Error::Output)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_named_by_shard_and_id() {
        let place = "7/1769860800001-0".parse::<Place>().unwrap();
        assert_eq!(place, Place { shard: 7, id: EntryId { ms: 1_769_860_800_001, n: 0 } });
        assert_eq!(place.to_string(), "7/1769860800001-0");
        for text in ["", "7", "7/", "7/5", "x/5-0", "-1/5-0", "7/5-0/1", "70000/5-0"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
