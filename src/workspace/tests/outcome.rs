//! What becomes of messages: attempted, with an outcome, or skipped.

use crate::workspace::decide;
use crate::workspace::event::{Attempt, Event, MailState, MessagesSkipped, Trigger, WebhookSaved};
use crate::workspace::policy::{Counting, Policy};
use crate::workspace::scenario::*;
use crate::workspace::state::{OutcomeWord, RecentError, Skipped, State, Summary};

fn outcome(attempt: Attempt) -> impl FnOnce(&State) -> Vec<Event> {
    outcome_by(attempt, Policy::default())
}

fn outcome_by(attempt: Attempt, policy: Policy) -> impl FnOnce(&State) -> Vec<Event> {
    move |state| decide::outcome(state, attempt, at(100), &policy)
}

const SINCE_SAVED: Policy = Policy {
    error_limit: 10,
    counting: Counting::SinceSaved,
    in_flight_max: 32,
    mail_server: true,
    mail_warning: false,
    mail_recovered: false,
};

/// Switched on (seq 1), then `count` errors.
fn failing(count: u32) -> Vec<Event> {
    std::iter::once(switched_on()).chain(errors(count)).collect()
}

/// Everything that an outcome of an older configuration must not move.
fn moved(state: &State) -> State {
    State { seq: 0, last_attempt: None, ..state.clone() }
}

#[test]
fn a_success_is_recorded_and_proves_the_configuration() {
    let state = given([switched_on()]).when(outcome(success(1))).then([counted(success(1), 0)]);
    assert_eq!(state.errors, 0);
    let summary = Summary {
        id: "2".to_owned(),
        at: at(1),
        trigger: Trigger::Message,
        message_id: "m1".into(),
        webhook_id: format!("msg_7_{}", entry(1)).into(),
        outcome: OutcomeWord::Delivered,
        status: Some(200),
        error: None,
        duration_ms: 12,
        waited_ms: Some(0),
    };
    assert_eq!(state.last_attempt, Some(summary));
}

#[test]
fn how_long_a_message_waited_is_counted_from_its_entry_or_from_where_it_was_handed_over() {
    for (trigger, webhook_id, waited) in [
        (Trigger::Message, format!("msg_7_{}", entry(1)), 4_000),
        (Trigger::Message, format!("msg_s0a1b2c3d_{}", entry(0)), 4_001),
        (Trigger::Message, format!("msg_7_{}", entry(9_000)), 0),
        (Trigger::Message, "odd".to_owned(), 4_000),
        (Trigger::Test, format!("test_{}", entry(1)), 0),
        (Trigger::Again, format!("msg_7_{}", entry(1)), 0),
    ] {
        let attempt = Attempt { trigger, at: at(4_001), webhook_id: webhook_id.as_str().into(), ..success(1) };
        assert_eq!(attempt.waited_ms(), waited, "{webhook_id}");
    }
}

#[test]
fn an_error_is_recorded_and_counted() {
    let state = given([switched_on()]).when(outcome(failure(1))).then([counted(failure(1), 1)]);
    assert_eq!((state.errors, state.failing_since), (1, Some(at(1))));
    let last = state.last_attempt.unwrap();
    assert_eq!((last.outcome, last.status, last.error), (OutcomeWord::Failed, Some(500), Some(http_error(1))));
}

#[test]
fn the_10th_error_in_a_row_switches_nothing_off() {
    let state = given(failing(9)).when(outcome(failure(10))).then([counted(failure(10), 10)]);
    assert!(state.webhook.enabled);
    assert_eq!(state.errors, 10);
}

#[test]
fn the_11th_error_in_a_row_switches_off_and_owes_a_mail() {
    let expected = [counted(failure(11), 11), disabled(100, 11, MailState::Owed)];
    let state = given(failing(10)).when(outcome(failure(11))).then(expected);
    assert!(!state.webhook.enabled && state.webhook.disabled_by_errors);
    assert_eq!((state.webhook.disabled_at, state.webhook.updated_at), (Some(at(100)), Some(at(100))));
    assert_eq!(state.webhook.url.as_deref(), Some(URL));
    assert_eq!((state.errors, state.seq, state.webhook.config), (11, 13, 1));
    assert_eq!(state.mails, [at(100)]);
    let mail = state.mail.unwrap();
    assert_eq!((mail.owed_by, mail.state, mail.at, mail.detail), (13, MailState::Owed, at(100), None));
}

