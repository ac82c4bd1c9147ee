//! `outbound discard`: what one workspace has waiting is never sent, through a running service.

use std::io::{self, BufRead, IsTerminal, Write};

use serde::Deserialize;

use crate::cli::failure::{CommandError, CommandFailure};
use crate::cli::runtime::block_on;
use crate::cli::transport::ServerArgs;
use crate::message::WorkspaceId;
use crate::workspace::view::WaitingView;

/// The flags of `outbound discard`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct DiscardArgs {
    /// The workspace's id
    #[arg(value_name = "WORKSPACE")]
    pub workspace: WorkspaceId,
    /// Do it without asking
    #[arg(long, env = "OUTBOUND_YES", value_parser = crate::cli::values::parse_yes)]
    pub yes: bool,
    /// The service
    #[command(flatten)]
    pub server: ServerArgs,
}

const AFTER_HELP: &str = "\
Every message of the workspace that came until now and was not attempted yet is never sent; it is counted \
as skipped. What is under way ends as it does, and what comes afterwards is sent. It is asked twice: answer \
yes, then the workspace's id.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.

Examples:
  outbound discard acme
  outbound discard acme --yes";

/// Why nothing was discarded.
#[derive(Debug, thiserror::Error)]
pub enum DiscardError {
    /// Whoever was asked did not say so.
    #[error("nothing was discarded: answer yes, then the workspace's id, or say --yes")]
    NotConfirmed,
    /// Nobody answers.
    #[error("the answers cannot be read: say --yes where nobody can answer")]
    Unread(#[source] io::Error),
}

impl CommandError for DiscardError {}

/// Asks twice, then discards.
///
/// # Errors
/// It is not confirmed, or the service does not answer or refuses.
pub fn run(args: &DiscardArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    #[derive(Deserialize)]
    struct Waits {
        waiting: Option<WaitingView>,
    }
    let workspace = &args.workspace;
    let client = args.server.workspace(workspace)?;
    let Waits { waiting } = block_on(async { Ok(client.get(&["webhook"]).await?) })?;
    let what = match waiting {
        Some(WaitingView { count, at_least, oldest_at }) => {
            let at_least = if at_least { "at least " } else { "" };
            format!("{at_least}{count} of its messages wait, the oldest since {oldest_at}")
        }
        None => "none of its messages is known to wait".to_owned(),
    };
    writeln!(out, "{workspace}: {what}").map_err(CommandFailure::output)?;
    if !args.yes {
        let answers = &mut io::stdin().lock();
        let questions = ["What waits is never sent. Discard it? (yes) ", "To be sure, type the workspace's id: "];
        for (question, wanted) in questions.into_iter().zip(["yes", workspace.as_str()]) {
            write!(out, "{question}").and_then(|()| out.flush()).map_err(CommandFailure::output)?;
            let mut answer = String::new();
            answers.read_line(&mut answer).map_err(DiscardError::Unread)?;
            // What comes next begins a line, though nobody's typing ended the question's.
            if !(io::stdin().is_terminal() && answer.ends_with('\n')) {
                writeln!(out).map_err(CommandFailure::output)?;
            }
            if answer.trim() != wanted {
                return Err(DiscardError::NotConfirmed.into());
            }
        }
    }
    block_on(async { Ok(client.delete(&["waiting"]).await?) })?;
    writeln!(out, "what waited for {workspace} is discarded and counted as skipped").map_err(CommandFailure::output)
}
