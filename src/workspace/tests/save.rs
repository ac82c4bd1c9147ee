use crate::workspace::command::{Change, Refusal, Save};
use crate::workspace::decide::{self, SaveContext};
use crate::workspace::event::{Event, MailId, MailState, MessagesSkipped, WebhookSaved};
use crate::workspace::headers::CustomHeaders;
use crate::workspace::scenario::*;
use crate::workspace::state::{State, Webhook};

const DROPPED: &str = "the webhook was saved before the mail was sent";

fn save(save: Save) -> impl FnOnce(&State) -> Result<Vec<Event>, Refusal> {
    save_while(save, &[])
}

fn save_while(save: Save, mails_begun: &[MailId]) -> impl FnOnce(&State) -> Result<Vec<Event>, Refusal> {
    move |state| {
        let context =
            SaveContext { at: at(5_000), by: "ops", fresh_secret: &fresh_secret(), mails_begun, mail_server: false };
        decide::save(state, &save, &context)
    }
}

fn with_url() -> Save {
    Save { url: Some(URL.to_owned()), ..Save::default() }
}

/// What `save(with_url())` makes of [`saved`].
fn saved_again() -> WebhookSaved {
    WebhookSaved { at: at(5_000), by: "ops".to_owned(), ..saved() }
}

fn unchanged(if_match: Option<&[u64]>) -> impl FnOnce(&State) -> Result<(), Refusal> {
    move |state| decide::unchanged(state, if_match)
}

#[test]
fn a_save_is_decided_against_the_revision_that_its_caller_saw() {
    given([]).when(unchanged(Some(&[0]))).then_nothing();
    given([]).when(unchanged(Some(&[]))).then_refused(Refusal::ChangedMeanwhile);
    given([switched_on()]).when(unchanged(None)).then_nothing();
    given([switched_on()]).when(unchanged(Some(&[9, 1]))).then_nothing();
    given([switched_on()]).when(unchanged(Some(&[0]))).then_refused(Refusal::ChangedMeanwhile);
    // An error, and a save that only sets the count to 0.
    let past = || [switched_on(), counted(failure(1), 1), switched_on()];
    let state = given(past()).when(unchanged(Some(&[1]))).then_nothing();
    assert_eq!((state.webhook.config, state.webhook.revision()), (3, 1));
    given(past().into_iter().chain([switched_off_at(9)]))
        .when(unchanged(Some(&[1])))
        .then_refused(Refusal::ChangedMeanwhile);
    // A value of a header, which the revision tells nothing of.
    let other_value = Event::WebhookSaved(WebhookSaved { changed_headers: vec!["x-a".parse().unwrap()], ..saved() });
    assert_eq!(state_of(&[switched_on(), other_value]).webhook.revision(), 2);
}

fn skipped(count: u64, ms: i64, newest: u64) -> Event {
    Event::MessagesSkipped(MessagesSkipped { at: at(ms), count, newest: entry(newest) })
}

#[test]
fn the_first_save_switches_on_and_takes_the_fresh_secret() {
    let first = WebhookSaved { owner_email: None, secret: fresh_secret(), ..saved_again() };
    let state = given([]).when(save(with_url())).then([Event::WebhookSaved(first)]);
    let expected = Webhook {
        url: Some(URL.into()),
        enabled: true,
        owner_email: None,
        secret: Some(fresh_secret()),
        previous_secret: None,
        headers: CustomHeaders::new(),
        config: 1,
        changed_by: None,
        disabled_by_errors: false,
        disabled_at: None,
        updated_at: Some(at(5_000)),
    };
    assert_eq!(state, State { seq: 1, webhook: expected, ..State::default() });
}

