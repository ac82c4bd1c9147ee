use crate::workspace::decide::{self, MailResult};
use crate::workspace::event::{Attempt, Event, Forgotten, MailId, MailState, MessagesSkipped};
use crate::workspace::policy::Policy;
use crate::workspace::scenario::*;
use crate::workspace::state::State;

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
