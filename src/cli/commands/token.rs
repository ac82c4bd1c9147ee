//! `outbound token`: a token that opens one workspace, through a running service.

use std::io::Write;

use bytes::Bytes;
use clap::builder::NonEmptyStringValueParser;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::client::{Client, RequestError};
use crate::cli::failure::CommandFailure;
use crate::cli::output::{printable, printable_json};
use crate::cli::runtime::block_on;
use crate::cli::transport::ServerArgs;
use crate::cli::values::parse_yes;
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
    #[arg(long, env = "OUTBOUND_SUBJECT", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub subject: Option<String>,
    /// Make none; list those that open the workspace
    #[arg(long, env = "OUTBOUND_LIST", value_parser = crate::cli::values::parse_yes, conflicts_with_all = ["ttl", "subject", "revoke"])]
    pub list: bool,
    /// Make none; end the one with this ID, or without an ID every token and session of the workspace
    #[arg(long, env = "OUTBOUND_REVOKE", value_name = "ID", num_args = 0..=1, default_missing_value = "yes", value_parser = parse_revocation, conflicts_with_all = ["ttl", "subject", "json"])]
    pub revoke: Option<Revocation>,
    /// Print a JSON object with the token, its end and its subject
    #[arg(long, env = "OUTBOUND_JSON", value_parser = crate::cli::values::parse_yes)]
    pub json: bool,
    /// The service
    #[command(flatten)]
    pub server: ServerArgs,
}

const AFTER_HELP: &str = "\
A token opens the API and the screen of one workspace and nothing else. It is printed once and kept \
nowhere; whoever lost it gets another. --revoke ends all of a workspace, --revoke ID the one that --list \
calls so, with the sessions that were begun with it; at once and on every node.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.

Examples:
  outbound token --workspace acme
  outbound token --workspace acme --ttl 30d --subject jane@acme.example
  outbound token --workspace acme --json
  outbound token --workspace acme --list
  outbound token --workspace acme --revoke 0b8f6a1e2c3d4f5a8b9c0d1e2f3a4b5c
  outbound token --workspace acme --revoke";

/// Which tokens are to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// All of the workspace.
    All,
    /// The one with this id.
    One(String),
}

/// Reads `--revoke`. Without a value it says yes, as its variable may; a value of nothing, as a script's variable that is not
/// set has it, means neither one token nor all.
///
/// # Errors
/// A sentence that says what may be written.
pub fn parse_revocation(text: &str) -> Result<Revocation, String> {
    match parse_yes(text) {
        Ok(true) => Ok(Revocation::All),
        Ok(false) => Err("it names no token: give an ID that --list shows, or leave it out to end all".to_owned()),
        Err(_) => Ok(Revocation::One(text.trim().to_owned())),
    }
}

/// What the service answers.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MintedToken {
    id: String,
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
    match &args.revoke {
        None => {}
        Some(Revocation::All) => {
            block_on(async { Ok(client.delete(&["tokens"]).await?) })?;
            return writeln!(out, "every token of {} was revoked", args.workspace).map_err(CommandFailure::output);
        }
        Some(Revocation::One(id)) => {
            block_on(async { Ok(client.delete(&["tokens", id]).await?) })?;
            return writeln!(out, "the token {id} was revoked").map_err(CommandFailure::output);
        }
    }
    if args.list {
        let TokenPage { tokens } = block_on(async { Ok(client.get(&["tokens"]).await?) })?;
        if tokens.is_empty() && !args.json {
            return writeln!(out, "no token opens {}", args.workspace).map_err(CommandFailure::output);
        }
        return list(&tokens, args.json, out).map_err(CommandFailure::output);
    }
    let minted = block_on(async { Ok(mint(&client, args.ttl, args.subject.as_deref()).await?) })?;
    let line = if args.json { printable_json(&json!(minted).to_string()) } else { minted.token };
    writeln!(out, "{line}").map_err(CommandFailure::output)
}

/// What the service lists.
#[derive(Debug, Deserialize)]
struct TokenPage {
    tokens: Vec<TokenLine>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TokenLine {
    id: String,
    subject: String,
    made_at: String,
    made_by: String,
    expires_at: String,
}

fn list(tokens: &[TokenLine], json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    for token in tokens {
        if json {
            writeln!(out, "{}", printable_json(&json!(token).to_string()))?;
        } else {
            let subject = printable(&token.subject);
            writeln!(out, "{}  {subject}  made {}  until {}", token.id, token.made_at, token.expires_at)?;
        }
    }
    Ok(())
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
