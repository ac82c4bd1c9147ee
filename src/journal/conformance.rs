//! The laws of the port. Every adapter runs all of them.
//!
//! A law is a function over a [`Subject`]: a fresh store and what a test may do to it from outside.
//! `every_law!(laws_alone, MySubject)` in an adapter's test module makes one test of each. Laws say what
//! [`super::port`] promises and nothing about how it is kept; what only one adapter can do is tested there.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt as _;

use super::port::{Acquired, Batch, Holder, Journal, Poll, RawEntry, Step};
use crate::message::{EntryId, WorkspaceId};

pub(crate) mod commands;
pub(crate) mod commits;
pub(crate) mod damage;
pub(crate) mod forget;
pub(crate) mod history;
pub(crate) mod holders;
pub(crate) mod input;
pub(crate) mod nodes;
pub(crate) mod listing;
pub(crate) mod retained;
pub(crate) mod rejected;
pub(crate) mod restart;
pub(crate) mod walk;
pub(crate) mod story;

/// An adapter under test: one store, made for one law.
#[async_trait]
pub(crate) trait Subject: Send + Sync + Sized {
    /// An empty store with [`SHARDS`] shards.
    async fn fresh() -> Self;

    /// The journal on it, as one process has it.
    fn journal(&self) -> Arc<dyn Journal>;

    /// The process ends and another one starts on the same store. Shard connections and intakes of the earlier
    /// journal are gone. A store that lives in the process may stay as it is.
    async fn restart(&mut self);

    /// The store writes its files anew, as it does now and then, and a process starts on what it wrote. A
    /// store that does not may only restart.
    async fn rewrite(&mut self) {
        self.restart().await;
    }

    /// How many attempts and how many other events of the workspace stand in the store.
    async fn retained(&self, workspace: &WorkspaceId) -> (usize, usize);

    /// What an entry's origin says when it stood in the shard's messages.
    fn messages_name(&self, shard: u16) -> String {
        format!("outbound:{{{shard}}}:messages")
    }

    /// The fields of the shard's rejected entries, oldest first.
    async fn rejected(&self, shard: u16) -> Vec<Vec<(Bytes, Bytes)>>;

    /// Damages what is stored of the workspace, behind the journal's back.
    async fn damage(&self, workspace: &WorkspaceId, damage: Damage);
}

/// What may be lost.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Damage {
    /// The attempt with this seq.
    Attempt(u64),
    /// The snapshot.
    Snapshot,
    /// Both streams of events, with the memory of how far they went.
    Events,
}

/// Shards of a subject.
pub(crate) const SHARDS: u16 = 4;
/// A lease that no law outlives.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// Longer than anything takes that a law waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Every law, handed to the macro `$make` behind the subject. `shared` ones disturb nobody else on the same
/// server; the `alone` ones restart the store.
macro_rules! every_law {
    ($make:ident, $subject:ty) => {
        $crate::journal::conformance::$make! { $subject;
            shared {
                input {
                    messages_are_read_in_order_as_they_were_written,
                    a_read_begins_after_its_cursor_and_ends_at_its_count,
                    reading_takes_nothing_away,
                    a_waiting_read_is_woken_by_a_message,
                    a_waiting_read_is_woken_by_a_command,
                    a_read_without_entries_ends_after_its_block,
                    messages_and_commands_are_read_apart,
                    a_probe_tells_the_length_without_waiting,
                    a_read_ahead_changes_nothing_of_what_is_found,
                    a_catch_up_has_both_its_ends_and_at_most_its_count,
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
                    a_dropped_answer_is_a_commit_all_the_same,
                    a_workspace_never_seen_is_the_default,
                    a_skip_is_remembered_by_the_snapshot_alone,
                    workspaces_do_not_see_each_other,
                    the_newest_message_has_the_greatest_entry_id,
                }
                retained {
                    a_read_shows_the_last_100_attempts,
                    the_last_400_of_the_history_stay,
                    a_rejected_entry_keeps_its_fields,
                    beyond_the_cap_the_oldest_rejected_entry_goes,
                    beyond_the_cap_in_bytes_the_oldest_rejected_entry_goes,
                    a_mail_is_owed_until_it_ended,
                    mails_are_found_in_their_own_shard,
                }
                history {
                    the_history_is_read_oldest_first_without_attempts,
                    the_last_100_changes_are_known_whatever_else_happened,
                    a_history_that_cannot_be_read_is_told,
                }
                forget {
                    a_forgotten_workspace_is_one_never_seen_whose_seq_goes_on,
                    what_follows_in_the_same_commit_is_kept,
                    a_workspace_never_seen_may_be_forgotten,
                    others_are_not_forgotten,
                    of_a_workspace_that_was_never_saved_nothing_stays,
                }
                rejected {
                    rejected_entries_are_listed_a_page_at_a_time,
                    rejected_entries_are_counted_by_shard,
                    a_requeued_entry_is_a_message_again,
                    a_requeued_entry_goes_to_the_shard_of_its_workspace,
                    what_is_still_not_valid_stays_rejected,
                    a_discarded_entry_is_gone_and_its_id_is_not_given_again,
                }
                holders {
                    a_later_holder_fences_the_earlier_one,
                    another_node_waits_until_the_lease_ends,
                    a_renewed_lease_lives_on,
                    the_holder_itself_may_acquire_again_at_once,
                    a_released_shard_is_free_at_once,
                    shards_are_held_apart,
                }
                nodes {
                    a_node_is_listed_as_it_told_until_it_is_withdrawn,
                    who_holds_a_shard_is_read_until_it_is_released,
                    what_each_shard_owes_is_counted_with_the_oldest,
                    what_a_process_knows_is_read_as_it_told_it_last,
                }
                listing {
                    workspaces_are_listed_in_order_a_page_at_a_time,
                    workspaces_are_listed_by_status,
                    workspaces_are_counted_by_status,
                    a_listed_workspace_is_shown_as_it_is_read,
                    what_is_forgotten_is_not_listed,
                }
                walk {
                    every_workspace_comes_once_and_strangers_do_not,
                    keys_are_noted_until_they_are_noted_no_more,
                    ended_sessions_of_the_operator_are_remembered_for_their_time,
                }
                commands {
                    a_command_gets_the_answer_of_the_commit_that_settles_it,
                    an_answer_may_come_after_the_commit_that_settles_its_command,
                    answers_reach_their_own_callers,
                    a_command_without_an_answer_is_stored_and_unknown,
                    nobody_waits_longer_than_the_command_lives,
                    more_than_1000_waiting_commands_are_refused,
                }
                damage {
                    a_lost_attempt_above_the_snapshot_is_corrupt,
                    a_lost_attempt_below_the_snapshot_is_not_missed,
                    used_events_without_a_snapshot_are_corrupt,
                    events_that_end_below_the_snapshot_are_corrupt,
                    a_snapshot_of_another_version_is_named,
                    a_corrupt_workspace_harms_no_other,
                    a_workspace_begins_anew_whatever_is_damaged,
                }
            }
            alone {
                forget {
                    what_is_forgotten_stays_so_in_files_that_are_written_anew,
                    a_dropped_log_leaves_the_rest,
                }
                rejected {
                    an_entry_is_requeued_once_and_its_id_is_not_given_again,
                }
                holders {
                    a_crashed_process_is_followed_at_once_by_its_own_node,
                }
                listing {
                    a_list_is_there_after_a_restart,
                }
                walk {
                    an_ended_session_of_the_operator_stays_ended,
                }
                restart {
                    what_was_answered_is_there_after_a_restart,
                    ids_after_a_restart_are_greater,
                    the_seq_goes_on_after_a_restart,
                    the_last_bookmark_is_there_for_whoever_acquires_next,
                }
            }
        }
    };
}
pub(crate) use every_law;

