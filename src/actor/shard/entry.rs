//! From a raw stream entry to a message or a command, or to the reason why it is neither.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;

use crate::actor::protocol::Item;
use crate::journal::port::RawEntry;
use crate::journal::rejected::{ambiguous, too_large};
use crate::message::{EntryId, Message, WorkspaceId};
use crate::workspace::Command;

/// Which shard reads, out of how many, and what its keys start with.
#[derive(Debug, Clone)]
pub(in crate::actor) struct ShardIdentity {
    pub(in crate::actor) shard: u16,
    pub(in crate::actor) shards: u16,
    pub(in crate::actor) prefix: Arc<str>,
}

/// The text that names the workspace of a message entry.
///
/// # Errors
/// The text for `_reason`.
pub(super) fn workspace_of(entry: &RawEntry) -> Result<&str, String> {
    if let Some(reason) = too_large(entry.bytes()) {
        return Err(reason);
    }
    let Some(workspace) = entry.field("workspace") else {
        return Err("the entry has no field `workspace`: XADD … workspace <id> message <json>".to_owned());
    };
    if entry.field("message").is_none() {
        return Err("the entry has no field `message`: XADD … workspace <id> message <json>".to_owned());
    }
    std::str::from_utf8(workspace).map_err(|_| "the field `workspace` is not UTF-8".to_owned())
}

/// The workspace that the text names, if it is one of this shard.
///
/// # Errors
/// The text for `_reason`.
pub(super) fn read_workspace(text: &str, identity: &ShardIdentity) -> Result<WorkspaceId, String> {
    let workspace: WorkspaceId =
        text.parse().map_err(|error| format!("the field `workspace` is not valid: {error}"))?;
    let right = workspace.shard(identity.shards);
    if right != identity.shard {
        return Err(format!(
            "the entry stands in another shard's stream: workspace {workspace} belongs to {}:{{{right}}}:messages",
            identity.prefix
        ));
    }
    Ok(workspace)
}

/// The message of an entry.
///
/// # Errors
/// The text for `_reason`.
pub(super) fn read_item(entry: &RawEntry, identity: &ShardIdentity) -> Result<Item, String> {
    if let Some(reason) = ambiguous(entry, ["workspace", "message"]) {
        return Err(reason);
    }
    // A copy: what is held for long would keep all in memory that was read with it.
    let held = |name| entry.field(name).map(|value| Bytes::copy_from_slice(value));
    let message = Message::parse(held("message").unwrap_or_default()).map_err(|error| error.to_string())?;
    let origin = held("origin");
    let webhook_id = webhook_id(identity.shard, entry.id, origin.as_deref());
    Ok(Item { entry: entry.id, message, webhook_id, origin })
}

/// Characters of a `webhook-id` at most.
const WEBHOOK_ID_MAX: usize = "msg_s00000000__".len() + 41;

/// `msg_<shard>_<entry id>`, or `msg_s<crc32 of the source's name, 8 hex digits>_<entry id there>` for
/// an entry with `origin` `<source>/<entry id>` ([contract, section 2](crate::docs::contract#2-the-post-out)).
fn webhook_id(shard: u16, entry: EntryId, origin: Option<&[u8]>) -> Arc<str> {
    let handed_over = origin
        .and_then(|origin| std::str::from_utf8(origin).ok())
        .and_then(|origin| origin.rsplit_once('/'))
        .and_then(|(source, id)| Some((source, id.parse::<EntryId>().ok()?)));
    let mut name = String::with_capacity(WEBHOOK_ID_MAX);
    let written = match handed_over {
        Some((source, id)) => write!(name, "msg_s{:08x}_{id}", crc32fast::hash(source.as_bytes())),
        None => write!(name, "msg_{shard}_{entry}"),
    };
    debug_assert!(written.is_ok() && name.len() <= WEBHOOK_ID_MAX);
    name.into()
}

/// The entry as it was in the stream, for the rejected stream.
pub(super) fn raw_of(workspace: &WorkspaceId, item: &Item) -> RawEntry {
    let mut fields = vec![
        ("workspace".into(), workspace.as_str().to_owned().into()),
        ("message".into(), item.message.raw().bytes().clone()),
    ];
    if let Some(origin) = &item.origin {
        fields.push(("origin".into(), origin.clone()));
    }
    RawEntry { id: item.entry, fields }
}

/// Reads a command entry.
///
/// # Errors
/// The text for the log.
pub(super) fn read_command(entry: &RawEntry) -> Result<(WorkspaceId, Command), String> {
    let workspace = entry.field("workspace").ok_or("no field `workspace`")?;
    let workspace = std::str::from_utf8(workspace).map_err(|error| error.to_string())?;
    let workspace = workspace.parse::<WorkspaceId>().map_err(|error| error.to_string())?;
    let command = entry.field("command").ok_or("no field `command`")?;
    let command = serde_json::from_slice(command).map_err(|error| error.to_string())?;
    Ok((workspace, command))
}
