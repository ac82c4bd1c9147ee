//! Custom headers, through a save.

use std::collections::BTreeMap;

use crate::workspace::command::{Change, Refusal, Save};
use crate::workspace::decide::{self, SaveContext};
use crate::workspace::event::{Event, WebhookSaved};
use crate::workspace::headers::{CustomHeaders, HEADERS_BYTES_MAX, HEADERS_MAX, HeaderChange, HeaderName};
use crate::workspace::policy::Policy;
use crate::workspace::scenario::*;
use crate::workspace::state::State;
use crate::workspace::view::WebhookView;

fn save(headers: Change<BTreeMap<HeaderName, HeaderChange>>) -> impl FnOnce(&State) -> Result<Vec<Event>, Refusal> {
    moved(URL, headers)
}

fn name(text: &str) -> HeaderName {
    text.parse().unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> CustomHeaders {
    pairs.iter().map(|(of, value)| (name(of), (*value).into())).collect()
}

fn set(pairs: &[(&str, &str)]) -> BTreeMap<HeaderName, HeaderChange> {
    headers(pairs).into_iter().map(|(name, value)| (name, HeaderChange::Set(value))).collect()
}

fn saved_with(pairs: &[(&str, &str)], changed: &[&str]) -> Event {
    let changed_headers = changed.iter().map(|of| name(of)).collect();
    let saved = WebhookSaved { headers: headers(pairs), changed_headers, ..saved() };
    Event::WebhookSaved(WebhookSaved { at: at(5_000), by: "ops".to_owned(), ..saved })
}

/// What is stored before each save here.
const KEPT: [(&str, &str); 2] = [("authorization", "Bearer a"), ("x-tenant", "7")];

fn past() -> [Event; 1] {
    [saved_with(&KEPT, &["authorization", "x-tenant"])]
}

/// The same, switched off meanwhile.
fn off() -> [Event; 2] {
    let Event::WebhookSaved(saved) = saved_with(&KEPT, &[]) else { unreachable!() };
    let [first] = past();
    [first, Event::WebhookSaved(WebhookSaved { enabled: false, ..saved })]
}

/// As [`save`], at another URL.
fn moved(
    url: &str,
    headers: Change<BTreeMap<HeaderName, HeaderChange>>,
) -> impl FnOnce(&State) -> Result<Vec<Event>, Refusal> {
    let save = Save { url: (!url.is_empty()).then(|| url.to_owned()), headers, ..Save::default() };
    move |state| {
        let context = SaveContext {
            at: at(5_000),
            by: "ops",
            fresh_secret: &fresh_secret(),
            mails_begun: &[],
            mail_server: false,
        };
        decide::save(state, &save, &context)
    }
}

#[test]
fn values_stay_with_the_origin_that_they_were_sent_for() {
    let refusal = |names: &[&str]| {
        let names = names.iter().map(|of| name(of)).collect();
        Refusal::HeadersOfAnotherOrigin { names }
    };
    let both = refusal(&["authorization", "x-tenant"]);
    let masked = |of: &str| (name(of), HeaderChange::Keep);
    let half: BTreeMap<_, _> = set(&[("authorization", "Bearer b")]).into_iter().chain([masked("x-tenant")]).collect();
    for url in ["http://crm.example/hook", "https://crm.example:8443/hook", "https://elsewhere.example/hook"] {
        given(past()).when(moved(url, Change::Keep)).then_refused(both.clone());
        let kept = Change::Set(BTreeMap::from([masked("authorization"), masked("x-tenant")]));
        given(past()).when(moved(url, kept)).then_refused(both.clone());
        given(past()).when(moved(url, Change::Set(half.clone()))).then_refused(refusal(&["x-tenant"]));
        for headers in [Change::Clear, Change::Set(BTreeMap::new()), Change::Set(set(&[("x-tenant", "7")]))] {
            assert!(moved(url, headers)(&state_of(&past())).is_ok(), "{url}");
        }
    }
    for url in ["https://crm.example/elsewhere?a=b", "HTTPS://CRM.example:443/", "https://crm.example./hook"] {
        let state = state_of(&past());
        let events = moved(url, Change::Keep)(&state).unwrap();
        assert!(matches!(&events[..], [Event::WebhookSaved(saved)] if saved.headers == headers(&KEPT)), "{url}");
    }
}

#[test]
fn clearing_the_url_drops_the_values_and_nothing_brings_them_back() {
    for change in [Change::Keep, Change::Set(set(&KEPT)), Change::Clear] {
        let events = moved("", change)(&state_of(&past())).unwrap();
        let state = state_of(&past().into_iter().chain(events).collect::<Vec<_>>());
        assert_eq!(state.webhook.headers, headers(&[]));
    }
    // Stored by an earlier version: no URL, and the values still there.
    let Event::WebhookSaved(saved) = saved_with(&KEPT, &[]) else { unreachable!() };
    let stored = [Event::WebhookSaved(WebhookSaved { url: None, enabled: false, ..saved })];
    let names = vec![name("authorization"), name("x-tenant")];
    given(stored).when(moved(URL, Change::Keep)).then_refused(Refusal::HeadersOfAnotherOrigin { names });
}

#[test]
fn a_save_replaces_all_headers_and_names_those_that_changed() {
    let new = [("x-new", "1"), ("x-tenant", "8")];
    let state = given(past())
        .when(save(Change::Set(set(&new))))
        .then([saved_with(&new, &["authorization", "x-new", "x-tenant"])]);
    assert_eq!(state.webhook.headers, headers(&new));
}

#[test]
fn headers_that_are_left_out_stay_and_null_takes_them_out() {
    given(past()).when(save(Change::Keep)).then_nothing();
    given(off()).when(save(Change::Keep)).then([saved_with(&KEPT, &[])]);
    given(past()).when(save(Change::Clear)).then([saved_with(&[], &["authorization", "x-tenant"])]);
}

#[test]
fn a_masked_value_keeps_the_stored_one_and_needs_one() {
    let kept = |names: &[&str]| names.iter().map(|of| (name(of), HeaderChange::Keep)).collect::<BTreeMap<_, _>>();
    let shown = WebhookView::new(&"acme".parse().unwrap(), &state_of(&past()), &Policy::default());
    let round_trip: BTreeMap<_, _> = shown.headers.into_keys().map(|name| (name, HeaderChange::Keep)).collect();
    given(off()).when(save(Change::Set(round_trip))).then([saved_with(&KEPT, &[])]);
    let one = saved_with(&KEPT[1..], &["authorization"]);
    given(past()).when(save(Change::Set(kept(&["x-tenant"])))).then([one]);
    let refusal = Refusal::NoHeaderValue { name: name("x-new") };
    given(past()).when(save(Change::Set(kept(&["x-tenant", "x-new"])))).then_refused(refusal);
}

#[test]
fn the_values_that_are_kept_count_too() {
    let long = "v".repeat(HEADERS_BYTES_MAX - "x-a".len());
    let full = [("x-a", long.as_str())];
    let state = given([]).when(save(Change::Set(set(&full)))).then([Event::WebhookSaved(WebhookSaved {
        owner_email: None,
        secret: fresh_secret(),
        at: at(5_000),
        by: "ops".to_owned(),
        headers: headers(&full),
        changed_headers: vec![name("x-a")],
        ..saved()
    })]);
    let more = set(&[("x-b", "1")]).into_iter().chain([(name("x-a"), HeaderChange::Keep)]).collect();
    assert_eq!(save(Change::Set(more))(&state), Err(Refusal::TooManyHeaders));
    let many = |count: usize| (0..count).map(|n| (name(&format!("x-{n}")), HeaderChange::Set("v".into()))).collect();
    assert!(save(Change::Set(many(HEADERS_MAX)))(&state).is_ok());
    assert_eq!(save(Change::Set(many(HEADERS_MAX + 1)))(&state), Err(Refusal::TooManyHeaders));
}

#[test]
fn a_view_shows_names_only() {
    let view = WebhookView::new(&"acme".parse().unwrap(), &state_of(&past()), &Policy::default());
    let json = serde_json::to_value(view).unwrap();
    assert_eq!(json["headers"], serde_json::json!({"authorization": "***", "x-tenant": "***"}));
}