/// Makes a test of each law, with a store of its own. Use once in a module.
macro_rules! laws_alone {
    ($subject:ty; $($kind:ident { $($room:ident { $($law:ident,)* })* })*) => {$($($(
        #[tokio::test]
        async fn $law() {
            let mut subject = <$subject as $crate::journal::conformance::Subject>::fresh().await;
            $crate::journal::conformance::$room::$law(&mut subject).await;
        }
    )*)*)*};
}
pub(crate) use laws_alone;

/// Makes a test of each room's shared laws: they run on one server, each in a store of its own there. A test
/// tells every law that fails. Laws that stand alone have a test and a server each.
macro_rules! laws_on_shared_servers {
    ($subject:ty; shared { $($room:ident { $($law:ident,)* })* } alone $alone:tt) => {
        $(
            #[tokio::test]
            async fn $room() {
                let server = <$subject>::server();
                let mut broken = Vec::new();
                $(
                    let law = async {
                        let mut subject = <$subject>::sharing(&server, stringify!($law)).await;
                        $crate::journal::conformance::$room::$law(&mut subject).await;
                    };
                    broken.extend($crate::journal::conformance::failure(stringify!($law), law).await);
                )*
                assert!(broken.is_empty(), "broken laws:\n{}", broken.join("\n"));
            }
        )*
        $crate::journal::conformance::laws_alone! { $subject; alone $alone }
    };
}
pub(crate) use laws_on_shared_servers;

/// Runs a law to its end. What it panics with, behind its name.
pub(crate) async fn failure(name: &str, law: impl Future<Output = ()>) -> Option<String> {
    let panic = AssertUnwindSafe(law).catch_unwind().await.err()?;
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    Some(format!("{name}: {}", text.unwrap_or("a panic without a text")))
}

/// A holder of that name with a lease that lives long.
pub(crate) fn holder(node: &str) -> Holder {
    Holder { node: node.to_owned(), lease: LONG }
}

/// Acquires the workspace's shard for a long time.
pub(crate) async fn hold(journal: &Arc<dyn Journal>, workspace: &WorkspaceId) -> Acquired {
    journal.acquire(workspace.shard(journal.shards()), &holder("node-a")).await.unwrap()
}

/// Fails the test when `what` takes longer than anything should.
pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it takes too long")
}

/// A batch of these steps.
pub(crate) fn batch(steps: impl IntoIterator<Item = Step>) -> Batch {
    Batch { steps: steps.into_iter().collect(), ..Batch::default() }
}

/// Reads all messages after the cursor, without waiting.
pub(crate) async fn messages(held: &mut Acquired) -> Vec<RawEntry> {
    let poll = Poll { messages: Some((EntryId::ZERO, 1_000)), probe: true, ..Poll::default() };
    soon(held.intake.poll(&poll)).await.unwrap().messages
}

/// The length of the message stream.
pub(crate) async fn length(held: &mut Acquired) -> u64 {
    let poll = Poll { probe: true, ..Poll::default() };
    soon(held.intake.poll(&poll)).await.unwrap().length.unwrap()
}

/// Workspaces of the same shard as the first of them.
pub(crate) fn neighbours(count: usize) -> Vec<WorkspaceId> {
    let all = (0..).map(|n| format!("ws-{n}").parse::<WorkspaceId>().unwrap());
    all.filter(|workspace| workspace.shard(SHARDS) == 1).take(count).collect()
}
