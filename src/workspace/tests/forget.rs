use crate::message::EntryId;
use crate::workspace::decide::{self, MailResult};
use crate::workspace::event::{Attempt, Event, Forgotten, MailId, MailState, MessagesSkipped};
use crate::workspace::policy::Policy;
use crate::workspace::scenario::*;
use crate::workspace::state::State;
use crate::workspace::time::Time;

fn forget(state: &State) -> Option<Event> {
    decide::forget(state, "admin", at(500))
}

fn forgotten() -> Event {
    Event::Forgotten(Forgotten { at: at(500), by: "admin".to_owned() })
}

/// Everything that a workspace may have, and then nothing: the last seq is 13.
fn past() -> Vec<Event> {
    let skipped = MessagesSkipped { at: at(200), count: 3, newest: entry(20) };
    let mut past = streak(MailState::Owed);
    past.extend([Event::MessagesSkipped(skipped), test_started(300), forgotten()]);
    past
}

fn outcome(attempt: Attempt) -> impl FnOnce(&State) -> Vec<Event> {
    move |state| decide::outcome(state, attempt, at(600), &Policy::default())
}

#[test]
fn a_forgotten_workspace_is_one_never_seen_whose_seq_goes_on() {
    let mut before = past();
    let expected = before.pop();
    let state = given(before).when(forget).then(expected);
    assert_eq!(state, State { seq: 13, forgotten: 13, ..State::default() });
    let saved = given(past()).when(|_: &State| Some(switched_on())).then([switched_on()]);
    assert_eq!((saved.seq, saved.webhook.config, saved.forgotten), (14, 14, 13));
}

#[test]
fn what_holds_nothing_is_not_forgotten_again() {
    given([]).when(forget).then_nothing();
    given(past()).when(forget).then_nothing();
    let skipped = Event::MessagesSkipped(MessagesSkipped { at: at(400), count: 1, newest: entry(21) });
    given(past().into_iter().chain([skipped])).when(forget).then([forgotten()]);
}

#[test]
fn an_attempt_under_way_when_its_workspace_was_forgotten_leaves_no_trace() {
    for attempt in [success(30), failure(30), test_at(300).attempt] {
        given(past()).when(outcome(attempt.clone())).then_nothing();
        given(past().into_iter().chain([switched_on()])).when(outcome(attempt)).then_nothing();
    }
    let later = Attempt { config: 14, ..failure(31) };
    given(past().into_iter().chain([switched_on()])).when(outcome(later.clone())).then([counted(later, 1)]);
}

#[test]
fn a_test_under_way_when_its_workspace_was_forgotten_was_not_interrupted() {
    given(past()).when(|state: &State| decide::interrupted(state, at(600))).then_nothing();
}

#[test]
fn a_mail_under_way_when_its_workspace_was_forgotten_leaves_no_trace() {
    let again = [switched_on(), disabled(700, 11, MailState::Owed)];
    for past in [past(), past().into_iter().chain(again).collect()] {
        for result in [MailResult::Sent, MailResult::Refused("no".to_owned()), MailResult::Later("busy".to_owned())] {
            given(past.clone())
                .when(|state: &State| decide::mail(state, MailId::disabled(13), result, at(800)))
                .then_nothing();
        }
    }
}

#[test]
fn the_snapshot_of_a_workspace_that_was_never_forgotten_says_nothing_of_it() {
    let text = |state: &State| serde_json::to_string(state).unwrap();
    let never = text(&state_of(&streak(MailState::Owed)));
    assert!(!never.contains("forgotten") && !never.contains("token_generation"), "{never}");
    assert!(text(&state_of(&past())).contains("\"forgotten\":13"));
}

#[test]
fn a_log_is_old_when_nothing_of_it_is_younger() {
    let at = |ms| Time::from_unix_ms(ms);
    let skipped = |last_at, newest| {
        let mut state = State::default();
        state.skipped.count = 1;
        (state.skipped.last_at, state.skipped.newest) = (Some(at(last_at)), newest);
        state
    };
    let saved = |mut state: State| {
        (state.seq, state.webhook.config) = (1, 1);
        state
    };
    let newest = Some(EntryId { ms: 1, n: 0 });
    let before = at(1_000);
    for (state, expected) in [
        (State::default(), None),
        (skipped(999, newest), Some("forgotten")),
        (skipped(1_000, newest), None),
        // Its newest message was attempted, or is dropped already; what counts it is still kept.
        (skipped(999, None), Some("forgotten")),
        (saved(skipped(999, newest)), Some("dropped")),
        (saved(skipped(1_000, newest)), None),
        // There is nothing left to drop.
        (saved(skipped(999, None)), None),
        (saved(State::default()), None),
    ] {
        let event = decide::drop_log(&state, before, at(2_000));
        let found = event.as_ref().map(|event| match event {
            Event::Forgotten(_) => "forgotten",
            Event::LogDropped(_) => "dropped",
            other => panic!("{other:?}"),
        });
        assert_eq!(found, expected, "{state:?}");
        if let Some(event) = event {
            let mut after = state.clone();
            after.evolve(&event);
            assert_eq!(decide::drop_log(&after, before, at(2_000)), None, "once");
            assert_eq!((after.seq, &after.webhook), (state.seq, &state.webhook));
        }
    }
}