#[test]
fn a_save_that_changes_nothing_is_not_recorded() {
    let same = given([switched_on()]).when(save(with_url())).then_nothing();
    assert_eq!((same.webhook.config, same.webhook.updated_at), (1, state_of(&[switched_on()]).webhook.updated_at));
    let same_owner = Save { owner_email: Change::Set(OWNER.to_owned()), enabled: Some(true), ..with_url() };
    given([switched_on(), counted(success(1), 0)]).when(save(same_owner)).then_nothing();
    let off = Save { enabled: Some(false), ..with_url() };
    given([switched_on(), switched_off_at(10), skipped(3, 20, 7)]).when(save(off)).then_nothing();
}

#[test]
fn a_later_save_keeps_secret_and_owner() {
    let elsewhere = "https://elsewhere.example/";
    let moved = Save { url: Some(elsewhere.to_owned()), ..Save::default() };
    let expected = WebhookSaved { url: Some(elsewhere.into()), ..saved_again() };
    let state = given([switched_on()]).when(save(moved)).then([Event::WebhookSaved(expected)]);
    assert_eq!(state.webhook.config, 2);
    assert_eq!(state.webhook.secret, Some("whsec_first".into()));
    assert_eq!(state.webhook.owner_email.as_deref(), Some(OWNER));
}

#[test]
fn the_owner_is_cleared_or_replaced_when_the_save_says_so() {
    for (change, owner_email) in
        [(Change::Clear, None), (Change::Set("new@acme.example".to_owned()), Some("new@acme.example"))]
    {
        let expected = WebhookSaved { owner_email: owner_email.map(str::to_owned), ..saved_again() };
        let change = Save { owner_email: change, ..with_url() };
        given([switched_on()]).when(save(change)).then([Event::WebhookSaved(expected)]);
    }
}

#[test]
fn enabled_false_switches_off_without_forgetting() {
    let off = Save { enabled: Some(false), ..with_url() };
    let state = given([switched_on()])
        .when(save(off))
        .then([Event::WebhookSaved(WebhookSaved { enabled: false, ..saved_again() })]);
    assert_eq!(state.webhook.url.as_deref(), Some(URL));
    assert_eq!(state.webhook.disabled_at, Some(at(5_000)));
}

#[test]
fn a_save_without_url_clears_and_switches_off_but_keeps_secret_and_owner() {
    let cleared = WebhookSaved { url: None, enabled: false, ..saved_again() };
    let state = given([switched_on()]).when(save(Save::default())).then([Event::WebhookSaved(cleared)]);
    assert_eq!(state.webhook.secret, Some("whsec_first".into()));
    assert_eq!(state.webhook.disabled_at, Some(at(5_000)));
    assert_eq!(state.webhook.updated_at, Some(at(5_000)));
}

#[test]
fn enabled_false_without_url_is_allowed() {
    let cleared = WebhookSaved { url: None, enabled: false, ..saved_again() };
    let off = Save { enabled: Some(false), ..Save::default() };
    given([switched_on()]).when(save(off)).then([Event::WebhookSaved(cleared)]);
}

#[test]
fn enabled_without_url_is_refused_whatever_was_saved_before() {
    let on = Save { enabled: Some(true), ..Save::default() };
    given([]).when(save(on.clone())).then_refused(Refusal::EnabledWithoutUrl);
    given([switched_on()]).when(save(on)).then_refused(Refusal::EnabledWithoutUrl);
}

#[test]
fn a_save_after_errors_sets_the_counter_to_0_and_starts_a_new_configuration() {
    let past = [switched_on(), counted(success(1), 0), counted(failure(2), 1)];
    let before = state_of(&past);
    assert_eq!((before.errors, before.failing_since), (1, Some(at(2))));
    let after = given(past).when(save(with_url())).then([Event::WebhookSaved(saved_again())]);
    assert_eq!((after.errors, after.failing_since), (0, None));
    assert_eq!(after.recent_errors, []);
    assert_eq!(after.webhook.config, 4);
    assert_eq!(after.last_attempt, before.last_attempt);
}

#[test]
fn a_save_after_the_automatic_switch_off_switches_on_again() {
    let state = given(streak(MailState::Sent)).when(save(with_url())).then([Event::WebhookSaved(saved_again())]);
    assert!(state.webhook.enabled && !state.webhook.disabled_by_errors);
    assert_eq!((state.errors, state.webhook.disabled_at), (0, None));
    assert_eq!(state.mail.unwrap().state, MailState::Sent);
}

