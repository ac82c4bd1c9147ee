//! What readyz says of the shards.

use super::*;
use crate::actor::shard::core::ShardCounts;

fn set(text: &str) -> ShardSet {
    text.parse().unwrap()
}

fn held() -> Option<ShardStatus> {
    Some(ShardStatus::Held(ShardCounts::default()))
}

#[test]
fn what_is_assigned_and_missing_is_one_reason() {
    let board = Board::new(16);
    assert_eq!(board.report().reasons, ["which shards this node runs is not decided yet"]);
    let assigned = set("0-7");
    let standing = NodeStanding { decided: true, assigned, ..NodeStanding::default() };
    board.stand(standing);
    assert_eq!(
        board.report().reasons,
        ["of the shards 0-7 assigned to this node shards 0-7 are not held: it is about to be acquired"]
    );
    (0..7).for_each(|shard| board.set(shard, held()));
    board.set(7, Some(ShardStatus::Waiting("shard 7 is held by node n2 now".to_owned())));
    let report = board.report();
    assert_eq!(
        report.reasons,
        ["of the shards 0-7 assigned to this node shard 7 is not held: shard 7 is held by node n2 now"]
    );
    assert_eq!((report.assigned, report.held), (set("0-7"), set("0-6")));
    board.set(7, held());
    assert_eq!((board.report().reasons, board.report().notices), (Vec::new(), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn what_moves_from_node_to_node_keeps_none_from_being_ready_for_a_moment() {
    let board = Board::new(16);
    let standing = |assigned: &str| NodeStanding { decided: true, assigned: set(assigned), ..NodeStanding::default() };
    board.stand(standing("0-7"));
    (0..8).for_each(|shard| board.set(shard, held()));
    board.stand(NodeStanding { decided: false, ..standing("0-7") });
    board.stand(standing("0-15"));
    let moving = "of the shards 0-15 assigned to this node shards 8-15 are not held: it is about to be acquired";
    assert_eq!((board.report().reasons, board.report().notices), (Vec::new(), vec![moving.to_owned()]));
    board.set(8, Some(ShardStatus::Waiting("the store is away".to_owned())));
    assert_eq!(board.report().reasons.len(), 1, "it cannot be acquired");
    board.set(8, held());
    tokio::time::advance(MOVING_UNHELD_MAX).await;
    assert_eq!(board.report().reasons.len(), 1, "it takes too long");
    (9..16).for_each(|shard| board.set(shard, held()));
    assert_eq!((board.report().reasons, board.report().notices), (Vec::new(), Vec::new()));
}

#[test]
fn a_node_without_a_shard_stays_ready_while_the_others_change() {
    let board = Board::new(16);
    board.stand(NodeStanding { decided: true, ..NodeStanding::default() });
    board.stand(NodeStanding::default());
    assert_eq!(board.report().reasons, Vec::<String>::new());
}

#[test]
fn what_another_node_still_holds_keeps_no_node_from_being_ready() {
    let board = Board::new(16);
    let awaited = BTreeMap::from([("n2".to_owned(), set("0-7"))]);
    board.stand(NodeStanding { decided: true, awaited, ..NodeStanding::default() });
    let report = board.report();
    assert_eq!(report.reasons, Vec::<String>::new());
    assert_eq!(report.notices.len(), 1, "{:?}", report.notices);
    assert!(report.notices[0].starts_with("shards 0-7 are still held by node n2; "), "{:?}", report.notices);
}

#[test]
fn a_node_that_ends_is_not_ready() {
    let board = Board::new(1);
    board.stand(NodeStanding { decided: true, ..NodeStanding::default() });
    assert_eq!((board.report().reasons, board.report().role), (Vec::new(), NodeRole::Standby));
    board.leave();
    assert_eq!(board.report().reasons, ["the service is stopping: it gives its shards away"]);
    assert_eq!(board.report().role, NodeRole::Leaving);
}

#[test]
fn what_the_store_does_not_do_is_said_with_its_words_and_once_for_all_shards() {
    let board = Board::new(4);
    board.unlisted(Some("NOPERM".to_owned()));
    let unlisted = "the store refuses to tell which nodes there are, or to be told of this one: NOPERM";
    assert_eq!(board.report().reasons, ["which shards this node runs is not decided yet", unlisted]);
    board.stand(NodeStanding { decided: true, assigned: set("0-3"), ..NodeStanding::default() });
    let unread = |why: &str| {
        let unread_why = Some(why.into());
        Some(ShardStatus::Held(ShardCounts { unread_why, ..ShardCounts::default() }))
    };
    board.set(0, held());
    (1..3).for_each(|shard| board.set(shard, unread("NOPERM")));
    board.set(3, unread("WRONGTYPE"));
    let report = board.report();
    assert_eq!(
        report.reasons,
        [
            "shards 1-2: the streams cannot be read, so nothing new is taken up: NOPERM",
            "shard 3: the streams cannot be read, so nothing new is taken up: WRONGTYPE",
        ]
    );
    assert_eq!(report.notices, [unlisted]);
    board.unlisted(None);
    (1..4).for_each(|shard| board.set(shard, held()));
    assert_eq!((board.report().reasons, board.report().notices), (Vec::new(), Vec::new()));
}
