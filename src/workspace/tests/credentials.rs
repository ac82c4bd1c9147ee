//! Credentials that end: the signing secret by rotation, tokens by revocation.

use crate::workspace::command::{Refusal, Save};
use crate::workspace::confidential::Confidential;
use crate::workspace::decide::{self, SaveContext};
use crate::workspace::event::{Event, Forgotten, MailState};
use crate::workspace::policy::SECRET_OVERLAP;
use crate::workspace::scenario::*;
use crate::workspace::state::{State, Webhook};
use crate::workspace::time::Time;

fn rotate_at(ms: i64) -> impl FnOnce(&State) -> Result<Vec<Event>, Refusal> {
    move |state| decide::rotate(state, at(ms), "ops", &fresh_secret(), SECRET_OVERLAP)
}

fn secrets(state: &State, now: Time) -> Vec<String> {
    state.webhook.secrets(now).map(|secret| secret.expose().to_owned()).collect()
}

#[test]
fn for_a_day_an_attempt_is_signed_with_both_secrets_and_then_with_the_new_one_only() {
    let state = given([switched_on()]).when(rotate_at(100)).then([rotated(100, "whsec_fresh")]);
    assert_eq!(secrets(&state, at(100)), ["whsec_fresh", "whsec_first"]);
    assert_eq!(secrets(&state, at(99 + DAY_MS)), ["whsec_fresh", "whsec_first"]);
    assert_eq!(secrets(&state, at(100 + DAY_MS)), ["whsec_fresh"]);
}

#[test]
fn a_rotation_within_the_overlap_ends_the_secret_before_the_present_one() {
    let past = [switched_on(), rotated(100, "whsec_second")];
    let state = given(past).when(rotate_at(200)).then([rotated(200, "whsec_fresh")]);
    assert_eq!(secrets(&state, at(200)), ["whsec_fresh", "whsec_second"]);
    assert_eq!(state.webhook.valid_previous_secret(at(200)).unwrap().valid_until, at(200 + DAY_MS));
}

#[test]
fn there_is_nothing_to_rotate_before_the_first_save() {
    given([]).when(rotate_at(0)).then_refused(Refusal::NoSecret);
}

#[test]
fn a_rotation_changes_nothing_but_the_secrets() {
    for past in [vec![switched_on(), counted(failure(1), 1)], streak(MailState::Owed), vec![switched_off_at(5)]] {
        let before = state_of(&past);
        let after = given(past).when(rotate_at(5_000)).then([rotated_in(&before, 5_000, "whsec_fresh")]);
        let Webhook { secret, previous_secret, .. } = after.webhook.clone();
        let webhook = Webhook { secret, previous_secret, ..before.webhook.clone() };
        assert_eq!(after, State { seq: before.seq + 1, webhook, ..before });
    }
}

#[test]
fn a_save_keeps_the_secrets_as_they_are_and_forgets_one_that_has_ended() {
    let save_at = |ms: i64| {
        move |state: &State| {
            let other: Confidential = "whsec_other".into();
            let context =
                SaveContext { at: at(ms), by: "ops", fresh_secret: &other, mails_begun: &[], mail_server: false };
            let off = Save { url: Some(URL.to_owned()), enabled: Some(false), ..Save::default() };
            decide::save(state, &off, &context)
        }
    };
    for (ms, kept) in [(99 + DAY_MS, true), (100 + DAY_MS, false)] {
        let past = [switched_on(), rotated(100, "whsec_fresh")];
        let mut state = state_of(&past);
        save_at(ms)(&state).unwrap().iter().for_each(|event| state.evolve(event));
        assert_eq!(state.webhook.secret, Some("whsec_fresh".into()));
        assert_eq!(state.webhook.previous_secret.is_some(), kept);
    }
}

fn revoke(_: &State) -> Vec<Event> {
    decide::revoke_tokens("ops", at(900))
}

#[test]
fn a_revocation_changes_nothing_but_the_generation() {
    for past in [vec![], vec![switched_on(), counted(failure(1), 1)], streak(MailState::Owed), vec![revoked(1)]] {
        let before = state_of(&past);
        let after = given(past).when(revoke).then([revoked(900)]);
        let token_generation = before.token_generation + 1;
        assert_eq!(after, State { seq: before.seq + 1, token_generation, ..before });
    }
}

#[test]
fn what_was_revoked_stays_so_when_the_workspace_is_forgotten() {
    let forgotten = Event::Forgotten(Forgotten { at: at(950), by: "admin".to_owned() });
    let state = given([switched_on(), revoked(900)]).when(|_: &State| Some(forgotten.clone())).then([forgotten]);
    assert_eq!(state, State { seq: 2, forgotten: 2, token_generation: 1, ..State::default() });
}
