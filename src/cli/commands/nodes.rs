//! `outbound nodes`: who runs what, through a running service.

use std::fmt::Write as _;
use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::client::RequestError;
use crate::cli::failure::CommandFailure;
use crate::cli::output::{printable, printable_json};
use crate::cli::runtime::block_on;
use crate::cli::transport::ServerArgs;
use crate::config::ShardSet;

/// The flags of `outbound nodes`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct NodesArgs {
    /// Print what the API answers, as one JSON object
    #[arg(long, env = "OUTBOUND_JSON", value_parser = crate::cli::values::parse_yes)]
    pub json: bool,
    /// The service
    #[command(flatten)]
    pub server: ServerArgs,
}

const AFTER_HELP: &str = "\
Any node answers for all. First the nodes: what each does, which shards it holds, and since when it runs; a \
node that is gone is shown for another minute. Then the shards: who holds each, how many messages it \
owes, and since when the oldest of them waits.
The admin token comes from OUTBOUND_ADMIN_TOKEN, --admin-token-file or the data directory.

Examples:
  outbound nodes
  outbound nodes --json | jq '[.shards[].owed] | add'";

#[derive(Deserialize)]
struct Answered {
    nodes: Vec<AnsweredNode>,
    shards: Vec<AnsweredShard>,
}

#[derive(Deserialize)]
struct AnsweredNode {
    id: String,
    address: String,
    version: String,
    role: String,
    alive: bool,
    began_at: String,
    shards: Vec<u16>,
}

#[derive(Deserialize)]
struct AnsweredShard {
    shard: u16,
    node: Option<String>,
    owed: u64,
    oldest_at: Option<String>,
}

/// Does it.
///
/// # Errors
/// There is no usable admin token, or the service does not answer or refuses.
pub fn run(args: &NodesArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let client = args.server.service()?;
    let answer: Box<RawValue> = block_on(async { Ok(client.get(&["nodes"]).await?) })?;
    let text = if args.json {
        format!("{}\n", printable_json(answer.get()))
    } else {
        tables(&serde_json::from_str(answer.get()).map_err(RequestError::Strange)?)
    };
    out.write_all(text.as_bytes()).map_err(CommandFailure::output)
}

fn tables(Answered { nodes, shards }: &Answered) -> String {
    let rows = nodes.iter().map(|node| {
        let held: ShardSet = node.shards.iter().copied().collect();
        let held = if held.is_empty() { "-".to_owned() } else { held.to_string() };
        let role = if node.alive { &node.role } else { "gone" };
        [&node.id, role, &held, &node.address, &node.version, &node.began_at].map(printable).to_vec()
    });
    let mut text = table(&["NODE", "ROLE", "SHARDS", "ADDRESS", "VERSION", "SINCE"], rows.collect());
    text.push('\n');
    let or_dash = |text: &Option<String>| printable(text.as_deref().unwrap_or("-"));
    let rows = shards.iter().map(|shard| {
        vec![shard.shard.to_string(), or_dash(&shard.node), shard.owed.to_string(), or_dash(&shard.oldest_at)]
    });
    text + &table(&["SHARD", "NODE", "OWED", "OLDEST"], rows.collect())
}

/// Columns as wide as what stands in them.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head = head.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            write!(line, "{cell:width$}  ").ok();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_shards_are_two_tables() {
        let answered = r#"{
            "nodes": [
                {"id": "n1", "address": "10.0.0.1:8080", "version": "0.1.0", "role": "worker", "alive": true,
                 "began_at": "2026-01-31T12:00:00.000Z", "shards": [0, 1]},
                {"id": "n2\u001b", "address": "10.0.0.2:8080", "version": "0.1.0", "role": "standby", "alive": false,
                 "began_at": "2026-01-31T12:00:00.000Z", "shards": []}],
            "shards": [
                {"shard": 0, "node": "n1", "owed": 12, "oldest_at": "2026-01-31T12:00:01.000Z"},
                {"shard": 1, "node": null, "owed": 0, "oldest_at": null}]}"#;
        let shown = "\
NODE      ROLE    SHARDS  ADDRESS        VERSION  SINCE
n1        worker  0-1     10.0.0.1:8080  0.1.0    2026-01-31T12:00:00.000Z
n2\\u{1b}  gone    -       10.0.0.2:8080  0.1.0    2026-01-31T12:00:00.000Z

SHARD  NODE  OWED  OLDEST
0      n1    12    2026-01-31T12:00:01.000Z
1      -     0     -
";
        assert_eq!(tables(&serde_json::from_str(answered).unwrap()), shown);
    }
}
