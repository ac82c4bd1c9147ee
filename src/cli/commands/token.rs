//! `outbound token`: a token that opens one workspace, through a running service.

use std::io::Write;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::client::{Client, RequestError};
use crate::cli::failure::CommandFailure;
use crate::cli::runtime::block_on;
use crate::cli::transport::ServerArgs;
use crate::http::Ttl;
use crate::message::WorkspaceId;

/// The flags of `outbound token`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct TokenArgs {
    /// The workspace that the token opens
    #[arg(long, env = "OUTBOUND_WORKSPACE", value_name = "WORKSPACE")]
    pub workspace: WorkspaceId,
    /// How long it lives, such as 12h or 30d; 90d if not given, 365d at most
    #[arg(long, env = "OUTBOUND_TTL", value_name = "DURATION")]
    pub ttl: Option<Ttl>,
    /// Who gets it: the change history names them
    #[arg(long, env = "OUTBOUND_SUBJECT", value_name = "NAME")]
    pub subject: Option<String>,
    /// Make none, and end every token and session of the workspace
    #[arg(long, env = "OUTBOUND_REVOKE", conflicts_with_all = ["ttl", "subject", "json"])]
    pub revoke: bool,
    /// Print a JSON object with the token, its end and its subject
    #[arg(long, env = "OUTBOUND_JSON")]
    pub json: bool,
    /// The service
    #[command(flatten)]
    pub server: ServerArgs,
}

const AFTER_HELP: &str = "\
A token opens the API and the screen of one workspace and nothing else. It is printed once and kept \
nowhere; whoever lost it gets another. Tokens cannot be ended one by one: --revoke ends all of a \
workspace, at once and on every node.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.

Examples:
  outbound token --workspace acme
  outbound token --workspace acme --ttl 30d --subject jane@acme.example
  outbound token --workspace acme --json
  outbound token --workspace acme --revoke";

/// What the service answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MintedToken {
    pub(super) token: String,
    expires_at: String,
    subject: String,
}

/// Does it.
///
/// # Errors
/// There is no usable admin token, or the service does not answer or refuses.
pub fn run(args: &TokenArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let client = args.server.workspace(&args.workspace)?;
    if args.revoke {
        block_on(async { Ok(client.delete(&["tokens"]).await?) })?;
        return writeln!(out, "every token of {} was revoked", args.workspace).map_err(CommandFailure::output);
    }
    let minted = block_on(async { Ok(mint(&client, args.ttl, args.subject.as_deref()).await?) })?;
    let line = if args.json { json!(minted).to_string() } else { minted.token };
    writeln!(out, "{line}").map_err(CommandFailure::output)
}

pub(super) async fn mint(
    client: &Client,
    ttl: Option<Ttl>,
    subject: Option<&str>,
) -> Result<MintedToken, RequestError> {
    let mut wanted = serde_json::Map::new();
    wanted.extend(ttl.map(|ttl| ("ttl".to_owned(), ttl.to_string().into())));
    wanted.extend(subject.map(|subject| ("subject".to_owned(), subject.into())));
    client.post_with(&["tokens"], Bytes::from(json!(wanted).to_string())).await
}
