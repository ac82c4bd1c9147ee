//! The Redis adapter keeps the laws of every journal. What is about Redis itself is asked in
//! `tests/redis/journal`.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use redis::Value;
use support::redis_server::RedisServer;

use super::{Redis, RedisOptions, RedisStartError, check, reply};
use crate::config::Compression;
use crate::journal::conformance::story::{Story, message};
use crate::journal::conformance::{Damage, SHARDS, Subject, batch, hold, neighbours};
use crate::journal::port::Journal;
use crate::journal::redis::connector::Connector;
use crate::journal::redis::keys::Keys;
use crate::message::{EntryId, WorkspaceId};

mod laws {
    crate::journal::conformance::every_law!(laws_on_shared_servers, super::OnRedis<false, false>);
}

mod laws_in_transactions {
    crate::journal::conformance::every_law!(laws_on_shared_servers, super::OnRedis<false, true>);
}

/// The laws whose commits hold attempts: nothing else is compressed.
mod laws_when_compressed {
    crate::journal::conformance::laws_on_shared_servers! { super::OnRedis<true, true>;
        shared {
            input {
                a_catch_up_sees_the_commits_made_before_it,
                entries_that_still_exist_are_present,
            }
            commits {
                a_commit_settles_its_entries_and_no_others,
                what_was_committed_is_read_newest_first,
                a_load_is_the_snapshot_with_the_attempts_after_it,
                a_load_sees_the_commits_made_before_it_and_none_made_after,
                two_commits_in_flight_land_in_order,
                the_snapshot_is_read_without_the_attempts_after_it,
                of_several_snapshots_the_last_holds,
                workspaces_do_not_see_each_other,
                the_newest_message_has_the_greatest_entry_id,
            }
            retained {
                a_read_shows_the_last_100_attempts,
                a_mail_is_owed_until_it_ended,
                mails_are_found_in_their_own_shard,
            }
            history {
                the_history_is_read_oldest_first_without_attempts,
                the_last_100_changes_are_known_whatever_else_happened,
            }
            forget {
                a_forgotten_workspace_is_one_never_seen_whose_seq_goes_on,
                what_follows_in_the_same_commit_is_kept,
                a_workspace_never_seen_may_be_forgotten,
                others_are_not_forgotten,
            }
            holders {
                a_later_holder_fences_the_earlier_one,
            }
            damage {
                a_lost_attempt_above_the_snapshot_is_corrupt,
                a_lost_attempt_below_the_snapshot_is_not_missed,
                used_events_without_a_snapshot_are_corrupt,
                events_that_end_below_the_snapshot_are_corrupt,
                a_corrupt_workspace_harms_no_other,
                a_workspace_begins_anew_whatever_is_damaged,
            }
        }
        alone {
            forget {
                what_is_forgotten_stays_so_in_files_that_are_written_anew,
            }
            restart {
                what_was_answered_is_there_after_a_restart,
                the_seq_goes_on_after_a_restart,
            }
        }
    }
}

fn options(url: &str) -> RedisOptions {
    RedisOptions { shards: Some(SHARDS), ..RedisOptions::new(url, crate::app::now) }
}

/// A journal below its own prefix, which compresses attempts or not, and whose commits are transactions wherever they can
/// be or never.
struct OnRedis<const COMPRESSED: bool, const TRANSACTIONS: bool> {
    server: Arc<RedisServer>,
    prefix: String,
    journal: Arc<Redis>,
}

impl<const COMPRESSED: bool, const TRANSACTIONS: bool> OnRedis<COMPRESSED, TRANSACTIONS> {
    fn server() -> Arc<RedisServer> {
        Arc::new(RedisServer::start())
    }

    async fn sharing(server: &Arc<RedisServer>, prefix: &str) -> Self {
        let journal = Self::connected(server, prefix).await;
        Self { server: Arc::clone(server), prefix: prefix.to_owned(), journal }
    }

    async fn connected(server: &RedisServer, prefix: &str) -> Arc<Redis> {
        let compression = if COMPRESSED { Compression::Zstd } else { Compression::None };
        let transaction_attempts_min = if TRANSACTIONS { 0 } else { usize::MAX };
        let options =
            RedisOptions { compression, transaction_attempts_min, prefix: prefix.to_owned(), ..options(&server.url()) };
        Arc::new(Redis::connect(&options).await.unwrap())
    }

    /// The server, which no other store may be on.
    fn own_server(&mut self) -> &mut RedisServer {
        Arc::get_mut(&mut self.server).expect("a law that restarts its server is one of those that stand alone")
    }

    fn key(&self, workspace: &WorkspaceId, what: &str) -> String {
        format!("{}:{{{}}}:{what}:{workspace}", self.prefix, workspace.shard(SHARDS))
    }
}

#[async_trait]
impl<const COMPRESSED: bool, const TRANSACTIONS: bool> Subject for OnRedis<COMPRESSED, TRANSACTIONS> {
    async fn fresh() -> Self {
        Self::sharing(&Self::server(), "outbound").await
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::clone(&self.journal) as Arc<dyn Journal>
    }

