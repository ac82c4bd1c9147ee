//! `outbound workspaces`: which there are and how they are, through a running service.

use std::io::Write;

use clap::builder::NonEmptyStringValueParser;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::client::{Client, RequestError};
use crate::cli::failure::CommandFailure;
use crate::cli::output::{beginning, printable, printable_json};
use crate::cli::runtime::block_on;
use crate::cli::transport::ServerArgs;
use crate::workspace::configuration::WebhookStatus;

/// The flags of `outbound workspaces`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct WorkspacesArgs {
    /// Only those with this status
    #[arg(long, env = "OUTBOUND_STATUS", value_name = "STATUS", value_parser = WebhookStatus::ALL.map(WebhookStatus::as_str))]
    pub status: Option<String>,
    /// Only those whose ids begin so
    #[arg(long, env = "OUTBOUND_ID_PREFIX", value_name = "PREFIX", visible_alias = "prefix", value_parser = NonEmptyStringValueParser::new())]
    pub id_prefix: Option<String>,
    /// Print one JSON object a line
    #[arg(long, env = "OUTBOUND_JSON", value_parser = crate::cli::values::parse_yes)]
    pub json: bool,
    /// The service
    #[command(flatten)]
    pub server: ServerArgs,
}

const AFTER_HELP: &str = "\
One line each, in order of their ids: id, status, the URL's host, errors in a row, messages skipped, the last \
attempt and why it failed.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.

Examples:
  outbound workspaces
  outbound workspaces --status disabled_by_errors
  outbound workspaces --id-prefix acme- --json";

/// What a list says of a workspace.
#[derive(Deserialize)]
struct ListedLine {
    workspace: String,
    status: Option<String>,
    host: Option<String>,
    consecutive_errors: Option<u32>,
    skipped: Option<ListedSkipped>,
    last_attempt: Option<ListedAttempt>,
}

#[derive(Deserialize)]
struct ListedSkipped {
    count: u64,
}

#[derive(Deserialize)]
struct ListedAttempt {
    at: String,
    outcome: String,
    error: Option<ListedError>,
}

#[derive(Deserialize)]
struct ListedError {
    detail: String,
}

/// Does it, one page in memory at a time.
///
/// # Errors
/// There is no usable token, or the service does not answer or refuses.
pub fn run(args: &WorkspacesArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let client = args.server.service()?;
    block_on(list(&client, args, out))
}

async fn list(client: &Client, args: &WorkspacesArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let mut count = 0_u64;
    let wanted = [("status", args.status.as_deref()), ("prefix", args.id_prefix.as_deref())];
    let print = |line: &RawValue| {
        count += 1;
        let text = if args.json { printable_json(line.get()) } else { shown(line)? };
        writeln!(out, "{text}").map_err(CommandFailure::output)
    };
    client.each_line("workspaces", &wanted, print).await?;
    if args.json {
        return Ok(());
    }
    let noun = if count == 1 { "workspace" } else { "workspaces" };
    writeln!(out, "{count} {noun}").map_err(CommandFailure::output)
}

/// Characters that are printed of why an attempt failed, so that a line stays one line of most terminals.
const WHY_MAX: usize = 160;

fn shown(line: &RawValue) -> Result<String, CommandFailure> {
    let line: ListedLine = serde_json::from_str(line.get()).map_err(RequestError::Strange)?;
    let id = printable(&line.workspace);
    let Some(status) = line.status else { return Ok(format!("{id}  cannot be read; the log of the service says why")) };
    let errors = line.consecutive_errors.unwrap_or_default();
    let skipped = line.skipped.map_or(0, |skipped| skipped.count);
    let last = line.last_attempt.map_or_else(
        || "no attempt".to_owned(),
        |attempt| {
            let why = attempt.error.map(|error| format!(": {}", beginning(&error.detail, WHY_MAX))).unwrap_or_default();
            format!("{} at {}{why}", printable(&attempt.outcome), printable(&attempt.at))
        },
    );
    let host = printable(line.host.as_deref().unwrap_or("-"));
    Ok(format!("{id}  {}  {host}  errors {errors}  skipped {skipped}  {last}", printable(&status)))
}
