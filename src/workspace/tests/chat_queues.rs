use crate::message::{Chat, EntryId};
use crate::workspace::chat_queues::ChatQueues;
use crate::workspace::event::Event;
use crate::workspace::policy::{Counting, Policy};
use crate::workspace::scenario::*;
use crate::workspace::state::State;

const ANNA: Chat = Chat(1);
const BORIS: Chat = Chat(2);

/// The policy of most tests, with room for 100.
const WIDE: Policy = Policy {
    error_limit: 10,
    counting: Counting::Consecutive,
    in_flight_max: 100,
    mail_server: true,
    mail_warning: false,
    mail_recovered: false,
};

fn on(errors: u32) -> State {
    let mut state = state_of(&[switched_on()]);
    state.errors = errors;
    state
}

fn offered(entries: &[(u64, Chat)]) -> ChatQueues<EntryId> {
    let mut queues = ChatQueues::<EntryId>::default();
    for (n, chat) in entries {
        queues.offer(entry(*n), *chat, entry(*n));
    }
    queues
}

/// One entry each of so many chats.
fn crowd(count: u64) -> ChatQueues<EntryId> {
    offered(&(1..=count).map(|n| (n, Chat(n))).collect::<Vec<_>>())
}

/// More than any test here offers.
const ENTRIES_MAX: usize = 10_000;

/// Begins whatever may begin, in the state's configuration; returns it.
fn begin_all(queues: &mut ChatQueues<EntryId>, state: &State, policy: &Policy) -> Vec<EntryId> {
    let mut begun = Vec::new();
    while let Some(next) = queues.next().filter(|_| queues.has_room(state, policy)) {
        begun.extend(queues.begin(next, state.webhook.config).copied());
        assert!(begun.len() < ENTRIES_MAX, "it has no end");
    }
    begun
}

/// How many [`begin_all`] begins.
fn fill(queues: &mut ChatQueues<EntryId>, state: &State, policy: &Policy) -> usize {
    begin_all(queues, state, policy).len()
}

/// Takes every entry as soon as it may go, one at a time; returns the order.
fn drain(queues: &mut ChatQueues<EntryId>) -> Vec<EntryId> {
    let mut order = Vec::new();
    while let Some(next) = queues.next() {
        order.extend(queues.begin(next, 1).copied());
        queues.end(next, true, true, &on(0), &WIDE);
        assert!(order.len() < ENTRIES_MAX, "it has no end");
    }
    order
}

#[test]
fn the_oldest_goes_first_whatever_the_order_of_arrival() {
    let mut queues = offered(&[(3, ANNA), (1, BORIS), (4, BORIS), (2, ANNA)]);
    assert_eq!((queues.waiting(), queues.in_flight()), (4, 0));
    assert_eq!(drain(&mut queues), [entry(1), entry(2), entry(3), entry(4)]);
    assert_eq!((queues.waiting(), queues.in_flight()), (0, 0));
}

#[test]
fn a_chat_has_one_in_flight_and_chats_do_not_wait_for_one_another() {
    let mut queues = offered(&[(1, ANNA), (2, ANNA), (3, BORIS)]);
    queues.begin(entry(1), 1);
    assert_eq!(queues.next(), Some(entry(3)));
    queues.begin(entry(3), 1);
    assert_eq!((queues.next(), queues.waiting(), queues.in_flight()), (None, 1, 2));
    queues.end(entry(1), true, true, &on(0), &WIDE);
    assert_eq!((queues.next(), queues.in_flight()), (Some(entry(2)), 1));
}

#[test]
fn an_entry_that_arrives_late_still_goes_before_the_later_ones_of_its_chat() {
    let mut queues = offered(&[(5, ANNA), (7, ANNA)]);
    queues.begin(entry(5), 1);
    queues.offer(entry(6), ANNA, entry(6));
    assert_eq!(queues.next(), None);
    queues.end(entry(5), false, true, &on(1), &WIDE);
    assert_eq!(drain(&mut queues), [entry(6), entry(7)]);
    queues.offer(entry(9), ANNA, entry(9));
    queues.offer(entry(8), ANNA, entry(8));
    assert_eq!(drain(&mut queues), [entry(8), entry(9)]);
}

#[test]
fn an_entry_is_taken_up_once() {
    let mut queues = offered(&[(1, ANNA), (1, ANNA)]);
    assert_eq!(queues.waiting(), 1);
    queues.begin(entry(1), 1);
    queues.offer(entry(1), ANNA, entry(1));
    queues.adopt(entry(1), ANNA, 1, entry(1));
    assert_eq!((queues.waiting(), queues.in_flight()), (0, 1));
    assert!(queues.has_room(&on(9), &WIDE), "it takes one of two places");
    queues.end(entry(1), true, true, &on(0), &WIDE);
    queues.end(entry(1), true, true, &on(0), &WIDE);
    assert_eq!((queues.next(), queues.in_flight()), (None, 0));
}

