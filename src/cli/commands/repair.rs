//! `outbound repair`: what can still be read of a workspace whose stored data is damaged, through a running service; or of
//! a damaged file of the embedded journal, while none runs.

use std::io::Write;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Deserialize;

use crate::app::AppError;
use crate::cli::failure::CommandFailure;
use crate::cli::output::printable;
use crate::cli::runtime::block_on;
use crate::cli::transport::ServerArgs;
use crate::journal::embedded::{Rescued, rescue};
use crate::message::WorkspaceId;

/// The flags of `outbound repair`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, group(clap::ArgGroup::new("what").args(["workspace", "file"]).required(true)))]
pub struct RepairArgs {
    /// The workspace that cannot be loaded
    #[arg(value_name = "WORKSPACE")]
    pub workspace: Option<WorkspaceId>,
    /// A damaged file of the embedded journal; the service must not run
    #[arg(long, env = "OUTBOUND_FILE", value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The service
    #[command(flatten)]
    pub server: ServerArgs,
}

const AFTER_HELP: &str = "\
For a workspace that answers 503 `workspace-unavailable` because what is stored of it is damaged; the log says why. \
What can be read is kept, what is lost is printed, a line each. Messages that wait are delivered then. One that \
is whole stays as it is. To begin without anything of it: DELETE /v1/workspaces/WORKSPACE.
With --file: what can be read of the file goes into a new one, which takes its place; the damaged one stays beside it.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.

Examples:
  outbound repair acme
  outbound repair --file outbound-data/outbound.redb";

/// What the service answers.
#[derive(Debug, Deserialize)]
struct RepairAnswer {
    lost: Vec<String>,
}

/// Does it.
///
/// # Errors
/// There is no usable admin token, or the service does not answer or refuses; or the file is in use or cannot be read.
pub fn run(args: &RepairArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    if let Some(file) = &args.file {
        let rescued = rescue(file).map_err(AppError::Embedded)?;
        return tell(file, &rescued, out).map_err(CommandFailure::output);
    }
    let Some(workspace) = &args.workspace else { return Ok(()) };
    let client = args.server.workspace(workspace)?;
    let RepairAnswer { lost } =
        block_on(async { Ok(client.post_with(&["repair"], Bytes::from_static(b"{}")).await?) })?;
    if lost.is_empty() {
        return writeln!(out, "nothing of {workspace} is damaged").map_err(CommandFailure::output);
    }
    writeln!(out, "{workspace} was repaired; what is lost:").map_err(CommandFailure::output)?;
    lost.iter().try_for_each(|line| writeln!(out, "  {}", printable(line))).map_err(CommandFailure::output)
}

/// What became of a file.
fn tell(file: &Path, rescued: &Rescued, out: &mut dyn Write) -> std::io::Result<()> {
    let Rescued { damaged, workspaces, waiting, lost, unavailable } = rescued;
    match damaged {
        None => writeln!(out, "the file {} is whole", file.display())?,
        Some(damaged) => {
            writeln!(out, "{} is new; the damaged file is {} now", file.display(), damaged.display())?;
            let counted = |count: u64, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
            let (workspaces, waiting) = (counted(*workspaces, "workspace"), counted(*waiting, "message"));
            writeln!(out, "it holds {workspaces}, and {waiting} not attempted yet; what is lost:")?;
            lost.iter().try_for_each(|line| writeln!(out, "  {}", printable(line)))?;
            if lost.is_empty() {
                writeln!(out, "  nothing")?;
            }
        }
    }
    for (workspace, why) in unavailable {
        writeln!(
            out,
            "{workspace} has lost a part ({}): run `outbound repair {workspace}` when the service runs",
            printable(why)
        )?;
    }
    Ok(())
}
