//! Whatever an attempt holds, its stored form gives back.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::workspace::event::ErrorKind;

/// Texts that a form could confuse with its own.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z_\"\\\\:,{} é☕\u{0}\n\r-]{0,12}",
        Just(AGENT.to_owned()),
        Just("m-1".to_owned())
    ]
}

fn message() -> impl Strategy<Value = RawMessage> {
    let texts = prop_oneof![
        Just(r#"{"message_id":"m-1"}"#.to_owned()),
        Just(r#"{ "quoted":{"message_id":"m-2"}, "message_id" : "m-1" }"#.to_owned()),
        Just(r#"{"text":"\"message_id\":\"m-2\"","message_id":"m\u002d1"}"#.to_owned()),
        text().prop_map(|id| serde_json::json!({ "message_id": id }).to_string()),
    ];
    texts.prop_map(|text| RawMessage::from_stored(Bytes::from(text)).unwrap())
}

fn pairs() -> impl Strategy<Value = Vec<Header>> {
    proptest::collection::vec((text().prop_map(Cow::Owned), text().prop_map(Cow::Owned)), 0..3)
}

fn headers() -> impl Strategy<Value = Vec<Header>> {
    let signed =
        prop_oneof![Just("1769860800".to_owned()), Just("01769860800".to_owned()), Just("+1".to_owned()), text()];
    let usual = (text(), text(), signed, text(), pairs()).prop_map(|(agent, id, signed, signature, more)| {
        let own = |name: &'static str, value: &str| (Cow::Borrowed(name), Cow::Owned(value.to_owned()));
        let mut headers = vec![
            own(CONTENT_TYPE.0, CONTENT_TYPE.1),
            own(ACCEPT.0, ACCEPT.1),
            own(USER_AGENT, &agent),
            own(ID, &id),
            own(TIMESTAMP, &signed),
            own(SIGNATURE, &signature),
        ];
        headers.extend(more);
        headers
    });
    prop_oneof![usual, pairs()]
}

fn response() -> impl Strategy<Value = Option<Response>> {
    let malformed = proptest::collection::vec(text(), 0..3);
    let some = (prop_oneof![Just(200), Just(204), 100_u16..600], pairs(), malformed, text(), any::<bool>());
    proptest::option::of(some.prop_map(|(status, headers, malformed, body, truncated)| Response {
        status,
        headers,
        malformed,
        body,
        truncated,
    }))
}

prop_compose! {
    fn attempt()(
        ms in prop_oneof![Just(1_769_860_800_007), 0_i64..4_000_000_000_000],
        test in any::<bool>(),
        entry in (any::<u64>(), any::<u64>()).prop_map(|(ms, n)| EntryId { ms, n }),
        own_entry in any::<bool>(),
        (message, message_id) in (message(), prop_oneof![Just("m-1".to_owned()), Just("m-2".to_owned()), text()]),
        (id, own_id) in (text(), any::<bool>()),
        config in any::<u64>(),
        errors in proptest::option::of(0_u32..3),
        failed in proptest::option::of(text()),
        mut headers in headers(),
        response in response(),
    ) -> Attempt {
        let webhook_id: Arc<str> = if own_entry { format!("msg_7_{entry}").into() } else { id.into() };
        if own_id && let Some(header) = headers.get_mut(3) {
            header.1 = webhook_id.as_ref().to_owned().into();
        }
        // The message's own is what an attempt has; another one is written where the text does not name it.
        let named = named_by(&message).unwrap();
        let message_id = if names(message.bytes(), &message_id) { named } else { message_id.into() };
        Attempt {
            at: Time::from_unix_ms(ms),
            trigger: if test { Trigger::Test } else { Trigger::Message },
            entry,
            message_id,
            webhook_id,
            config,
            errors,
            duration_ms: 42,
            error: failed.map(|detail| AttemptError { kind: ErrorKind::Timeout, detail }),
            request: Request { url: "https://crm.acme.com/hook".into(), headers: headers.into(), message: Some(message) },
            response: response.map(Arc::new),
        }
    }
}

proptest! {
    #[test]
    fn what_is_left_out_is_read_back(attempt in attempt(), seq in any::<u64>(), delivered in any::<bool>()) {
        let json = encode(seq, delivered, &attempt).unwrap();
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
        prop_assert_eq!(decode_entry(&json).unwrap(), attempt.entry);
        prop_assert_eq!(decode(&json, delivered).unwrap(), attempt);
    }
}

#[test]
fn a_message_is_asked_for_its_own_id_however_it_is_spaced() {
    assert!(names(br#"{"message_id":"m-1"}"#, "m-1"));
    assert!(names(b"{\"a\":{\"message_id\":\"m-2\"},\n \"message_id\" :\t\"m-1\"}", "m-1"));
    for message in
        [r#"{"message_id":"m-12"}"#, r#"{"message_id":12}"#, r#"{"text":"\"message_id\":\"m-1\""}"#, r#"{"message_id"#]
    {
        assert!(!names(message.as_bytes(), "m-1"), "{message}");
    }
}
