mod simulation;

use std::time::Duration;

use super::*;
use crate::actor::nodes::roster::Member;
use ShardPhase::{Acquiring, Held, Idle, Leaving};

fn member(id: &str) -> Member {
    Member { id: id.to_owned(), static_shards: None, leaving: false }
}

/// The holders by shard, one letter each, `.` for none.
fn view(members: &[&str], holders: &str) -> View {
    let holder = |name: char| (name != '.').then(|| name.to_string());
    View {
        members: members.iter().map(|id| member(id)).collect(),
        holders: holders.chars().map(holder).collect(),
        exclusive: false,
    }
}

/// What node `a` decides on the view when it has seen the same before.
fn decide(view: &View, phases: &[ShardPhase]) -> Decision {
    let mut sharing = Sharing::new("a", None);
    let now = Instant::now();
    sharing.decide(view, &vec![Idle; phases.len()], now);
    sharing.given = None;
    sharing.decide(view, phases, now)
}

fn awaited(pairs: &[(u16, &str)]) -> BTreeMap<u16, String> {
    pairs.iter().map(|(shard, node)| (*shard, (*node).to_owned())).collect()
}

#[test]
fn what_nobody_holds_is_taken_at_once_but_not_on_a_first_view() {
    let (mut sharing, now) = (Sharing::new("a", None), Instant::now());
    let alone = view(&["a"], "....");
    let first = sharing.decide(&alone, &[Idle; 4], now);
    assert_eq!((first.take, first.settled, first.moving), (vec![], false, true));
    let second = sharing.decide(&alone, &[Idle; 4], now);
    assert_eq!((second.take, second.settled), (vec![0, 1, 2, 3], true));
    assert_eq!(second.assigned, "0-3".parse().unwrap());
}

#[test]
fn a_journal_that_no_other_process_can_have_needs_no_second_view() {
    let alone = View { exclusive: true, ..view(&["a"], "..") };
    let first = Sharing::new("a", None).decide(&alone, &[Idle; 2], Instant::now());
    assert_eq!((first.take, first.settled, first.moving), (vec![0, 1], true, false));
}

#[test]
fn what_is_assigned_to_this_node_and_held_by_another_is_waited_for() {
    // A member gives it away by itself; of a node that is gone the lease is waited for, by asking for it.
    let from_member = decide(&view(&["a", "b"], "bbbb"), &[Idle; 4]);
    assert_eq!((from_member.take.len(), from_member.awaited.len(), from_member.moving), (0, 2, true));
    assert!(from_member.assigned.is_empty());
    let from_gone = decide(&view(&["a"], "zz.."), &[Idle; 4]);
    assert_eq!((from_gone.take, from_gone.awaited), (vec![0, 1, 2, 3], awaited(&[(0, "z"), (1, "z")])));
    assert!(!from_gone.moving);
}

#[test]
fn what_a_predecessor_of_this_process_held_is_taken_before_anything_else_is_known() {
    let mut sharing = Sharing::new("a", None);
    let first = sharing.decide(&view(&["a", "b"], "aaab"), &[Idle; 4], Instant::now());
    assert_eq!(first.take, [0, 1, 2]);
}

#[test]
fn the_surplus_is_given_away_one_at_a_time() {
    let (mut sharing, start) = (Sharing::new("a", None), Instant::now());
    let mut all = view(&["a", "b"], "aaaaaa");
    sharing.decide(&all, &[Held; 6], start);
    let [first] = sharing.decide(&all, &[Held; 6], start).give[..] else { panic!("one") };
    let mut phases = [Held; 6];
    phases[usize::from(first)] = Leaving;
    assert_eq!(sharing.decide(&all, &phases, start).give, Vec::<u16>::new());
    // Released, and not taken yet.
    phases[usize::from(first)] = Idle;
    all.holders[usize::from(first)] = None;
    let waits = sharing.decide(&all, &phases, start);
    assert_eq!((waits.give, waits.moving), (vec![], true));
    all.holders[usize::from(first)] = Some("b".to_owned());
    let [second] = sharing.decide(&all, &phases, start).give[..] else { panic!("one") };
    assert_ne!(first, second);
    // Nobody takes the second: the third waits no longer than that.
    phases[usize::from(second)] = Idle;
    all.holders[usize::from(second)] = None;
    assert_eq!(sharing.decide(&all, &phases, start + MOVE_MAX / 2).give, Vec::<u16>::new());
    assert_eq!(sharing.decide(&all, &phases, start + MOVE_MAX).give.len(), 1);
}

