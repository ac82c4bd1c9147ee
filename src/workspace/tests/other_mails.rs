//! The mails that an operator asks for: a warning, and that a webhook delivers again.

use crate::workspace::command::{Change, Refusal, Save};
use crate::workspace::decide::{self, MailTurn, SaveContext};
use crate::workspace::event::{
    Attempt, Event, MailEnded, MailId, MailKind, MailOwed, MailState, WebhookDisabled, WebhookSaved,
};
use crate::workspace::policy::{Counting, MAIL_LIMIT_SPAN, OTHER_MAILS_PER_DAY_MAX, Policy};
use crate::workspace::scenario::*;
use crate::workspace::state::State;
use crate::workspace::time::Time;

fn all_mails() -> Policy {
    Policy { mail_warning: true, mail_recovered: true, ..Policy::default() }
}

fn outcome_by(attempt: Attempt, policy: Policy) -> impl FnOnce(&State) -> Vec<Event> {
    move |state| decide::outcome(state, attempt, at(100), &policy)
}

fn outcome(attempt: Attempt) -> impl FnOnce(&State) -> Vec<Event> {
    outcome_by(attempt, all_mails())
}

fn owed(kind: MailKind, off_since: Option<i64>) -> Event {
    Event::MailOwed(MailOwed { at: at(100), kind, off_since: off_since.map(at), replaced: None })
}

fn warning() -> Event {
    owed(MailKind::Warning, None)
}

/// Switched on (seq 1), then `count` errors.
fn failing(count: u32) -> Vec<Event> {
    std::iter::once(switched_on()).chain(errors(count)).collect()
}

/// Switched off by errors at 100 ms (seq 13), switched on at 0 ms (seq 14).
fn saved_after_a_switch_off() -> Vec<Event> {
    streak(MailState::Sent).into_iter().chain([switched_on()]).collect()
}

/// The name of the warning of [`failing`]: the seq of its fifth error.
const WARNING: MailId = MailId { owed_by: 6, kind: MailKind::Warning };

fn warned() -> Vec<Event> {
    failing(5).into_iter().chain([warning()]).collect()
}

fn turn(id: MailId) -> impl FnOnce(&State) -> Option<Event> {
    move |state| match decide::mail_turn(state, id, at(200)) {
        MailTurn::Send => panic!("it is sent"),
        MailTurn::Over(event) => event,
    }
}

fn dropped(mail: MailId, why: &str) -> Event {
    Event::MailDropped(MailEnded { at: at(200), mail, detail: Some(why.to_owned()) })
}

#[test]
fn the_fifth_error_in_a_row_owes_a_warning_and_no_other_does() {
    for before in 0..10 {
        let event = counted(failure(50), before + 1);
        let expected = if before == 4 { vec![event, warning()] } else { vec![event] };
        let state = given(failing(before)).when(outcome(failure(50))).then(expected);
        assert_eq!(state.warning.is_some(), before == 4);
    }
    let state = state_of(&warned());
    assert_eq!((state.seq, state.owed_mails().collect::<Vec<_>>()), (6, vec![WARNING]));
    assert_eq!(state.mail, None, "the mail of a switch-off is another");
}

#[test]
fn the_error_that_switches_off_owes_no_warning() {
    for (error_limit, warned) in [(3, false), (4, false), (5, true)] {
        let policy = Policy { error_limit, ..all_mails() };
        let state = given(failing(4)).when(|state: &State| {
            let events = decide::outcome(state, failure(50), at(100), &policy);
            assert_eq!(events.contains(&warning()), warned, "limit {error_limit}");
            Vec::<Event>::new()
        });
        state.then_nothing();
    }
}

#[test]
fn nobody_is_warned_or_told_who_did_not_ask_for_it() {
    let event = counted(failure(50), 5);
    given(failing(4)).when(outcome_by(failure(50), Policy::default())).then([event.clone()]);
    let no_server = Policy { mail_server: false, ..all_mails() };
    given(failing(4)).when(outcome_by(failure(50), no_server)).then([event.clone()]);
    let nobody = Event::WebhookSaved(WebhookSaved { owner_email: None, ..saved() });
    given(std::iter::once(nobody).chain(errors(4))).when(outcome(failure(50))).then([event]);
    let success = Attempt { config: 14, ..success(50) };
    let delivered = counted(success.clone(), 0);
    given(saved_after_a_switch_off()).when(outcome_by(success, Policy::default())).then([delivered]);
}

#[test]
fn a_new_streak_owes_a_new_warning() {
    let past = warned().into_iter().chain([counted(success(20), 0)]).chain(errors(4));
    let state = given(past).when(outcome(failure(50))).then([counted(failure(50), 5), warning()]);
    assert_eq!(state.warning.unwrap().owed_by, 12);
}