#[test]
fn a_skipped_entry_lets_its_chat_go_on() {
    let mut queues = offered(&[(1, ANNA), (2, ANNA)]);
    assert_eq!(queues.skip(entry(1)), Some(entry(1)));
    assert_eq!((queues.next(), queues.waiting()), (Some(entry(2)), 1));
}

#[test]
fn an_attempt_that_was_not_made_waits_again_first_of_its_chat() {
    let mut queues = offered(&[(1, ANNA), (2, ANNA), (3, BORIS)]);
    queues.begin(entry(1), 1);
    queues.put_back(entry(1));
    assert_eq!((queues.waiting(), queues.in_flight()), (3, 0));
    assert_eq!(drain(&mut queues), [entry(1), entry(2), entry(3)]);
}

#[test]
fn an_adopted_attempt_holds_its_chat_and_its_place_in_the_window() {
    let mut queues = ChatQueues::<EntryId>::default();
    queues.offer(entry(1), ANNA, entry(1));
    queues.adopt(entry(1), ANNA, 1, entry(1));
    queues.offer(entry(2), ANNA, entry(2));
    assert_eq!((queues.next(), queues.waiting(), queues.in_flight()), (None, 1, 1));
    assert!(!queues.has_room(&on(10), &WIDE) && queues.has_room(&on(9), &WIDE));
    queues.end(entry(1), true, true, &on(0), &WIDE);
    assert_eq!(queues.next(), Some(entry(2)));
}

#[test]
fn a_chat_waits_for_all_attempts_that_were_adopted() {
    let mut queues = offered(&[(3, ANNA)]);
    queues.adopt(entry(1), ANNA, 1, entry(1));
    queues.adopt(entry(2), ANNA, 1, entry(2));
    queues.end(entry(1), true, true, &on(0), &WIDE);
    assert_eq!(queues.next(), None);
    queues.end(entry(2), true, true, &on(0), &WIDE);
    assert_eq!(queues.next(), Some(entry(3)));
}

#[test]
fn all_but_the_oldest_are_given_back() {
    let mut queues = offered(&[(1, ANNA), (2, ANNA), (3, BORIS), (4, ANNA), (5, BORIS)]);
    queues.begin(entry(1), 1);
    assert_eq!(queues.give_back(2), [entry(4), entry(5)]);
    assert_eq!((queues.waiting(), queues.in_flight()), (2, 1));
    assert_eq!(queues.give_back(2), []);
    assert_eq!(queues.give_back(0), [entry(2), entry(3)]);
    assert_eq!((queues.next(), queues.waiting()), (None, 0));
    queues.offer(entry(2), ANNA, entry(2));
    queues.end(entry(1), true, true, &on(0), &WIDE);
    assert_eq!(queues.next(), Some(entry(2)));
}

#[test]
fn until_its_first_success_a_webhook_has_as_many_in_flight_as_it_may_have_errors() {
    for errors in 0..=10 {
        let room = 11 - usize::try_from(errors).unwrap();
        let mut queues = crowd(20);
        assert_eq!(queues.window(&on(errors), &WIDE), room);
        assert_eq!(fill(&mut queues, &on(errors), &WIDE), room);
    }
}

#[test]
fn the_maximum_of_the_workspace_bounds_every_window() {
    let policy = Policy { in_flight_max: 4, ..WIDE };
    assert_eq!(fill(&mut crowd(20), &on(0), &policy), 4);
    assert_eq!(fill(&mut crowd(20), &on(8), &policy), 3);
    assert_eq!(fill(&mut crowd(20), &on(0), &policy), 4);
    let none = Policy { in_flight_max: 0, ..WIDE };
    assert_eq!(fill(&mut crowd(20), &on(0), &none), 1, "a webhook that is on always gets on");
}

#[test]
fn a_limit_lowered_below_the_counter_leaves_room_for_one() {
    let policy = Policy { error_limit: 3, ..WIDE };
    assert_eq!(fill(&mut crowd(20), &on(8), &policy), 1);
    let huge = Policy { error_limit: u32::MAX, ..WIDE };
    assert_eq!(ChatQueues::<EntryId>::default().window(&on(0), &huge), 100);
}

#[test]
fn a_dead_endpoint_gets_11_attempts_however_their_outcomes_are_spread() {
    for answer_newest_first in [true, false] {
        let (mut queues, mut state, mut flying, mut begun) = (crowd(40), on(0), Vec::new(), 0);
        while state.errors < 11 {
            let more = begin_all(&mut queues, &state, &WIDE);
            begun += more.len();
            flying.extend(more);
            let ended = flying.remove(if answer_newest_first { flying.len() - 1 } else { 0 });
            state.errors += 1;
            queues.end(ended, false, true, &state, &WIDE);
        }
        assert_eq!((begun, flying.len()), (11, 0));
    }
}

