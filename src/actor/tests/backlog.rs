//! More than a shard holds in memory, with workspaces that are slow, fail, panic and are switched off.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bench::{Bench, id, status};
use crate::journal::port::{Holder, Poll};
use crate::message::EntryId;
use crate::workspace::command::{Action, Save};
use support::endpoint::Manner;

const MESSAGES: usize = 1_200;

#[tokio::test]
async fn every_message_of_a_long_backlog_has_one_outcome_whatever_its_workspace_does() {
    let mut bench = Bench::with(|options| options.policy.in_flight_max = 8).await;
    let workspaces: Vec<String> = (0..).map(|n| format!("w{n}")).filter(|w| id(w).shard(2) == 0).take(5).collect();
    let [toggled, poisoned, failing, slow, never] = [0, 1, 2, 3, 4].map(|n| workspaces[n].as_str());
    bench.treat(slow, Manner { delay: Duration::from_millis(10), ..Manner::default() });
    bench.treat(failing, status(500));
    for workspace in &workspaces[..4] {
        bench.save(workspace).await;
    }
    for n in 0..MESSAGES {
        if n == MESSAGES - 100 {
            // However fast the messages before are delivered, these are not.
            let off = Save { url: Some(bench.url(toggled)), enabled: Some(false), ..Save::default() };
            bench.submit(toggled, Action::Save(off)).await;
        }
        for workspace in &workspaces {
            let poison = workspace == poisoned && n % 300 == 150;
            let name = if poison { "poison" } else { "m" };
            bench.publish(workspace, &format!("+{}", n % 5), &format!("{name}-{workspace}-{n:05}")).await;
        }
    }
    bench.until(toggled, "some are skipped", |r| r.state.skipped.count > 50).await;
    bench.save(toggled).await;

    bench.until(never, "all are skipped", |r| r.state.skipped.count == 1_200).await;
    bench.until(failing, "all but eleven are skipped", |r| r.state.skipped.count == 1_189).await;
    bench.until_received(poisoned, MESSAGES - 4).await;
    bench.until_received(slow, MESSAGES).await;
    let skipped = bench.read(toggled).await.state.skipped.count;
    bench.until_received(toggled, MESSAGES - usize::try_from(skipped).unwrap()).await;
    bench.handle.take().unwrap().drain().await;

    let counts = workspaces.iter().map(|workspace| check_order(&bench.message_ids(workspace)));
    let skipped = bench.read(toggled).await.state.skipped.count;
    let attempted = MESSAGES - usize::try_from(skipped).unwrap();
    assert_eq!(counts.collect::<Vec<_>>(), [attempted, MESSAGES - 4, 11, MESSAGES, 0]);
    assert_eq!(owed(&bench).await, Some(0), "entries are left in the stream");
}

/// Each came once, and each chat in order. Answers how many came.
fn check_order(ids: &[String]) -> usize {
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "a message was attempted twice");
    for chat in 0..5 {
        let of_chat = |id: &&String| id[id.len() - 5..].parse::<usize>().unwrap() % 5 == chat;
        let of_chat: Vec<&String> = ids.iter().filter(of_chat).collect();
        assert!(of_chat.is_sorted(), "a chat came as {of_chat:?}");
    }
    ids.len()
}

/// How many entries are left in the stream of shard 0.
async fn owed(bench: &Bench) -> Option<u64> {
    let holder = Holder { node: "test".to_owned(), lease: Duration::from_secs(10) };
    let mut acquired = bench.journal.acquire(0, &holder).await.unwrap();
    let poll = Poll { messages: Some((EntryId::ZERO, 10)), probe: true, ..Poll::default() };
    acquired.intake.poll(&poll).await.unwrap().length
}
