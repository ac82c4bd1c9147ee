use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::journal::codec;
use crate::message::WorkspaceId;
use crate::workspace::command::{Action, Change, Command, Save};
use crate::workspace::confidential::Confidential;
use crate::workspace::event::{Event, SecretRotated, WebhookSaved};
use crate::workspace::headers::{CustomHeaders, HeaderChange};
use crate::workspace::state::{PreviousSecret, State, Webhook};
use crate::workspace::time::Time;

const SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=";
const OLD_SECRET: &str = "whsec_ZW5kIG9mIG92ZXJsYXAgaXMgYWZ0ZXIgYSBkYXkuLi4=";
const VALUE: &str = "Bearer key-of-the-endpoint";
/// 32 times `1`, and 32 times `2`.
const K1: &str = "k1:MTExMTExMTExMTExMTExMTExMTExMTExMTExMTExMTE=";
const K2: &str = "k2:MjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjIyMjI=";

fn keyring(keys: &str) -> Keyring {
    Keyring::parse(keys, || *b"a nonce of 24 bytes, see").unwrap()
}

fn acme() -> WorkspaceId {
    "acme".parse().unwrap()
}

fn headers() -> CustomHeaders {
    CustomHeaders::from([("authorization".parse().unwrap(), VALUE.into())])
}

fn webhook() -> Webhook {
    let previous = PreviousSecret { secret: OLD_SECRET.into(), valid_until: Time::from_unix_ms(1_769_860_800_000) };
    Webhook { secret: Some(SECRET.into()), previous_secret: Some(previous), headers: headers(), ..Webhook::default() }
}

fn sealed(keys: &str) -> Webhook {
    let mut webhook = webhook();
    keyring(keys).seal(&acme(), &mut webhook);
    webhook
}

fn shows_nothing(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for part in ["whsec_", "MDEyMzQ1", "ZW5kIG9m", "key-of-the-endpoint"] {
        assert!(!text.contains(part), "{text}");
    }
}

#[test]
fn what_was_sealed_opens_again_and_shows_nothing_meanwhile() {
    let mut webhook = sealed(K1);
    shows_nothing(&codec::encode_snapshot(&State { webhook: webhook.clone(), ..State::default() }));
    assert_eq!(keyring(K1).open(&acme(), &mut webhook), Ok(Seal::Present));
    assert_eq!(webhook, self::webhook());
}

#[test]
fn everything_that_goes_into_a_journal_is_sealed() {
    let at = Time::from_unix_ms(0);
    let by = "admin".to_owned();
    let saved = WebhookSaved {
        at,
        by: by.clone(),
        url: None,
        enabled: false,
        owner_email: None,
        secret: SECRET.into(),
        headers: headers(),
        changed_headers: vec!["authorization".parse().unwrap()],
    };
    let rotated = SecretRotated { at, by: by.clone(), secret: SECRET.into(), previous_until: at, configuration: None };
    for mut event in [Event::WebhookSaved(saved), Event::SecretRotated(rotated)] {
        keyring(K1).seal(&acme(), &mut event);
        shows_nothing(&codec::encode_event(1, &event).unwrap());
    }
    let value = HeaderChange::Set(VALUE.into());
    let headers = Change::Set([("authorization".parse().unwrap(), value)].into());
    let save = Save { headers, ..Save::default() };
    for action in [Action::Save(save.clone()), Action::Test { save: Some(save) }] {
        let open = Command { at, expires_at: at, by: by.clone(), if_match: None, action };
        let mut command = open.clone();
        keyring(K1).seal(&acme(), &mut command);
        let json = serde_json::to_vec(&command).unwrap();
        shows_nothing(&json);
        let mut read: Command = serde_json::from_slice(&json).unwrap();
        keyring(K1).open(&acme(), &mut read).unwrap();
        assert_eq!(read, open);
    }
}

#[test]
fn a_sealed_value_has_its_bytes() {
    let file = include_str!("../../tests/golden/journal/v1/snapshot_sealed.json").trim_end();
    let mut state = State { seq: 3, webhook: sealed(K1), ..State::default() };
    assert_eq!(std::str::from_utf8(&codec::encode_snapshot(&state)).unwrap(), file);
    state = codec::decode_snapshot(file.as_bytes()).unwrap();
    keyring(K1).open(&acme(), &mut state.webhook).unwrap();
    assert_eq!(state.webhook, webhook());
}

#[test]
fn a_nonce_is_drawn_for_every_value() {
    let keyring = Keyring::parse(K1, rand::random).unwrap();
    let seal = || {
        let mut webhook = Webhook { secret: Some(SECRET.into()), ..Webhook::default() };
        keyring.seal(&acme(), &mut webhook);
        webhook.secret.unwrap().sealed().unwrap().to_owned()
    };
    assert_ne!(seal(), seal());
}

#[test]
fn what_is_open_is_read_with_and_without_a_key_and_sealed_with_the_next_write() {
    let mut webhook = webhook();
    assert_eq!(Keyring::default().open(&acme(), &mut webhook), Ok(Seal::Present));
    assert_eq!(keyring(K1).open(&acme(), &mut webhook), Ok(Seal::Outdated));
    assert_eq!(webhook, self::webhook());
    Keyring::default().seal(&acme(), &mut webhook);
    assert_eq!(webhook, self::webhook(), "without a key nothing is sealed");
    assert_eq!(keyring(K1).open(&acme(), &mut Webhook::default()), Ok(Seal::Present), "nothing is there to seal");
}

