//! A message, its workspace and its attempt, always the same.

#![allow(dead_code, reason = "each bench uses the part of it that it needs")]

use std::sync::Arc;

use bytes::Bytes;
use outbound::message::{EntryId, Message};
use outbound::sign::Secret;
use outbound::workspace::command::Save;
use outbound::workspace::decide::{self, SaveContext};
use outbound::workspace::event::{Attempt, Request, Response, Trigger};
use outbound::workspace::{Confidential, Event, State, Time};

/// 2026-01-31T12:00:00Z.
pub(crate) const NOW: Time = Time::from_unix_ms(1_769_860_800_000);
pub(crate) const WEBHOOK_ID: &str = "msg_7_1769860800000-0";
/// No POST to it leaves the egress guard, which comes after the headers and their signature.
pub(crate) const URL: &str = "http://10.0.0.1/hook";
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

/// A message of so many bytes.
pub(crate) fn message(bytes: usize) -> Bytes {
    const HEAD: &str = concat!(
        r#"{"whatsapp account":{"full name":"John Doe","email":"john.doe@acme.com","phone":"+972540000000"},"#,
        r#""contact":{"full name":"Jane Smith","is_group":false,"phone":"+972550000000"},"direction":"received","#,
        r#""timestamp":"2021-02-24T06:25:29+0000","message_id":"ddfskhsd76dsfs6dsd5skjsdhf","text":""#
    );
    let text = "lorem ipsum ".chars().cycle().take(bytes.saturating_sub(HEAD.len() + 2));
    Bytes::from(format!("{HEAD}{}\"}}", text.collect::<String>()))
}

pub(crate) fn secret() -> Secret {
    SECRET.parse().expect("a signing secret")
}

/// A workspace whose webhook was saved.
pub(crate) fn state() -> State {
    let secret = Confidential::from(SECRET.to_owned());
    let context = SaveContext { at: NOW, by: "admin", fresh_secret: &secret, mails_begun: &[], mail_server: false };
    let save = Save { url: Some(URL.to_owned()), ..Save::default() };
    let mut state = State::default();
    for event in decide::save(&state, &save, &context).expect("a save that may be") {
        state.evolve(&event);
    }
    state
}

/// A delivery, as it stands before it is decided.
pub(crate) fn attempt(bytes: usize) -> Attempt {
    let message = Message::parse(message(bytes)).expect("a message");
    let headers = [
        ("content-type", "application/json"),
        ("accept", "*/*"),
        ("user-agent", "outbound/0.1.0"),
        ("webhook-id", WEBHOOK_ID),
        ("webhook-timestamp", "1769860800"),
        ("webhook-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
    ];
    Attempt {
        at: NOW,
        trigger: Trigger::Message,
        entry: EntryId { ms: 1_769_860_800_000, n: 0 },
        message_id: message.message_id().clone(),
        webhook_id: WEBHOOK_ID.into(),
        config: 1,
        errors: None,
        duration_ms: 12,
        error: None,
        request: Request {
            url: URL.into(),
            headers: Arc::new(headers.map(|(name, value)| (name.into(), value.into()))),
            message: Some(message.raw().clone()),
        },
        response: Some(Arc::new(response())),
    }
}

/// What an endpoint answers.
pub(crate) fn response() -> Response {
    let headers = vec![("content-length".into(), "0".into())];
    Response { status: 200, headers, body: String::new(), malformed: Vec::new(), truncated: false }
}

/// The same, decided.
pub(crate) fn delivered(bytes: usize) -> Event {
    Event::AttemptDelivered(Box::new(attempt(bytes)))
}
