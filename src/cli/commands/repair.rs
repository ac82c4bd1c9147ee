//! `outbound repair`: what can still be read of a workspace whose stored data is damaged, through a running service.

use std::io::Write;

use bytes::Bytes;
use serde::Deserialize;

use crate::cli::failure::CommandFailure;
use crate::cli::output::printable;
use crate::cli::runtime::block_on;
use crate::cli::transport::ServerArgs;
use crate::message::WorkspaceId;

/// The flags of `outbound repair`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct RepairArgs {
    /// The workspace that cannot be loaded
    #[arg(value_name = "WORKSPACE")]
    pub workspace: WorkspaceId,
    /// The service
    #[command(flatten)]
    pub server: ServerArgs,
}

const AFTER_HELP: &str = "\
For a workspace that answers 503 `workspace-unavailable` because what is stored of it is damaged; the log says why. \
What can be read is kept, what is lost is printed, a line each. Messages that wait are delivered then. One that \
is whole stays as it is. To begin without anything of it: DELETE /v1/workspaces/WORKSPACE.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.

Examples:
  outbound repair acme";

/// What the service answers.
#[derive(Debug, Deserialize)]
struct RepairAnswer {
    lost: Vec<String>,
}

/// Does it.
///
/// # Errors
/// There is no usable admin token, or the service does not answer or refuses.
pub fn run(args: &RepairArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let client = args.server.workspace(&args.workspace)?;
    let RepairAnswer { lost } =
        block_on(async { Ok(client.post_with(&["repair"], Bytes::from_static(b"{}")).await?) })?;
    let workspace = &args.workspace;
    if lost.is_empty() {
        return writeln!(out, "nothing of {workspace} is damaged").map_err(CommandFailure::output);
    }
    writeln!(out, "{workspace} was repaired; what is lost:").map_err(CommandFailure::output)?;
    lost.iter().try_for_each(|line| writeln!(out, "  {}", printable(line))).map_err(CommandFailure::output)
}
