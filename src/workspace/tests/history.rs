//! The change history.

use crate::workspace::Time;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::{Event, MailEnded, MailId, MailState, WebhookDisabled, WebhookSaved};
use crate::workspace::headers::{CustomHeaders, HeaderName};
use crate::workspace::history::{CHANGES_SHOWN, ChangeAction, changes};
use crate::workspace::scenario::{at, revoked, rotated};

fn saved(by: &str, url: Option<&str>, enabled: bool) -> Event {
    Event::WebhookSaved(WebhookSaved {
        at: Time::from_unix_ms(1),
        by: by.to_owned(),
        url: url.map(Into::into),
        enabled,
        owner_email: Some("owner@example.com".to_owned()),
        secret: "whsec_c2VjcmV0".into(),
        headers: CustomHeaders::new(),
        changed_headers: Vec::new(),
    })
}

fn disabled() -> Event {
    Event::WebhookDisabled(WebhookDisabled { at: Time::from_unix_ms(2), errors: 11, mail: MailState::Owed })
}

fn notified(disabled: u64) -> Event {
    Event::OwnerNotified(MailEnded { at: Time::from_unix_ms(3), mail: MailId::disabled(disabled), detail: None })
}

const URL: Option<&str> = Some("https://example.com/hook");

#[test]
fn each_change_says_who_and_from_what_to_what() {
    let events =
        [(1, saved("admin", URL, true)), (15, disabled()), (16, notified(15)), (17, saved("ops", None, false))];
    let changes = changes(&events);
    let told: Vec<_> = changes
        .iter()
        .map(|change| {
            (
                &*change.id,
                &*change.by,
                change.from.as_ref().map(|from| from.status),
                change.to.status,
                change.to.enabled,
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("17", "ops", Some(WebhookStatus::DisabledByErrors), WebhookStatus::NotConfigured, false),
            ("15", "outbound", Some(WebhookStatus::Enabled), WebhookStatus::DisabledByErrors, false),
            ("1", "admin", None, WebhookStatus::Enabled, true),
        ]
    );
    assert_eq!(changes[1].to.url.as_deref(), URL, "a switch-off forgets nothing");
    assert_eq!((changes[0].from.as_ref(), changes[1].from.as_ref()), (Some(&changes[1].to), Some(&changes[2].to)));
}

#[test]
fn the_last_100_are_shown_each_with_what_was_before() {
    let events: Vec<_> = (1..=150).map(|seq| (seq, saved("admin", URL, seq % 2 == 0))).collect();
    let changes = changes(&events);
    assert_eq!((changes.len(), &*changes[0].id, &*changes[99].id), (CHANGES_SHOWN, "150", "51"));
    assert!(changes.iter().all(|change| change.from.as_ref().is_some_and(|from| from.status != change.to.status)));
}

#[test]
fn saves_that_only_set_the_count_to_0_wash_no_change_out() {
    let elsewhere = Some("https://elsewhere.example/hook");
    let mut events = vec![(1, saved("admin", URL, true)), (2, saved("mallory", elsewhere, true))];
    events.extend((3..=103).map(|seq| (seq, saved("mallory", elsewhere, true))));
    events.push((104, disabled()));
    events.push((105, saved("ops", elsewhere, true)));
    let shown = changes(&events);
    assert_eq!(shown.iter().map(|change| &*change.id).collect::<Vec<_>>(), ["105", "104", "2", "1"]);
    assert_eq!((&*shown[2].by, shown[2].from.as_ref().and_then(|from| from.url.as_deref())), ("mallory", URL));
}

#[test]
fn a_rotation_is_shown_with_who_and_when_and_changes_no_configuration() {
    let events = [(1, saved("admin", URL, true)), (2, rotated(5, "whsec_b3RoZXI="))];
    let shown = changes(&events);
    assert_eq!((&*shown[0].by, shown[0].at, shown[0].action), ("ops", at(5), ChangeAction::SecretRotated));
    assert_eq!((shown[0].from.as_ref(), &shown[0].to), (Some(&shown[1].to), &shown[1].to));
}

#[test]
fn a_revocation_of_the_tokens_is_a_change_that_leaves_the_configuration() {
    let shown = changes(&[(1, saved("admin", URL, true)), (2, revoked(5))]);
    assert_eq!((&*shown[0].by, shown[0].at, shown[0].action), ("ops", at(5), ChangeAction::TokensRevoked));
    assert_eq!((shown[0].from.as_ref(), &shown[0].to), (Some(&shown[1].to), &shown[1].to));
}

#[test]
fn rotations_are_shown_with_the_configuration_though_its_save_is_long_gone() {
    let mut events: Vec<_> = (2..=300).map(|seq| (seq, rotated(5, "whsec_b3RoZXI="))).collect();
    events.extend([(301, disabled()), (302, rotated(6, "whsec_b3RoZXI="))]);
    let shown = changes(&events);
    assert_eq!((shown.len(), &*shown[0].id, &*shown[99].id), (CHANGES_SHOWN, "302", "203"));
    assert!(shown.iter().all(|change| change.from.is_some()));
    assert_eq!((shown[0].from.as_ref(), &shown[0].to), (Some(&shown[1].to), &shown[1].to));
    assert_eq!((shown[1].to.status, &shown[2].to), (WebhookStatus::DisabledByErrors, shown[1].from.as_ref().unwrap()));
}

#[test]
fn of_custom_headers_the_names_are_shown_and_those_that_changed() {
    let name: HeaderName = "x-api-key".parse().unwrap();
    let Event::WebhookSaved(first) = saved("admin", URL, true) else { unreachable!() };
    let headers = CustomHeaders::from([(name.clone(), "key-of-the-endpoint".into())]);
    let with = WebhookSaved { headers, changed_headers: vec![name.clone()], ..first.clone() };
    let again = WebhookSaved { changed_headers: Vec::new(), ..with.clone() };
    let shown = changes(&[(1, first), (2, with), (3, again)].map(|(seq, saved)| (seq, Event::WebhookSaved(saved))));
    let told: Vec<_> = shown.iter().map(|change| (change.to.headers.len(), change.changed_headers.len())).collect();
    assert_eq!(told, [(1, 1), (0, 0)], "the last one changed nothing");
    assert_eq!((&shown[0].to.headers, &shown[0].changed_headers), (&vec![name.clone()], &vec![name]));
    assert!(!serde_json::to_string(&shown).unwrap().contains("key-of-the-endpoint"));
}

#[test]
fn what_begins_with_a_switch_off_begins_in_the_middle() {
    let events = [(15, disabled()), (16, notified(15)), (17, saved("admin", URL, true))];
    let changes = changes(&events);
    assert_eq!(changes.iter().map(|change| &*change.id).collect::<Vec<_>>(), ["17"]);
}

#[test]
fn no_secret_is_shown() {
    let shown =
        serde_json::to_string(&changes(&[(1, saved("admin", URL, true)), (2, rotated(5, "whsec_b3RoZXI="))])).unwrap();
    assert!(!shown.contains("whsec_") && !shown.contains("\"secret\""), "{shown}");
}