#[test]
fn a_save_drops_the_mail_that_is_owed() {
    let dropped = Event::MailDropped(mail_ended(5_000, 13, Some(DROPPED)));
    let state =
        given(streak(MailState::Owed)).when(save(with_url())).then([Event::WebhookSaved(saved_again()), dropped]);
    let mail = state.mail.unwrap();
    assert_eq!((mail.owed_by, mail.state, mail.at), (13, MailState::Dropped, at(5_000)));
    assert_eq!(mail.detail.as_deref(), Some(DROPPED));
    assert_eq!((state.seq, state.webhook.config), (15, 14));
}

#[test]
fn a_save_leaves_a_mail_that_is_on_its_way() {
    let state = given(streak(MailState::Owed))
        .when(save_while(with_url(), &[MailId::disabled(13)]))
        .then([Event::WebhookSaved(saved_again())]);
    assert_eq!(state.mail.unwrap().state, MailState::Owed);
}

#[test]
fn a_save_drops_no_mail_that_is_not_owed() {
    use MailState::{Dropped, GivenUp, Limited, NoAddress, NoMailServer, Sent};
    for mail in [Sent, GivenUp, Dropped, Limited, NoAddress, NoMailServer] {
        given(streak(mail)).when(save(with_url())).then([Event::WebhookSaved(saved_again())]);
    }
}

#[test]
fn skipped_stays_visible_after_re_enabling() {
    let past = [switched_on(), switched_off_at(10), skipped(3, 20, 7)];
    let state = given(past).when(save(with_url())).then([Event::WebhookSaved(saved_again())]);
    assert_eq!((state.skipped.count, state.skipped.first_at, state.skipped.last_at), (3, Some(at(20)), Some(at(20))));
}

#[test]
fn skipped_counts_from_the_first_message_when_never_configured() {
    let state = given([skipped(2, 20, 7)]).when(save(with_url())).then([Event::WebhookSaved(WebhookSaved {
        owner_email: None,
        secret: fresh_secret(),
        ..saved_again()
    })]);
    assert_eq!(state.skipped.count, 2);
}

#[test]
fn skipped_counts_anew_from_every_switch_off_and_the_newest_message_stays() {
    let off = Save { enabled: Some(false), ..with_url() };
    for (change, url) in [(off, Some(URL)), (Save::default(), None)] {
        let past = [skipped(2, 20, 7), switched_on()];
        let expected = WebhookSaved { url: url.map(Into::into), enabled: false, ..saved_again() };
        let state = given(past).when(save(change)).then([Event::WebhookSaved(expected)]);
        assert_eq!((state.skipped.count, state.skipped.first_at, state.skipped.last_at), (0, None, None));
        assert_eq!(state.skipped.newest, Some(entry(7)));
    }
}

#[test]
fn saving_a_webhook_that_is_off_as_off_is_no_switch_off() {
    let past = [switched_on(), switched_off_at(10), skipped(2, 20, 7)];
    let off = Save { enabled: Some(false), owner_email: Change::Clear, ..with_url() };
    let expected = WebhookSaved { enabled: false, owner_email: None, ..saved_again() };
    let state = given(past).when(save(off)).then([Event::WebhookSaved(expected)]);
    assert_eq!(state.skipped.count, 2);
    assert_eq!(state.webhook.disabled_at, Some(at(10)));
    assert_eq!(state.webhook.updated_at, Some(at(5_000)));
}

#[test]
fn a_save_leaves_the_test_that_is_under_way() {
    let off = Save { enabled: Some(false), ..with_url() };
    let expected = WebhookSaved { enabled: false, ..saved_again() };
    let state = given([switched_on(), test_started(1)]).when(save(off)).then([Event::WebhookSaved(expected)]);
    assert_eq!(state.test, Some(Box::new(test_at(1))));
}
