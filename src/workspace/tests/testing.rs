use crate::workspace::command::Refusal;
use crate::workspace::decide;
use crate::workspace::event::{Attempt, AttemptError, ErrorKind, Event, Forgotten, TestDropped, Trigger};
use crate::workspace::policy::Policy;
use crate::workspace::scenario::*;
use crate::workspace::state::State;

fn ask(ms: i64) -> impl FnOnce(&State) -> Result<(), Refusal> {
    move |state| decide::test_allowed(state, at(ms))
}

fn again(attempt: u64, ms: i64) -> impl FnOnce(&State) -> Result<(), Refusal> {
    move |state| decide::again_allowed(state, attempt, at(ms))
}

#[test]
fn an_attempt_is_sent_again_by_the_rules_of_a_test() {
    let past = || [switched_on(), counted(success(1), 0)];
    given(past()).when(again(2, 5_000)).then_nothing();
    given(past()).when(again(3, 5_000)).then_refused(Refusal::NoSuchAttempt);
    given(past().into_iter().chain([test_started(2_000)])).when(again(2, 5_000)).then_refused(Refusal::TestUnderWay);
    let forgotten = Event::Forgotten(Forgotten { at: at(9), by: "ops".to_owned() });
    assert_eq!(
        again(2, 5_000)(&state_of(&[past()[0].clone(), past()[1].clone(), forgotten])),
        Err(Refusal::NoSuchAttempt)
    );

    let mut started = test_at(2_000);
    started.attempt = Attempt { trigger: Trigger::Again, webhook_id: success(1).webhook_id, ..started.attempt };
    let sent = started.attempt.clone();
    let past: Vec<Event> = past().into_iter().chain([Event::TestStarted(Box::new(started))]).collect();
    let state = given(past).when(outcome(sent.clone())).then([event_of(sent)]);
    assert_eq!((state.errors, state.test, state.tested_at), (0, None, Some(at(2_000))));
}

fn outcome(attempt: Attempt) -> impl FnOnce(&State) -> Vec<Event> {
    move |state| decide::outcome(state, attempt, at(9_000), &Policy::default())
}

fn failed(kind: ErrorKind) -> Attempt {
    Attempt { error: Some(AttemptError { kind, detail: "why".to_owned() }), ..test_at(2_000).attempt }
}

#[test]
fn a_test_is_allowed_even_before_anything_was_saved() {
    given([]).when(ask(0)).then_nothing();
}

#[test]
fn one_test_at_a_time() {
    given([switched_on(), test_started(2_000)]).when(ask(60_000)).then_refused(Refusal::TestUnderWay);
}

#[test]
fn one_test_a_second_counted_from_when_it_was_sent() {
    let past = || [switched_on(), test_started(2_000), event_of(test_at(2_000).attempt)];
    given(past()).when(ask(2_000)).then_refused(Refusal::TestTooSoon);
    given(past()).when(ask(2_999)).then_refused(Refusal::TestTooSoon);
    given(past()).when(ask(3_000)).then_nothing();
}

#[test]
fn a_clock_that_was_set_back_locks_no_test_out() {
    let past = [switched_on(), test_started(2_000), event_of(test_at(2_000).attempt)];
    given(past).when(ask(1_999)).then_nothing();
}

#[test]
fn a_started_test_is_remembered_and_takes_no_seq() {
    let state = state_of(&[switched_on(), test_started(2_000)]);
    assert_eq!((state.seq, state.test), (1, Some(Box::new(test_at(2_000)))));
}

#[test]
fn a_test_moves_neither_counter_nor_window_nor_switch() {
    for tested in [test_at(2_000).attempt, failed(ErrorKind::Timeout)] {
        let past: Vec<Event> = std::iter::once(switched_on()).chain(errors(10)).chain([test_started(2_000)]).collect();
        let before = state_of(&past);
        let after = given(past).when(outcome(tested.clone())).then([event_of(tested)]);
        assert_eq!((after.errors, &after.webhook), (10, &before.webhook));
        assert_eq!((&after.failing_since, &after.recent_errors), (&before.failing_since, &before.recent_errors));
        assert_eq!((after.test, after.tested_at), (None, Some(at(2_000))));
        assert_eq!(after.last_attempt.unwrap().id, "12");
    }
}

#[test]
fn a_test_that_sent_nothing_does_not_count_towards_one_a_second() {
    use ErrorKind::{Connect, Dns, ForbiddenAddress, HttpStatus, Interrupted, Protocol, Redirect, Timeout, Tls};
    for (kind, tested_at) in [
        (ForbiddenAddress, None),
        (Dns, None),
        (Interrupted, None),
        (Connect, None),
        (Tls, None),
        (Timeout, Some(at(2_000))),
        (HttpStatus, Some(at(2_000))),
        (Redirect, Some(at(2_000))),
        (Protocol, Some(at(2_000))),
    ] {
        let past = [switched_on(), test_started(2_000)];
        let state = given(past).when(outcome(failed(kind))).then([event_of(failed(kind))]);
        assert_eq!((state.test, state.tested_at), (None, tested_at), "{kind:?}");
    }
}

#[test]
fn a_test_that_is_not_under_way_has_no_outcome() {
    given([switched_on()]).when(outcome(test_at(2_000).attempt)).then_nothing();
    let other = Attempt { webhook_id: "test_1-0".into(), ..test_at(2_000).attempt };
    let state = given([switched_on(), test_started(2_000)]).when(outcome(other)).then_nothing();
    assert!(state.test.is_some());
}

#[test]
fn an_interrupted_test_is_logged_as_failed_and_frees_the_next() {
    let interrupted = |state: &State| decide::interrupted(state, at(8_000));
    let detail =
        format!("the service stopped during this test and came back at {}; whether it was sent is unknown", at(8_000));
    let error = Some(AttemptError { kind: ErrorKind::Interrupted, detail });
    let expected = event_of(Attempt { error, ..test_at(2_000).attempt });
    let past = || [switched_on(), test_started(2_000)];
    let state = given(past()).when(interrupted).then([expected.clone()]);
    assert_eq!(state.test, None);
    given(past().into_iter().chain([expected])).when(ask(2_000)).then_nothing();
}

#[test]
fn without_a_test_nothing_was_interrupted() {
    given([switched_on()]).when(|state: &State| decide::interrupted(state, at(8_000))).then_nothing();
}

#[test]
fn a_dropped_test_frees_the_next_and_another_ones_end_does_not() {
    let dropped = |n| Event::TestDropped(TestDropped { at: at(2_500), command: entry(n) });
    let past = |n| [switched_on(), test_started(2_000), dropped(n)];
    given(past(900)).when(ask(2_500)).then_nothing();
    given(past(901)).when(ask(2_500)).then_refused(Refusal::TestUnderWay);
    assert_eq!(state_of(&past(900)).seq, 1);
}