/// Ends one attempt of its own chat with the counter at `errors` afterwards.
fn end_one(queues: &mut ChatQueues<EntryId>, n: u64, delivered: bool, state: &State) -> usize {
    queues.offer(entry(n), Chat(n), entry(n));
    queues.begin(entry(n), state.webhook.config);
    queues.end(entry(n), delivered, true, state, &WIDE);
    queues.window(state, &WIDE)
}

#[test]
fn a_success_adds_one_up_to_the_maximum() {
    let mut queues = ChatQueues::<EntryId>::default();
    assert_eq!(queues.window(&on(0), &WIDE), 11, "a window is not remembered over a load");
    assert_eq!(end_one(&mut queues, 1, true, &on(0)), 12);
    assert_eq!(end_one(&mut queues, 2, true, &on(0)), 13);
    for n in 3..=89 {
        end_one(&mut queues, n, true, &on(0));
    }
    assert_eq!(queues.window(&on(0), &WIDE), 100);
    assert_eq!(end_one(&mut queues, 90, true, &on(0)), 100);
    assert_eq!(end_one(&mut queues, 91, false, &on(1)), 50, "successes at the maximum are not saved up");
}

#[test]
fn the_window_outlasts_the_queues_until_it_is_forgotten() {
    let state = on(0);
    let mut queues = ChatQueues::default();
    let window = end_one(&mut queues, 1, true, &state);
    let mut queues = ChatQueues::<EntryId>::with(queues.learned_window());
    assert_eq!(queues.window(&state, &WIDE), window);
    queues.forget_window();
    assert_eq!(queues.window(&state, &WIDE), 11);
}

#[test]
fn what_is_taken_out_lets_its_chat_go_on() {
    let mut queues = offered(&[(1, ANNA), (2, ANNA), (3, ANNA)]);
    queues.begin(entry(1), 1);
    assert_eq!((queues.remove(entry(1)), queues.next(), queues.in_flight()), (Some(entry(1)), Some(entry(2)), 0));
    assert_eq!((queues.remove(entry(2)), queues.next()), (Some(entry(2)), Some(entry(3))));
    assert_eq!((queues.remove(entry(1)), queues.len()), (None, 1));
}

#[test]
fn an_error_halves_the_window_but_not_below_what_may_still_fail() {
    let mut queues = ChatQueues::<EntryId>::default();
    for n in 1..=29 {
        end_one(&mut queues, n, true, &on(0));
    }
    assert_eq!(queues.window(&on(0), &WIDE), 40);
    let windows: Vec<usize> =
        (1..=10).map(|errors| end_one(&mut queues, 100 + u64::from(errors), false, &on(errors))).collect();
    assert_eq!(windows, [20, 10, 8, 7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(end_one(&mut queues, 200, true, &on(0)), 12);
}

#[test]
fn outcomes_that_do_not_count_leave_the_window() {
    let mut queues = ChatQueues::<EntryId>::default();
    end_one(&mut queues, 1, true, &on(0));
    for delivered in [true, false] {
        queues.offer(entry(2), ANNA, entry(2));
        queues.begin(entry(2), 1);
        queues.end(entry(2), delivered, false, &on(0), &WIDE);
        assert_eq!((queues.window(&on(0), &WIDE), queues.in_flight()), (12, 0));
    }
    queues.end(entry(77), false, true, &on(1), &WIDE);
    assert_eq!(queues.window(&on(0), &WIDE), 12, "an entry that is not in flight has no outcome");
}

#[test]
fn before_the_first_success_errors_leave_no_mark_on_the_window() {
    let mut queues = ChatQueues::<EntryId>::default();
    assert_eq!(end_one(&mut queues, 1, false, &on(1)), 10);
    assert_eq!(end_one(&mut queues, 2, false, &on(2)), 9);
    assert_eq!(end_one(&mut queues, 3, true, &on(0)), 12);
}

#[test]
fn a_new_configuration_starts_a_fresh_window() {
    let mut queues = ChatQueues::<EntryId>::default();
    for n in 1..=9 {
        end_one(&mut queues, n, true, &on(0));
    }
    assert_eq!(queues.window(&on(0), &WIDE), 20);
    let again = state_of(&[switched_on(), counted(success(1), 0), Event::WebhookSaved(saved())]);
    assert_eq!(queues.window(&again, &WIDE), 11);
    assert_eq!(end_one(&mut queues, 10, true, &again), 12, "the old window is not taken up by the first success");
}

#[test]
fn attempts_of_an_older_configuration_take_no_room() {
    let mut queues = crowd(40);
    assert_eq!(fill(&mut queues, &on(0), &WIDE), 11);
    let again = state_of(&[switched_on(), switched_on()]);
    assert_eq!(fill(&mut queues, &again, &WIDE), 11);
    assert_eq!((queues.in_flight(), queues.waiting()), (22, 18));
    queues.end(entry(1), false, false, &again, &WIDE);
    assert_eq!(fill(&mut queues, &again, &WIDE), 0);
    queues.end(entry(12), true, true, &again, &WIDE);
    assert_eq!(fill(&mut queues, &again, &WIDE), 2);
}