#[test]
fn where_a_success_ends_no_streak_there_is_one_warning_until_the_next_save() {
    let since_saved = Policy { counting: Counting::SinceSaved, ..all_mails() };
    let past = warned().into_iter().chain([counted(success(20), 5)]);
    given(past).when(outcome_by(failure(50), since_saved)).then([counted(failure(50), 6)]);
}

#[test]
fn the_first_success_after_a_switch_off_and_a_save_owes_one_mail() {
    let success = |n| Attempt { config: 14, ..success(n) };
    let recovered = owed(MailKind::Recovered, Some(100));
    let delivered = counted(success(50), 0);
    let state =
        given(saved_after_a_switch_off()).when(outcome(success(50))).then([delivered.clone(), recovered.clone()]);
    assert_eq!((state.recovered.unwrap().owed_by, state.recovering), (15, None));
    let past: Vec<Event> = saved_after_a_switch_off().into_iter().chain([delivered, recovered]).collect();
    given(past.clone()).when(outcome(success(51))).then([counted(success(51), 0)]);
    // Nor does a save that follows make it one that had been switched off.
    let saved = past.into_iter().chain([switched_on()]);
    let success = Attempt { config: 16, ..success(52) };
    given(saved).when(outcome(success.clone())).then([counted(success, 0)]);
}

#[test]
fn saves_and_errors_before_the_first_success_change_nothing_of_it() {
    let past = saved_after_a_switch_off().into_iter().chain([switched_off_at(300), switched_on()]);
    let failed = counted(Attempt { config: 16, ..failure(50) }, 1);
    let success = Attempt { config: 16, ..success(51) };
    let expected = [counted(success.clone(), 0), owed(MailKind::Recovered, Some(100))];
    given(past.chain([failed])).when(outcome(success)).then(expected);
}

#[test]
fn what_moves_no_counter_tells_of_no_recovery() {
    // Of the configuration before.
    given(saved_after_a_switch_off()).when(outcome(success(50))).then([event_of(success(50))]);
    // While it is off.
    given(streak(MailState::Sent)).when(outcome(success(50))).then([event_of(success(50))]);
    // A test.
    let past = saved_after_a_switch_off().into_iter().chain([test_started(300)]);
    let state = given(past).when(outcome(test_at(300).attempt)).then([event_of(test_at(300).attempt)]);
    assert_eq!(state.recovering, Some(at(100)));
}

#[test]
fn a_switch_off_by_an_operator_is_no_trouble_to_recover_from() {
    let past = [switched_on(), switched_off_at(10), switched_on()];
    let success = Attempt { config: 3, ..success(50) };
    given(past).when(outcome(success.clone())).then([counted(success, 0)]);
}

#[test]
fn other_mails_leave_room_for_those_of_a_switch_off() {
    let mut past = vec![switched_on()];
    for _ in 0..OTHER_MAILS_PER_DAY_MAX {
        past.extend(errors(5).chain([warning(), counted(success(20), 0)]));
    }
    past.extend(errors(4));
    let warned = given(past.clone()).when(outcome(failure(50)));
    warned.then([counted(failure(50), 5)]);
    past.extend((5..=10).map(|n| counted(failure(50), n)));
    let disabled = Event::WebhookDisabled(WebhookDisabled { at: at(100), errors: 11, mail: MailState::Owed });
    given(past).when(outcome(failure(51))).then([counted(failure(51), 11), disabled]);
}

#[test]
fn a_warning_is_sent_while_its_streak_goes_on() {
    for past in [warned(), warned().into_iter().chain([counted(failure(50), 6)]).collect()] {
        assert_eq!(decide::mail_turn(&state_of(&past), WARNING, at(200)), MailTurn::Send);
    }
}

#[test]
fn a_warning_that_was_put_off_is_dropped_when_its_streak_has_ended() {
    let why = "the streak of errors ended before the mail was sent";
    let delivered = counted(success(20), 0);
    let off = disabled(150, 11, MailState::Owed);
    for end in [delivered, off] {
        let state = given(warned().into_iter().chain([end])).when(turn(WARNING)).then([dropped(WARNING, why)]);
        assert_eq!(state.warning.unwrap().state, MailState::Dropped);
    }
}

#[test]
fn that_it_delivers_again_is_not_told_of_one_that_is_off_again() {
    let id = MailId { owed_by: 15, kind: MailKind::Recovered };
    let delivered = counted(Attempt { config: 14, ..success(50) }, 0);
    let told = saved_after_a_switch_off().into_iter().chain([delivered, owed(MailKind::Recovered, Some(100))]);
    let told: Vec<Event> = told.collect();
    assert_eq!(decide::mail_turn(&state_of(&told), id, at(200)), MailTurn::Send);
    let off = told.into_iter().chain([disabled(150, 11, MailState::Owed)]);
    let why = "the webhook was off again before the mail was sent";
    given(off).when(turn(id)).then([dropped(id, why)]);
}