#[test]
fn the_switch_off_starts_the_count_of_skipped_messages() {
    let skipped = Event::MessagesSkipped(MessagesSkipped { at: at(0), count: 4, newest: entry(1) });
    let expected = [counted(failure(11), 11), disabled(100, 11, MailState::Owed)];
    let past = std::iter::once(skipped).chain(failing(10));
    let state = given(past).when(outcome(failure(11))).then(expected);
    assert_eq!((state.skipped.count, state.skipped.newest), (0, Some(entry(1))));
}

#[test]
fn what_comes_after_the_switch_off_is_only_logged() {
    for late in [failure(12), success(12)] {
        let before = state_of(&streak(MailState::Owed));
        let after = given(streak(MailState::Owed)).when(outcome(late.clone())).then([event_of(late)]);
        assert_eq!(moved(&after), moved(&before));
        assert_eq!(after.last_attempt.unwrap().message_id.as_ref(), "m12");
    }
}

#[test]
fn an_outcome_of_an_older_configuration_moves_nothing() {
    for late in [failure(12), success(12)] {
        let past: Vec<Event> = failing(10).into_iter().chain([switched_on()]).collect();
        let before = state_of(&past);
        let after = given(past).when(outcome(late.clone())).then([event_of(late)]);
        assert_eq!(moved(&after), moved(&before));
    }
}

#[test]
fn a_success_sets_the_counter_to_0() {
    let state = given(failing(10)).when(outcome(success(11))).then([counted(success(11), 0)]);
    assert_eq!((state.errors, state.failing_since, state.recent_errors.len()), (0, None, 0));
    assert!(state.webhook.enabled);
}

#[test]
fn only_errors_in_a_row_switch_off() {
    let mut past = failing(10);
    past.push(counted(success(11), 0));
    past.extend((12..=21).map(|n| counted(failure(n), u32::try_from(n).unwrap() - 11)));
    let state = state_of(&past);
    assert_eq!((state.errors, state.failing_since), (10, Some(at(12))));
    let expected = [counted(failure(22), 11), disabled(100, 11, MailState::Owed)];
    given(past).when(outcome(failure(22))).then(expected);
}

#[test]
fn counting_since_the_save_a_success_leaves_the_counter_and_the_streak() {
    let state = given(failing(10)).when(outcome_by(success(11), SINCE_SAVED)).then([counted(success(11), 10)]);
    assert!(state.webhook.enabled);
    assert_eq!((state.failing_since, state.recent_errors.len()), (Some(at(1)), 3));
    let past = failing(10).into_iter().chain([counted(success(11), 10)]);
    let expected = [counted(failure(12), 11), disabled(100, 11, MailState::Owed)];
    given(past).when(outcome_by(failure(12), SINCE_SAVED)).then(expected);
}

#[test]
fn the_last_three_errors_are_remembered_oldest_first() {
    let told = |n: u64| RecentError {
        at: at(n.try_into().unwrap()),
        message_id: format!("m{n}").into(),
        kind: http_error(n).kind,
        detail: http_error(n).detail,
    };
    assert_eq!(state_of(&failing(2)).recent_errors, [told(1), told(2)]);
    assert_eq!(state_of(&failing(3)).recent_errors, [told(1), told(2), told(3)]);
    assert_eq!(state_of(&failing(5)).recent_errors, [told(3), told(4), told(5)]);
}

#[test]
fn a_limit_of_0_switches_off_at_the_first_error() {
    let policy = Policy { error_limit: 0, ..Policy::default() };
    let expected = [counted(failure(1), 1), disabled(100, 1, MailState::Owed)];
    given([switched_on()]).when(outcome_by(failure(1), policy)).then(expected);
}

#[test]
fn a_limit_lowered_below_the_counter_switches_off_at_the_next_error_only() {
    let policy = Policy { error_limit: 3, ..Policy::default() };
    given(failing(8)).when(outcome_by(success(9), policy)).then([counted(success(9), 0)]);
    let expected = [counted(failure(9), 9), disabled(100, 9, MailState::Owed)];
    given(failing(8)).when(outcome_by(failure(9), policy)).then(expected);
}

#[test]
fn without_a_mail_server_no_mail_is_owed() {
    let policy = Policy { mail_server: false, ..Policy::default() };
    let expected = [counted(failure(11), 11), disabled(100, 11, MailState::NoMailServer)];
    let state = given(failing(10)).when(outcome_by(failure(11), policy)).then(expected);
    assert_eq!(state.mails, []);
    assert_eq!(state.mail.unwrap().state, MailState::NoMailServer);
}