#[test]
fn one_view_that_differs_moves_nothing() {
    let (mut sharing, now) = (Sharing::new("a", None), Instant::now());
    let (alone, two) = (view(&["a"], "aaaa"), view(&["a", "b"], "aaaa"));
    for view in [&alone, &alone, &two, &alone, &two, &alone] {
        assert_eq!(sharing.decide(view, &[Held; 4], now).give, Vec::<u16>::new());
    }
}

#[test]
fn a_shard_that_is_not_held_yet_and_became_another_nodes_is_let_go() {
    let mut view = view(&["a", "b"], "..bb");
    view.members[0].leaving = true;
    assert_eq!(decide(&view, &[Acquiring, Acquiring, Idle, Idle]).give, [0, 1]);
}

#[test]
fn static_shards_are_taken_whoever_else_is_there_and_an_overlap_is_told() {
    let claims = |id: &str, shards: &str| Member { static_shards: Some(shards.parse().unwrap()), ..member(id) };
    let both = View { members: vec![claims("a", "0-2"), claims("b", "2-3")], ..view(&[], "..bb") };
    let (mut sharing, now) = (Sharing::new("a", Some("0-2".parse().unwrap())), Instant::now());
    sharing.decide(&both, &[Idle; 4], now);
    let decision = sharing.decide(&both, &[Idle; 4], now);
    // Who was told to run it and has it keeps it.
    assert_eq!((&decision.take[..], &decision.give[..]), (&[0, 1][..], &[][..]));
    assert_eq!((decision.contested, decision.awaited), (awaited(&[(2, "b")]), awaited(&[(2, "b")])));
    assert!(decision.nobodys.is_empty() && !decision.moving);
    // A member that shares gives it away by itself, and so does one that ends: taken as soon as it is released.
    for holder in [member("b"), Member { leaving: true, ..claims("b", "2-3") }] {
        let held = View { members: vec![claims("a", "0-2"), holder.clone()], ..view(&[], "aabb") };
        sharing.decide(&held, &[Held, Held, Idle, Idle], now);
        let waits = sharing.decide(&held, &[Held, Held, Idle, Idle], now);
        assert_eq!((waits.take, waits.moving), (vec![], true));
        let released = View { members: vec![claims("a", "0-2"), holder], ..view(&[], "aa..") };
        assert_eq!(sharing.decide(&released, &[Held, Held, Idle, Idle], now).take, [2]);
    }
    let alone = View { members: vec![claims("a", "0-2")], ..view(&[], "aaa.") };
    sharing.decide(&alone, &[Held; 4], now);
    assert_eq!(sharing.decide(&alone, &[Held, Held, Held, Idle], now).nobodys, "3".parse().unwrap());
}

#[test]
fn a_facade_takes_nothing_and_keeps_nothing_from_the_others() {
    let facade = Member { static_shards: Some("".parse().unwrap()), ..member("a") };
    let both = View { members: vec![facade, member("b")], ..view(&[], "....") };
    let (mut sharing, now) = (Sharing::new("a", Some("".parse().unwrap())), Instant::now());
    sharing.decide(&both, &[Idle; 4], now);
    let decision = sharing.decide(&both, &[Idle; 4], now + Duration::from_secs(1));
    assert_eq!((decision.take, decision.give, decision.settled), (vec![], vec![], true));
}
