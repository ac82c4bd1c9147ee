//! `outbound shard`: the key of the stream that a workspace's messages belong to.

use std::io::{Write, stderr};

use crate::cli::failure::CommandFailure;
use crate::cli::runtime::block_on;
use crate::cli::transport::{JournalArgs, journal_flag, stored_shards};
use crate::cli::values::{parse_redis, whole_number};
use crate::config::private::FileSharing;
use crate::config::{SHARDS_DEFAULT, SHARDS_MAX};
use crate::message::WorkspaceId;

/// The flags of `outbound shard`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP, mut_args(|flag| journal_flag(flag, "The Redis that holds the number of shards")))]
pub struct ShardArgs {
    /// The workspace's id
    #[arg(value_name = "WORKSPACE")]
    pub workspace: WorkspaceId,
    /// The number of shards; else the one stored in --journal, else 16. Where both are given and differ, a note says so
    #[arg(long, env = "OUTBOUND_SHARDS", value_name = "N", value_parser = whole_number::<u16>(1, u64::from(SHARDS_MAX)))]
    pub shards: Option<u16>,
    /// Where that number is
    #[command(flatten)]
    pub journal: JournalArgs,
}

const AFTER_HELP: &str = "\
Examples:
  outbound shard acme
  outbound shard acme --shards 64
  redis-cli XADD \"$(outbound shard acme)\" '*' workspace acme message '{…}'";

/// Prints the key. Nothing is written to the journal.
///
/// # Errors
/// The journal is not understood or not reachable, or nobody takes the output.
pub fn run(args: &ShardArgs, out: &mut dyn Write) -> Result<(), CommandFailure> {
    let stored = match (stored(&args.journal), args.shards) {
        // What was asked for needs no Redis.
        (Err(_), Some(_)) => None,
        (stored, _) => stored?,
    };
    let shards = args.shards.or(stored.flatten()).unwrap_or(SHARDS_DEFAULT);
    match stored {
        // The key is right all the same unless the first start chooses another number.
        Some(None) => note(&format!("no service has started on this Redis yet: the key is for {shards} shards")),
        Some(Some(stored)) if stored != shards => {
            note(&format!(
                "this Redis has {stored} shards, and the key is for {shards}: leave --shards (OUTBOUND_SHARDS) out"
            ));
        }
        _ => {}
    }
    let (prefix, shard) = (&args.journal.prefix, args.workspace.shard(shards));
    writeln!(out, "{prefix}:{{{shard}}}:messages").map_err(CommandFailure::output)
}

/// What the Redis that was named says, if one was.
fn stored(journal: &JournalArgs) -> Result<Option<Option<u16>>, CommandFailure> {
    let Some(text) = journal.named(FileSharing::Allowed)? else { return Ok(None) };
    let config = journal.redis_files.with(parse_redis(&text, &journal.prefix)?)?;
    Ok(Some(block_on(stored_shards(&config))?))
}

fn note(told: &str) {
    writeln!(stderr(), "note: {told}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::values::RedisFileArgs;

    fn printed(workspace: &str, shards: Option<u16>, prefix: &str) -> String {
        let journal = JournalArgs {
            journal: None,
            journal_file: None,
            prefix: prefix.to_owned(),
            redis_files: RedisFileArgs::default(),
        };
        let args = ShardArgs { workspace: workspace.parse().unwrap(), shards, journal };
        let mut out = Vec::new();
        run(&args, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_key_follows_the_crc32_of_the_workspace() {
        // The CRC32 of "123456789" is 0xCBF43926 in every description of the checksum: 6 mod 16, 38 mod 64.
        assert_eq!(printed("123456789", None, "outbound"), "outbound:{6}:messages\n");
        assert_eq!(printed("123456789", Some(64), "eu"), "eu:{38}:messages\n");
        assert_eq!(printed("123456789", Some(1), "outbound"), "outbound:{0}:messages\n");
    }
}