#[test]
fn without_an_address_no_mail_is_owed() {
    let anonymous = Event::WebhookSaved(WebhookSaved { owner_email: None, ..saved() });
    let past = std::iter::once(anonymous).chain(errors(10));
    let state = given(past)
        .when(outcome(failure(11)))
        .then([counted(failure(11), 11), disabled(100, 11, MailState::NoAddress)]);
    assert_eq!(state.mails, []);
}

/// `mails` switch-offs a millisecond apart from `from_ms`, each followed by a save; then a failing
/// webhook with one error to go.
fn after_mails(mails: u32, from_ms: i64) -> (Vec<Event>, Attempt) {
    let mut past = Vec::new();
    for n in 0..mails {
        past.push(switched_on());
        past.push(disabled(from_ms + i64::from(n), 11, MailState::Owed));
    }
    past.push(switched_on());
    past.extend(errors(10));
    let config = state_of(&past).webhook.config;
    (past, Attempt { config, ..failure(11) })
}

#[test]
fn the_10th_mail_in_24_hours_is_owed_and_the_11th_is_not() {
    let (past, eleventh) = after_mails(9, 0);
    let state =
        given(past).when(outcome(eleventh.clone())).then([counted(eleventh, 11), disabled(100, 11, MailState::Owed)]);
    assert_eq!(state.mails.len(), 10);
    let (past, eleventh) = after_mails(10, 0);
    let state = given(past)
        .when(outcome(eleventh.clone()))
        .then([counted(eleventh, 11), disabled(100, 11, MailState::Limited)]);
    assert_eq!(state.mails.len(), 10);
    assert_eq!(state.mail.unwrap().state, MailState::Limited);
}

#[test]
fn a_mail_counts_towards_the_limit_for_exactly_24_hours() {
    let owed_so_long_ago = |ms: i64| {
        let (past, eleventh) = after_mails(10, 100 - ms);
        let events = decide::outcome(&state_of(&past), eleventh, at(100), &Policy::default());
        let [Event::AttemptFailed(_), Event::WebhookDisabled(disabled)] = events.as_slice() else {
            panic!("expected an error and a switch-off, got {events:?}")
        };
        (disabled.mail, past, events)
    };
    assert_eq!(owed_so_long_ago(DAY_MS - 1).0, MailState::Limited);
    let (mail, past, events) = owed_so_long_ago(DAY_MS);
    assert_eq!(mail, MailState::Owed);
    let state = state_of(past.iter().chain(&events));
    assert_eq!(state.mails.len(), 10, "only the last ten matter");
    assert_eq!((state.mails[0], state.mails[9]), (at(101 - DAY_MS), at(100)));
}

fn skip(entries: &[u64], ms: i64) -> impl FnOnce(&State) -> Option<Event> {
    let entries: Vec<_> = entries.iter().copied().map(entry).collect();
    move |_| decide::skip(&entries, at(ms))
}

fn skipped(count: u64, newest: u64, ms: i64) -> Event {
    Event::MessagesSkipped(MessagesSkipped { at: at(ms), count, newest: entry(newest) })
}

#[test]
fn skipped_messages_are_counted_with_the_newest_among_them() {
    let state = given([]).when(skip(&[4, 9, 2], 20)).then([skipped(3, 9, 20)]);
    let expected = Skipped { count: 3, first_at: Some(at(20)), last_at: Some(at(20)), newest: Some(entry(9)) };
    assert_eq!((state.skipped, state.seq), (expected, 0));
}

#[test]
fn skips_add_up_and_the_newest_is_the_greatest_entry() {
    let state = given([skipped(3, 9, 20)]).when(skip(&[5], 30)).then([skipped(1, 5, 30)]);
    let expected = Skipped { count: 4, first_at: Some(at(20)), last_at: Some(at(30)), newest: Some(entry(9)) };
    assert_eq!(state.skipped, expected);
    let state = given([skipped(3, 9, 20)]).when(skip(&[10], 30)).then([skipped(1, 10, 30)]);
    assert_eq!(state.skipped.newest, Some(entry(10)));
}

#[test]
fn no_entries_are_no_event() {
    given([]).when(skip(&[], 20)).then_nothing();
}
