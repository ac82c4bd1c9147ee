use crate::workspace::access::Deed;
use crate::workspace::command::Refusal;
use crate::workspace::decide::{self, MailResult, MailTurn};
use crate::workspace::event::{Event, MailId, MailState};
use crate::workspace::policy::MAIL_LIMIT_SPAN;
use crate::workspace::scenario::*;
use crate::workspace::state::State;

/// The `WebhookDisabled` of [`streak`] has seq 13 and came at 100 ms.
const DISABLED: u64 = 13;

fn result(ms: i64, disabled: u64, result: MailResult) -> impl FnOnce(&State) -> Option<Event> {
    move |state| decide::mail(state, MailId::disabled(disabled), result, at(ms))
}

fn later() -> MailResult {
    MailResult::Later("try again".to_owned())
}

/// Saved while the mail was on its way, so that it stayed owed.
fn saved_meanwhile() -> Vec<Event> {
    let mut past = streak(MailState::Owed);
    past.push(switched_on());
    past
}

/// … and then switched off again, with a mail of its own (seq 15).
fn switched_off_again() -> Vec<Event> {
    let mut past = saved_meanwhile();
    past.push(disabled(300, 11, MailState::Owed));
    past
}

#[test]
fn a_mail_that_was_taken_is_sent() {
    let expected = Event::OwnerNotified(mail_ended(200, DISABLED, None));
    let state = given(streak(MailState::Owed)).when(result(200, DISABLED, MailResult::Sent)).then([expected]);
    let mail = state.mail.unwrap();
    assert_eq!((mail.owed_by, mail.state, mail.at, mail.detail), (DISABLED, MailState::Sent, at(200), None));
}

#[test]
fn a_mail_that_was_refused_is_given_up() {
    let expected = Event::MailGivenUp(mail_ended(200, DISABLED, Some("no such user")));
    let refused = MailResult::Refused("no such user".to_owned());
    let state = given(streak(MailState::Owed)).when(result(200, DISABLED, refused)).then([expected]);
    let mail = state.mail.unwrap();
    assert_eq!((mail.state, mail.at, mail.detail.as_deref()), (MailState::GivenUp, at(200), Some("no such user")));
}

#[test]
fn a_mail_server_that_is_away_delays_the_mail_for_24_hours() {
    let ends = 100 + DAY_MS;
    let deferred = Event::MailDeferred(mail_ended(ends - 1, DISABLED, Some("try again")));
    let state = given(streak(MailState::Owed)).when(result(ends - 1, DISABLED, later())).then([deferred]);
    let mail = state.mail.unwrap();
    assert_eq!((mail.state, mail.at, mail.detail.as_deref()), (MailState::Owed, at(100), Some("try again")));
    let given_up = Event::MailGivenUp(mail_ended(ends, DISABLED, Some("try again")));
    given(streak(MailState::Owed)).when(result(ends, DISABLED, later())).then([given_up]);
}

#[test]
fn a_delay_does_not_start_the_24_hours_anew() {
    let mut past = streak(MailState::Owed);
    past.push(Event::MailDeferred(mail_ended(DAY_MS, DISABLED, Some("try again"))));
    let given_up = Event::MailGivenUp(mail_ended(100 + DAY_MS, DISABLED, Some("try again")));
    given(past).when(result(100 + DAY_MS, DISABLED, later())).then([given_up]);
}

#[test]
fn a_mail_that_is_not_owed_has_no_result() {
    use MailState::{Dropped, GivenUp, Limited, NoAddress, NoMailServer, Sent};
    for state in [Sent, GivenUp, Dropped, Limited, NoAddress, NoMailServer] {
        given(streak(state)).when(result(200, DISABLED, MailResult::Sent)).then_nothing();
    }
    given([switched_on()]).when(result(200, DISABLED, MailResult::Sent)).then_nothing();
    given(streak(MailState::Owed)).when(result(200, DISABLED + 1, MailResult::Sent)).then_nothing();
}

#[test]
fn a_mail_on_its_way_when_a_save_came_is_recorded_as_it_ends() {
    let expected = Event::OwnerNotified(mail_ended(200, DISABLED, None));
    let state = given(saved_meanwhile()).when(result(200, DISABLED, MailResult::Sent)).then([expected]);
    assert_eq!(state.mail.unwrap().state, MailState::Sent);
}

#[test]
fn a_mail_on_its_way_when_a_save_came_is_not_tried_again() {
    let expected = Event::MailDropped(mail_ended(200, DISABLED, Some("try again")));
    let state = given(saved_meanwhile()).when(result(200, DISABLED, later())).then([expected]);
    assert_eq!(state.mail.unwrap().state, MailState::Dropped);
}

/// Recalled, or lost with the node, before the mail server had all of it.
#[test]
fn a_mail_that_was_not_begun_after_all_when_a_save_came_is_dropped() {
    let turn = |past: Vec<Event>| decide::mail_turn(&state_of(&past), MailId::disabled(DISABLED), at(200));
    let why = "the webhook was saved before the mail was sent";
    let dropped = Event::MailDropped(mail_ended(200, DISABLED, Some(why)));
    assert_eq!(turn(saved_meanwhile()), MailTurn::Over(Some(dropped)));
    assert_eq!(turn(streak(MailState::Owed)), MailTurn::Send);
}

#[test]
fn the_end_of_an_earlier_mail_is_history_and_leaves_the_later_one_owed() {
    for (outcome, expected) in [
        (MailResult::Sent, Event::OwnerNotified(mail_ended(400, DISABLED, None))),
        (MailResult::Refused("no".to_owned()), Event::MailGivenUp(mail_ended(400, DISABLED, Some("no")))),
        (later(), Event::MailDropped(mail_ended(400, DISABLED, Some("try again")))),
    ] {
        let state = given(switched_off_again()).when(result(400, DISABLED, outcome)).then([expected]);
        let mail = state.mail.unwrap();
        assert_eq!((mail.owed_by, mail.state, mail.at, mail.detail), (15, MailState::Owed, at(300), None));
    }
}

#[test]
fn the_delay_of_an_earlier_mail_leaves_the_later_one_as_it_is() {
    let mut past = switched_off_again();
    past.push(Event::MailDeferred(mail_ended(400, DISABLED, Some("old"))));
    assert_eq!(state_of(&past).mail.unwrap().detail, None);
}

#[test]
fn a_day_has_three_test_mails_beside_the_others() {
    let ask = |ms: i64| move |state: &State| decide::take_test_mail(state, "jane", at(ms));
    let taken = |ms: i64| Event::TestMailTaken(Deed { at: at(ms), by: "jane".to_owned() });
    let day = i64::try_from(MAIL_LIMIT_SPAN.as_millis()).unwrap();
    given([]).when(ask(0)).then([taken(0)]);
    let past = || [taken(0), taken(1), taken(2)];
    given(past()).when(ask(day - 1)).then_refused(Refusal::TooManyTestMails);
    let state = given(past()).when(ask(day)).then([taken(day)]);
    assert_eq!((state.test_mails, state.mails.len(), state.seq), (vec![at(1), at(2), at(day)], 0, 0));
    // A clock that was set back gives no further ones.
    given(past()).when(ask(-1)).then_refused(Refusal::TooManyTestMails);
}