    async fn restart(&mut self) {
        self.own_server().restart();
        self.journal = Self::connected(&self.server, &self.prefix).await;
    }

    async fn rewrite(&mut self) {
        self.own_server().rewrite_log();
        self.restart().await;
    }

    async fn retained(&self, workspace: &WorkspaceId) -> (usize, usize) {
        let length = |what| self.server.call(&["XLEN", &self.key(workspace, what)]);
        (length("attempts"), length("journal"))
    }

    fn messages_name(&self, shard: u16) -> String {
        format!("{}:{{{shard}}}:messages", self.prefix)
    }

    async fn rejected(&self, shard: u16) -> Vec<Vec<(Bytes, Bytes)>> {
        let entries: Value = self.server.call(&["XRANGE", &format!("{}:{{{shard}}}:rejected", self.prefix), "-", "+"]);
        reply::entries(entries).unwrap().into_iter().map(|entry| entry.fields).collect()
    }

    async fn damage(&self, workspace: &WorkspaceId, damage: Damage) {
        let (attempts, journal) = (self.key(workspace, "attempts"), self.key(workspace, "journal"));
        let gone: u64 = match damage {
            Damage::Attempt(seq) => self.server.call(&["XDEL", &attempts, &format!("{seq}-0")]),
            Damage::Snapshot => self.server.call(&["DEL", &self.key(workspace, "snapshot")]),
            Damage::Events => self.server.call(&["DEL", &attempts, &journal]),
        };
        assert!(gone > 0, "there was something to damage");
    }
}

#[tokio::test]
async fn attempts_are_compressed_and_nothing_else_is() {
    let subject = OnRedis::<true, true>::fresh().await;
    let workspace = &neighbours(1)[0];
    let held = hold(&subject.journal(), workspace).await;
    let mut story = Story::of(workspace);
    let steps = [story.save(), story.deliver(EntryId { ms: 1, n: 0 }, &message("m-1"))];
    held.connection.commit(batch(steps)).await.unwrap();
    let field = |what| {
        let entries: Value = subject.server.call(&["XRANGE", &subject.key(workspace, what), "-", "+"]);
        reply::entries(entries).unwrap()[0].fields[0].0.clone()
    };
    assert_eq!((&field("attempts")[..], &field("journal")[..]), (&b"z"[..], &b"e"[..]));
}

#[tokio::test]
async fn an_answer_that_was_read_before_anybody_waited_for_it_is_still_found() {
    let subject = OnRedis::<false, true>::fresh().await;
    let inner = &subject.journal.inner;
    let answer = r#"{"answer":"refused","refusal":"internal"}"#;
    let add = |command: &str| {
        subject.server.call::<String>(&["XADD", "outbound:{0}:answers", "*", "command", command, "answer", answer])
    };
    // Two wait, so that the task goes on after the first of them was answered.
    let mut early = inner.listener(0).wait(EntryId { ms: 1, n: 0 }, EntryId::ZERO).await.unwrap();
    let _never = inner.listener(0).wait(EntryId { ms: 9, n: 0 }, EntryId::ZERO).await.unwrap();
    add("2-0");
    add("1-0");
    let wait = support::process::PATIENCE;
    assert!(tokio::time::timeout(wait, early.answer()).await.unwrap().unwrap().is_some());
    let mut late = inner.listener(0).wait(EntryId { ms: 2, n: 0 }, EntryId::ZERO).await.unwrap();
    assert!(tokio::time::timeout(wait, late.answer()).await.unwrap().unwrap().is_some());
}

#[tokio::test]
async fn a_start_that_finds_no_place_at_redis_ends_after_its_wait_and_says_so() {
    let redis = RedisServer::start();
    let client = redis::Client::open(redis.own_url()).unwrap();
    let mut only = client.get_connection().unwrap();
    redis::cmd("CONFIG").arg("SET").arg("maxclients").arg(1).query::<()>(&mut only).unwrap();
    let options = options(&redis.url());
    let (server, wait) = (Connector::parse(&options.url, &options.tls).unwrap(), Duration::from_secs(2));
    let refused = check::check(&server, &Keys::new("outbound"), &options, wait).await.unwrap_err();
    assert!(refused.to_string().contains("refused every connection for 2s"), "{refused}");
    let said = std::error::Error::source(&refused).unwrap().to_string();
    assert!(said.contains("max number of clients reached"), "{said}");
}

#[tokio::test]
async fn a_start_without_redis_ends_after_its_wait_and_says_what_to_check() {
    let options = options("redis://127.0.0.1:1");
    let (server, wait) = (Connector::parse(&options.url, &options.tls).unwrap(), Duration::from_millis(100));
    let refused = check::check(&server, &Keys::new("outbound"), &options, wait).await.unwrap_err();
    assert!(matches!(refused, RedisStartError::Unreachable { .. }));
    assert!(
        refused.to_string().ends_with("within 100ms: check that it runs there, and the URL of --journal"),
        "{refused}"
    );
}