#[test]
fn the_first_key_seals_and_every_key_opens() {
    let both = keyring(&format!("{K2}, {K1}"));
    let mut webhook = sealed(K1);
    assert_eq!(both.open(&acme(), &mut webhook), Ok(Seal::Outdated));
    both.seal(&acme(), &mut webhook);
    assert_eq!(keyring(K2).open(&acme(), &mut webhook), Ok(Seal::Present));
    assert_eq!(webhook, self::webhook());
}

#[test]
fn without_its_key_a_value_stays_sealed_and_the_key_is_named() {
    for keyring in [Keyring::default(), keyring(K2)] {
        let mut webhook = sealed(K1);
        let error = keyring.open(&acme(), &mut webhook).unwrap_err();
        assert_eq!(error, UnsealError::NoKey { field: "secret".to_owned(), id: "k1".to_owned() });
        assert_eq!(webhook, sealed(K1), "nothing is lost");
        assert_eq!(webhook.secret.unwrap().expose(), "");
    }
    let other = keyring(&K2.replace("k2", "k1"));
    let error = other.open(&acme(), &mut sealed(K1)).unwrap_err();
    assert_eq!(error, UnsealError::Mismatch { field: "secret".to_owned(), id: "k1".to_owned() });
}

#[test]
fn a_value_that_was_copied_elsewhere_does_not_open() {
    let keyring = keyring(K1);
    let beta: WorkspaceId = "beta".parse().unwrap();
    let mismatch = |field: &str| Err(UnsealError::Mismatch { field: field.to_owned(), id: "k1".to_owned() });
    assert_eq!(keyring.open(&beta, &mut sealed(K1)), mismatch("secret"));
    let Webhook { secret, previous_secret, headers, .. } = sealed(K1);
    let old = previous_secret.unwrap().secret;
    let value = headers.into_values().next().unwrap();
    let with = |secret: Confidential| Webhook { secret: Some(secret), ..Webhook::default() };
    assert_eq!(keyring.open(&acme(), &mut with(old)), mismatch("secret"));
    assert_eq!(keyring.open(&acme(), &mut with(value.clone())), mismatch("secret"));
    for (name, value) in [("x-api-key", value), ("authorization", secret.unwrap())] {
        let headers = CustomHeaders::from([(name.parse().unwrap(), value)]);
        let mut webhook = Webhook { headers, ..Webhook::default() };
        assert_eq!(keyring.open(&acme(), &mut webhook), mismatch(&format!("headers.{name}")));
    }
}

#[test]
fn a_value_that_was_cut_off_or_changed_does_not_open() {
    let keyring = keyring(K1);
    let secret = sealed(K1).secret.unwrap();
    let bytes = STANDARD.decode(secret.sealed().unwrap()).unwrap();
    let open = |bytes: &[u8]| {
        let secret = Some(Confidential::from_sealed(STANDARD.encode(bytes)));
        keyring.open(&acme(), &mut Webhook { secret, ..Webhook::default() })
    };
    assert_eq!(open(&bytes), Ok(Seal::Present));
    for end in 0..bytes.len() {
        assert!(open(&bytes[..end]).is_err(), "cut at {end}");
    }
    for index in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[index] ^= 1;
        assert!(open(&changed).is_err(), "changed at {index}");
    }
    assert_eq!(open(&[2]), Err(UnsealError::UnknownVersion { field: "secret".to_owned(), found: 2 }));
    let secret = Some(Confidential::from_sealed("*".to_owned()));
    let error = keyring.open(&acme(), &mut Webhook { secret, ..Webhook::default() });
    assert_eq!(error, Err(UnsealError::Damaged { field: "secret".to_owned() }));
}

#[test]
fn keys_are_a_list_of_ids_and_32_bytes_each() {
    for (text, sealing) in [(K1.to_owned(), "k1"), (format!(" {K2}\n{K1}\n"), "k2"), (format!("{K1},{K2}"), "k1")] {
        assert_eq!(Keyring::parse(&text, rand::random).unwrap().sealing(), Some(sealing));
    }
    let key = &K1[3..];
    let many: String = (0..17).map(|n| format!("k{n}:{key} ")).collect();
    for (text, error) in [
        (" \n".to_owned(), InvalidKeys::None),
        (key.to_owned(), InvalidKeys::Form { position: 1 }),
        (format!("{K1} {key}"), InvalidKeys::Form { position: 2 }),
        (format!(":{key}"), InvalidKeys::Id { position: 1 }),
        (format!("k/1:{key}"), InvalidKeys::Id { position: 1 }),
        (format!("{}:{key}", "k".repeat(33)), InvalidKeys::Id { position: 1 }),
        (format!("k1:{}", &key[4..]), InvalidKeys::Key { id: "k1".to_owned() }),
        ("k1:?".to_owned(), InvalidKeys::Key { id: "k1".to_owned() }),
        (format!("{K1} k1:{}", &K2[3..]), InvalidKeys::Twice { id: "k1".to_owned() }),
        (many, InvalidKeys::TooMany),
    ] {
        assert_eq!(Keyring::parse(&text, rand::random).unwrap_err(), error, "{text}");
        assert!(!error.to_string().contains(&key[4..20]), "{error}");
    }
}

#[test]
fn debug_shows_ids_and_no_key() {
    assert_eq!(format!("{:?}", keyring(&format!("{K1} {K2}"))), r#"["k1", "k2"]"#);
}
