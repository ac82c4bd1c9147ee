//! Reads of a stream with a bound on bytes, whatever producers appended.

use redis::Cmd;

use super::connector::Connector;
use super::script::Script;
use crate::config::HAND_OVER_FIELDS_MAX;
use crate::journal::rejected::{ENTRY_BYTES_MAX, VALUE_BYTES_MAX, VALUE_BYTES_RETAINED};
use crate::message::EntryId;

/// Where a read begins.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReadFrom {
    At(EntryId),
    After(EntryId),
}

/// The call that reads at most `count` entries up to `to` (`+`: to the end); once they have `bytes`, none follows.
/// [`super::reply::taken`] reads the answer.
pub(super) fn command(
    connector: &Connector,
    stream: &str,
    from: ReadFrom,
    to: &str,
    count: usize,
    bytes: usize,
) -> Cmd {
    let mut cmd = connector.script(Script::Take, &[stream.to_owned()]);
    match from {
        ReadFrom::At(id) => cmd.arg(id.to_string()),
        ReadFrom::After(id) => cmd.arg(format!("({id}")),
    };
    cmd.arg(to);
    bound(&mut cmd, count, bytes, &["workspace", "message", "origin"]);
    cmd
}

/// The arguments that cut.lua takes; `named` are the fields that are looked at, wherever they stand in an entry.
pub(super) fn bound(cmd: &mut Cmd, count: usize, bytes: usize, named: &[&str]) {
    cmd.arg(count).arg(bytes.max(1));
    cmd.arg(ENTRY_BYTES_MAX).arg(VALUE_BYTES_MAX).arg(VALUE_BYTES_RETAINED).arg(HAND_OVER_FIELDS_MAX).arg(named);
}