#[test]
fn a_save_drops_every_mail_whose_sending_has_not_begun() {
    let save = |begun: Vec<MailId>| {
        move |state: &State| {
            let context = SaveContext {
                at: at(200),
                by: "admin",
                fresh_secret: &fresh_secret(),
                mails_begun: &begun,
                mail_server: false,
            };
            decide::save(state, &Save { url: Some(URL.to_owned()), ..Save::default() }, &context)
        }
    };
    let saved = Event::WebhookSaved(WebhookSaved { at: at(200), ..saved() });
    let why = "the webhook was saved before the mail was sent";
    given(warned()).when(save(vec![])).then([saved.clone(), dropped(WARNING, why)]);
    given(warned()).when(save(vec![WARNING])).then([saved.clone()]);
    let off = || warned().into_iter().chain([disabled(150, 11, MailState::Owed)]);
    let both = [saved.clone(), dropped(MailId::disabled(7), why), dropped(WARNING, why)];
    given(off()).when(save(vec![])).then(both);
    given(off()).when(save(vec![MailId::disabled(7)])).then([saved, dropped(WARNING, why)]);
}

#[test]
fn a_mail_is_not_asked_for_again_once_it_has_ended() {
    let sent = Event::OwnerNotified(MailEnded { at: at(150), mail: WARNING, detail: None });
    given(warned().into_iter().chain([sent])).when(turn(WARNING)).then_nothing();
    let later = warned().into_iter().chain([counted(success(20), 0)]).chain(errors(5)).chain([warning()]);
    given(later).when(turn(WARNING)).then([dropped(WARNING, "a later mail took its place")]);
}

#[test]
fn a_mail_of_the_first_kind_is_written_as_when_there_was_no_other() {
    let written = |kind| serde_json::to_string(&MailId { owed_by: 7, kind }).unwrap();
    assert_eq!(written(MailKind::Disabled), r#"{"disabled":7}"#);
    assert_eq!(written(MailKind::Warning), r#"{"disabled":7,"kind":"warning"}"#);
    assert_eq!(written(MailKind::Recovered), r#"{"disabled":7,"kind":"recovered"}"#);
}

fn save_by(address: &str, now: Time) -> impl FnOnce(&State) -> Result<Vec<Event>, Refusal> {
    let save = Save { url: Some(URL.to_owned()), owner_email: Change::Set(address.to_owned()), ..Save::default() };
    move |state| {
        let secret = fresh_secret();
        let context = SaveContext { at: now, by: "ops", fresh_secret: &secret, mails_begun: &[], mail_server: true };
        decide::save(state, &save, &context)
    }
}

fn is_told(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::MailOwed(owed) if owed.kind == MailKind::Replaced))
}

/// One that was refused at once, and one that was given up at last.
#[test]
fn another_replaced_owner_is_told_a_day_after_the_last_mail_became_owed_whatever_became_of_it() {
    let day = i64::try_from(MAIL_LIMIT_SPAN.as_millis()).unwrap();
    for ended in [150, 100 + day] {
        let mut state = state_of(&[switched_on()]);
        let replaced = save_by("bob@x.example", at(100))(&state).unwrap();
        assert!(is_told(&replaced));
        replaced.iter().for_each(|event| state.evolve(event));
        let mail = state.owed_mails().next().unwrap();
        state.evolve(&Event::MailGivenUp(MailEnded { at: at(ended), mail, detail: None }));
        let told = [99, 100].map(|ms| is_told(&save_by("eve@x.example", at(day + ms))(&state).unwrap()));
        assert_eq!(told, [false, true], "given up at {ended}");
    }
}

/// The person is the same, and so is the mail that tells of a real replacement later that day.
#[test]
fn another_spelling_of_the_owners_domain_replaces_nobody() {
    let owner = |address: &str| {
        let Event::WebhookSaved(saved) = switched_on() else { unreachable!() };
        Event::WebhookSaved(WebhookSaved { owner_email: Some(address.to_owned()), ..saved })
    };
    for (before, after, replaced) in [
        ("ann@x.example", "ann@X.Example", false),
        ("ann@b\u{fc}cher.example", "ann@xn--bcher-kva.example", false),
        ("ann@XN--bcher-kva.example", "ann@B\u{dc}CHER.example", false),
        ("ann@x.example", "ann@y.example", true),
        ("ann@x.example", "anna@x.example", true),
        ("ann@b\u{fc}cher.example", "ann@bucher.example", true),
    ] {
        let events = save_by(after, at(100))(&state_of(&[owner(before)])).unwrap();
        assert!(matches!(&events[0], Event::WebhookSaved(saved) if saved.owner_email.as_deref() == Some(after)));
        assert_eq!(is_told(&events), replaced, "{before} -> {after}");
    }
}
