use proptest::prelude::*;

use super::*;

/// The message of [contract, section 2](crate::docs::contract#2-the-post-out).
const SAMPLE: &str = r#"{
  "whatsapp account": {"full name": "John Doe", "email": "john.doe@acme.com", "phone": "+972540000000"},
  "contact": {"full name": "Jane Smith", "is_group": false, "phone": "+972550000000"},
  "direction": "sent",
  "timestamp": "2021-02-24T06:25:29+0000",
  "message_id": "ddfskhsd76dsfs6dsd5skjsdhf",
  "sender": {"full name": "John Doe", "phone": "+972540000000"},
  "receiver": {"full name": "Jane Smith", "phone": "+972550000000"},
  "text": "lorem ipsum"
}"#;

fn parse(text: &str) -> Result<Message, Invalid> {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()))
}

/// A valid message with `members` added in front.
fn with(members: &str) -> String {
    format!(r#"{{{members}"direction":"sent","timestamp":"t","message_id":"m","contact":{{}}}}"#)
}

#[track_caller]
fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[test]
fn the_contracts_sample_is_taken() {
    let message = parse(SAMPLE).unwrap();
    assert_eq!(message.message_id().as_ref(), "ddfskhsd76dsfs6dsd5skjsdhf");
    assert_eq!(message.raw().bytes(), SAMPLE.as_bytes());
    assert_eq!(message.raw().body(), format!("{{\"message\":{SAMPLE}}}"));
}

#[test]
fn what_the_producer_wrote_goes_out_byte_for_byte() {
    let written = with(
        "\"b\" :1.0e+2 ,\"a\":\"\\u00e9\\/\u{e9}\u{1f600}\",\"a\":12345678901234567890123,\n\"\":[ ],\"\\ud800\\udc00\":\"\\ud800\",",
    );
    let message = parse(&written).unwrap();
    assert_eq!(message.raw().body(), format!("{{\"message\":{written}}}"));
    let stored = serde_json::to_string(message.raw()).unwrap();
    assert_eq!(stored, written);
    assert_eq!(&serde_json::from_str::<RawMessage>(&stored).unwrap(), message.raw());
    assert_eq!(&RawMessage::from_stored(stored.into()).unwrap(), message.raw());
}

#[test]
fn the_space_around_the_object_is_no_part_of_it() {
    let message = parse(&format!(" \t\r\n{SAMPLE} \t\r\n")).unwrap();
    assert_eq!(message, parse(SAMPLE).unwrap());
    assert_eq!(&RawMessage::from_stored(format!(" {SAMPLE}\n").into()).unwrap(), message.raw());
}

#[test]
fn a_stored_text_that_is_not_one_json_value_is_refused() {
    for text in ["", "{", "{}{}", "{} x"] {
        assert!(RawMessage::from_stored(text.into()).is_err(), "{text}");
    }
}

#[test]
fn members_may_be_written_with_escapes() {
    let message =
        parse(r#"{"direc\u0074ion":"s\u0065nt","timestamp":"t","m\u0065ssage_id":"a\n\"b","contact":{}}"#).unwrap();
    assert_eq!(message.message_id().as_ref(), "a\n\"b");
}

#[test]
fn direction_is_sent_or_received() {
    assert!(parse(&with("").replace("sent", "received")).is_ok());
    for direction in ["\"Sent\"", "\"\"", "1", "null", "[\"sent\"]"] {
        let reason = refused(&with("").replace("\"sent\"", direction));
        assert_eq!(reason, "`direction` must be \"sent\" or \"received\"", "{direction}");
    }
}

#[test]
fn timestamp_and_message_id_are_non_empty_strings() {
    for (member, value) in [("timestamp", "\"t\""), ("message_id", "\"m\"")] {
        for bad in ["\"\"", "7", "null", "{}"] {
            let reason = refused(&with("").replace(value, bad));
            assert_eq!(reason, format!("`{member}` must be a non-empty string"), "{bad}");
        }
    }
}

#[test]
fn contact_is_an_object() {
    for bad in ["[]", "\"{}\"", "null"] {
        assert_eq!(refused(&with("").replace("{}", bad)), "`contact` must be an object", "{bad}");
    }
}

#[test]
fn an_absent_member_is_named() {
    assert_eq!(refused("{}"), "`direction` must be \"sent\" or \"received\"");
    assert_eq!(refused(r#"{"direction":"sent"}"#), "`timestamp` must be a non-empty string");
    assert_eq!(refused(r#"{"direction":"sent","timestamp":"t"}"#), "`message_id` must be a non-empty string");
    assert_eq!(refused(r#"{"direction":"sent","timestamp":"t","message_id":"m"}"#), "`contact` must be an object");
}

#[test]
fn a_checked_member_that_stands_twice_is_refused_and_others_pass() {
    for member in ["direction", "timestamp", "message_id", "contact"] {
        for value in ["\"other\"", "null", "{}"] {
            let reason = refused(&with(&format!("\"{member}\":{value},")));
            assert_eq!(reason, format!("`{member}` stands twice in the message: send it once"), "{value}");
        }
    }
    assert_eq!(
        refused(&with("\"whatsapp account\":{},\"whatsapp\\u0020account\":{},")),
        "`whatsapp account` stands twice in the message: send it once"
    );
    assert!(parse(&with("\"text\":\"a\",\"text\":\"b\",")).is_ok());
}

#[test]
fn json_that_is_no_object_is_told_from_broken_json() {
    for text in ["\"{\" 1", "{", "{\"a\":}", "nul", "{'a':1}", "{\"a\":\"\n\"}", "{\"a\":1,}", "{} x"] {
        assert!(matches!(parse(text), Err(Invalid::NotJson(_))), "{text}");
    }
    for text in ["\"\"", "\"x\"", "1", "null"] {
        assert!(matches!(parse(text), Err(Invalid::NotAnObject)), "{text}");
    }
    for text in ["[]", "[1", "[\"sent\",\"t\",\"m\",{},{}]", &format!("{SAMPLE},")] {
        assert!(matches!(parse(text), Err(Invalid::List)), "{text}");
    }
}

#[test]
fn a_message_is_utf_8() {
    let mut bytes = with("\"text\":\"x\",").into_bytes();
    *bytes.iter_mut().find(|byte| **byte == b'x').unwrap() = 0xff;
    let last = bytes.iter().rposition(|byte| *byte == 0xff).unwrap();
    assert!(matches!(Message::parse(bytes.into()), Err(Invalid::NotUtf8 { byte, .. }) if byte == last + 1));
}

#[test]
fn a_message_has_at_most_256_kib() {
    let sized = |bytes: usize| {
        let text = with("\"text\":\"\",");
        text.replace("\"text\":\"\"", &format!("\"text\":\"{}\"", "x".repeat(bytes - text.len())))
    };
    assert_eq!(sized(262_144).len(), 262_144);
    assert!(parse(&sized(262_144)).is_ok());
    assert!(matches!(parse(&sized(262_145)), Err(Invalid::TooLarge { bytes: 262_145 })));
}

#[test]
fn a_message_is_nested_at_most_128_deep() {
    // The object itself is the first level.
    let nested = |depth: usize| with(&format!("\"x\":{}{},", "[".repeat(depth - 1), "]".repeat(depth - 1)));
    assert!(parse(&nested(128)).is_ok());
    assert!(matches!(parse(&nested(129)), Err(Invalid::TooDeep)));
    let objects = |depth: usize| with(&format!("\"x\":{}1{},", "{\"x\":".repeat(depth - 1), "}".repeat(depth - 1)));
    assert!(parse(&objects(128)).is_ok());
    assert!(matches!(parse(&objects(129)), Err(Invalid::TooDeep)));
    assert!(serde_json::from_str::<serde_json::Value>(&nested(128)).is_err(), "why nothing here may read into a Value");
}

#[test]
fn brackets_in_strings_and_side_by_side_are_no_depth() {
    let strings = format!("\"x\":\"\\\"{}\\\\\",", "[{".repeat(200));
    assert!(parse(&with(&strings)).is_ok());
    let flat = format!("\"x\":[{}[]],", "[],{},".repeat(200));
    assert!(parse(&with(&flat)).is_ok());
    // A string that ends in an escaped backslash is over; what follows it counts.
    let after = format!("\"x\":[\"\\\\\",{}{}],", "[".repeat(127), "]".repeat(127));
    assert!(matches!(parse(&with(&after)), Err(Invalid::TooDeep)));
}

#[test]
fn no_depth_overflows_the_stack() {
    assert!(matches!(parse(&"[".repeat(200_000)), Err(Invalid::TooDeep)));
    assert!(matches!(parse(&"{\"a\":".repeat(50_000)), Err(Invalid::TooDeep)));
}

/// The chat of a message with this account and contact.
fn chat(account: &str, contact: &str) -> Chat {
    let account = if account.is_empty() { String::new() } else { format!("\"whatsapp account\":{account},") };
    parse(&with(&account).replace("\"contact\":{}", &format!("\"contact\":{contact}"))).unwrap().chat(0)
}

#[test]
fn a_chat_is_an_account_and_a_contact() {
    let jane = chat(r#"{"phone":"+1"}"#, r#"{"phone":"+2","full name":"Jane"}"#);
    assert_eq!(jane, chat(r#"{"full name":"John","phone":"+1"}"#, r#"{"full name":"J. Smith","phone":"\u002b2"}"#));
    assert_ne!(jane, chat(r#"{"phone":"+1"}"#, r#"{"phone":"+3","full name":"Jane"}"#));
    assert_ne!(jane, chat(r#"{"phone":"+9"}"#, r#"{"phone":"+2","full name":"Jane"}"#));
    assert_ne!(chat(r#"{"phone":"+1"}"#, r#"{"phone":"+2"}"#), chat(r#"{"phone":"+2"}"#, r#"{"phone":"+1"}"#));
}

#[test]
fn a_group_without_a_phone_is_known_by_its_name() {
    let family = chat("", r#"{"full name":"Family","is_group":true}"#);
    assert_eq!(family, chat("", r#"{"is_group":true,"phone":null,"full name":"Family"}"#));
    assert_eq!(family, chat("", r#"{"phone":"","full name":"Fam\u0069ly"}"#));
    assert_ne!(family, chat("", r#"{"full name":"Work","is_group":true}"#));
    assert_ne!(family, chat("", r#"{"phone":"Family"}"#), "a name is no phone");
    assert_ne!(family, chat(r#"{"phone":"+1"}"#, r#"{"full name":"Family"}"#));
}

#[test]
fn a_contact_without_a_phone_is_known_by_its_id_before_its_name() {
    for member in ["id", "chat_id", "jid", "lid"] {
        let by = |id: &str, more: &str| chat(r#"{"phone":"+1"}"#, &format!("{{\"{member}\":{id}{more}}}"));
        let jane = by("\"1@lid\"", "");
        assert_eq!(jane, by("\"1\\u0040lid\"", ",\"full name\":\"Jane\""), "{member}");
        assert_ne!(jane, by("\"2@lid\"", ""), "{member}");
        assert_ne!(jane, by("\"1@lid\"", ",\"phone\":\"+2\""), "a phone counts first");
        assert_eq!(by("7", ""), by("\"7\"", ""));
        assert_eq!(by("{\"user\":\"1\"}", ""), by("{\"user\":\"1\"}", ",\"x\":1"), "an id may be an object");
        assert_ne!(by("{\"user\":\"1\"}", ""), by("{\"user\":\"2\"}", ""));
        assert_ne!(by("\"\\ud800\"", ""), by("\"\\ud801\"", ""), "what is no text names it all the same");
        for nothing in ["\"\"", "null", "{}", "[]", "true"] {
            assert_eq!(by(nothing, ",\"full name\":\"Jane\""), by("null", ",\"full name\":\"Jane\""), "{nothing}");
        }
    }
    assert_eq!(chat("", r#"{"lid":"1","id":"2"}"#), chat("", r#"{"id":"2","jid":"3"}"#), "id counts first");
    assert_eq!(chat("", r#"{"phone":"+1","phone":"+2"}"#), chat("", r#"{"phone":"+2"}"#), "the last one counts");
}

#[test]
fn a_message_that_names_no_chat_has_one_of_its_own() {
    for contact in ["{}", r#"{"phone":"","full name":""}"#, r#"{"is_group":true}"#, r#"{"phone":null,"id":{}}"#] {
        let account = "\"whatsapp account\":{\"phone\":\"+1\"},";
        let message = parse(&with(account).replace("\"contact\":{}", &format!("\"contact\":{contact}"))).unwrap();
        assert_eq!(message.chat(1), message.chat(1));
        assert_ne!(message.chat(1), message.chat(2), "{contact}");
    }
}

#[test]
fn a_byte_order_mark_in_front_is_no_part_of_the_message() {
    for marks in ["\u{feff}", "\u{feff}\u{feff}", "\u{feff} \n"] {
        assert_eq!(parse(&format!("{marks}{SAMPLE}")).unwrap(), parse(SAMPLE).unwrap());
    }
    let inside = with("\"text\":\"\u{feff}\",");
    assert_eq!(parse(&inside).unwrap().raw().bytes(), inside.as_bytes());
}

#[test]
fn half_of_a_character_is_told_where_a_text_is_needed_and_passed_on_elsewhere() {
    for (member, value) in [("direction", "\"sent\""), ("timestamp", "\"t\""), ("message_id", "\"m\"")] {
        for half in ["\"\\ud800\"", "\"a\\udc00b\"", "\"\\ud83d\\u0041\"", "\"\\ud83d\\ud83d\\ude00\""] {
            let reason = refused(&with("").replace(value, half));
            assert!(reason.starts_with(&format!("`{member}` holds half of a character")), "{reason}");
        }
    }
    let pair = with("").replace("\"m\"", "\"\\ud83d\\ude00\"");
    assert_eq!(parse(&pair).unwrap().message_id().as_ref(), "\u{1f600}");
}

#[test]
fn half_of_a_character_in_a_name_changes_nothing_of_the_members_beside_it() {
    let half = "\"\\ud83d\":{\"\\ude00\":1},\"message_id\\udc00\":7,";
    let message = parse(&with(half)).unwrap();
    assert_eq!(message.message_id().as_ref(), "m");
    assert_eq!(message.raw().bytes(), with(half).as_bytes());
    assert_eq!(refused(&with(half).replace("\"m\"", "\"\"")), "`message_id` must be a non-empty string");
    assert!(matches!(parse(&with(&format!("\"\n\":1,{half}"))), Err(Invalid::NotJson(_))));
    assert!(matches!(parse(&format!("{} x", with(half))), Err(Invalid::NotJson(_))));
    // The chat is found beside it as well.
    let jane = chat(r#"{"phone":"+1"}"#, r#"{"phone":"+2"}"#);
    assert_eq!(jane, chat(r#"{"\ud83d":1,"phone":"+1"}"#, r#"{"phone":"+2","phone\ud83d":"+3"}"#));
    assert_ne!(jane, chat(r#"{"\ud83d":1,"phone":"+1"}"#, r#"{"\ud83d":1,"phone":"+3"}"#));
}

#[test]
fn a_member_is_looked_up_as_it_is_written() {
    let object = br#" {"a":1,"\ud83d":2,"\u0062":"\ud83d","a":[ 3 ]}"#;
    let found = |name| member(object, name).map(|value| value.get());
    assert_eq!((found("a"), found("b"), found("c")), (Some("[ 3 ]"), Some(r#""\ud83d""#), None));
    for none in ["[1]", "1", "", "{\"a\":1", "{\"a\":1} x"] {
        assert!(member(none.as_bytes(), "a").is_none(), "{none}");
    }
}

#[test]
fn what_is_no_utf_8_is_named() {
    let told = |bytes: Vec<u8>| Message::parse(bytes.into()).unwrap_err().to_string();
    let utf_16: Vec<u8> = format!("\u{feff}{SAMPLE}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(told(utf_16), "the message is UTF-16: convert it to UTF-8, with `iconv -f UTF-16 -t UTF-8`");
    let large = [b"PK\x03\x04".to_vec(), vec![b'x'; MESSAGE_BYTES_MAX]].concat();
    assert_eq!(told(large), "the message is packed with zip: unpack it first, with `unzip -p`");
    let latin_1 = with("\"text\":\"\u{e9}\",").into_bytes().into_iter().filter(|byte| *byte != 0xc3).collect();
    assert!(told(latin_1).contains("its byte 10 is none"));
}

#[test]
fn an_account_without_a_phone_counts_as_an_empty_one() {
    let expected = chat("", r#"{"phone":"+2"}"#);
    for account in ["{}", r#"{"phone":""}"#, r#"{"phone":null}"#, r#"{"full name":"John"}"#, "null", "7"] {
        assert_eq!(chat(account, r#"{"phone":"+2"}"#), expected, "{account}");
    }
}

#[test]
fn a_phone_may_be_written_as_a_number() {
    assert_eq!(chat("", r#"{"phone":972550000000}"#), chat("", r#"{"phone":"972550000000","full name":"Jane"}"#));
    assert_ne!(chat("", r#"{"phone":1}"#), chat("", r#"{"phone":2}"#));
    assert_eq!(chat("", r#"{"phone":true,"full name":"Jane"}"#), chat("", r#"{"full name":"Jane"}"#));
}

#[test]
fn the_shard_is_the_crc32_of_zlib() {
    // python3 -c 'import zlib; print(zlib.crc32(b"acme"))' and so on.
    for (workspace, crc) in CRC32 {
        let id: WorkspaceId = workspace.parse().unwrap();
        for shards in [1_u16, 7, 16, 1_024] {
            assert_eq!(u32::from(id.shard(shards)), crc % u32::from(shards), "{workspace} of {shards}");
        }
        assert_eq!(id.shard(0), 0);
    }
}

const CRC32: [(&str, u32); 4] =
    [("acme", 0x05c4_ba3e), ("a", 0xe8b7_be43), ("workspace-1", 0xab2d_6ca6), ("T.e_s:t-9", 0x0c2e_3d61)];

#[test]
fn a_workspace_id_has_1_to_128_characters_of_its_alphabet() {
    for id in ["a", "0", "_", "...", "-", ":", "acme", "A.b_C:d-9", &"x".repeat(128)] {
        assert_eq!(id.parse::<WorkspaceId>().unwrap().as_str(), id);
    }
    for id in ["", ".", "..", "a b", "a/b", "a{b", "é", "a\n", "a\0", "a@b", "a[b", "a`b", &"x".repeat(129)] {
        assert!(id.parse::<WorkspaceId>().is_err(), "{id:?}");
        assert!(serde_json::from_value::<WorkspaceId>(id.into()).is_err(), "{id:?}");
    }
}

#[test]
fn a_workspace_id_is_shown_and_stored_as_it_is() {
    let id: WorkspaceId = "acme".parse().unwrap();
    assert_eq!((format!("{id}"), format!("{id:?}")), ("acme".to_owned(), "acme".to_owned()));
    assert_eq!(serde_json::to_string(&id).unwrap(), "\"acme\"");
    assert_eq!(serde_json::from_str::<WorkspaceId>("\"acme\"").unwrap(), id);
    assert_eq!(std::collections::HashMap::from([(id, 1)]).get("acme"), Some(&1));
}

#[test]
fn entry_ids_are_ordered_as_redis_orders_them() {
    let id = |text: &str| text.parse::<EntryId>().unwrap();
    assert!(EntryId::ZERO < id("0-1") && id("0-1") < id("1-0") && id("9-9") < id("10-0") && id("5-9") < id("5-10"));
    assert_eq!(id("5-9").next(), id("5-10"));
    assert_eq!(id("5-18446744073709551615").next(), id("6-0"));
    let last = id("18446744073709551615-18446744073709551615");
    assert_eq!(last.next(), EntryId { ms: u64::MAX, n: 0 }, "there is none above the greatest");
}

#[test]
fn an_entry_id_is_two_numbers() {
    for text in ["", "-", "5", "5-", "-5", "5-5-5", "+5-1", "5-+1", " 5-1", "5-1 ", "a-1", "18446744073709551616-0"] {
        assert!(text.parse::<EntryId>().is_err(), "{text:?}");
    }
    let id = EntryId { ms: 1_700_000_000_000, n: 7 };
    assert_eq!(serde_json::to_string(&id).unwrap(), "\"1700000000000-7\"");
    assert_eq!(serde_json::from_str::<EntryId>("\"1700000000000-7\"").unwrap(), id);
    assert_eq!(serde_json::from_str::<EntryId>("\"1700000000000\\u002d7\"").unwrap(), id);
}

#[test]
fn a_message_in_the_usual_form_is_read_in_one_pass() {
    let found = Members::quick(SAMPLE).unwrap().found().unwrap();
    assert_eq!(found, Members::thorough(SAMPLE).unwrap().found().unwrap());
}

/// Some JSON values, among them those that a member should have.
fn value() -> impl Strategy<Value = String> {
    let party = prop::collection::vec(
        (prop_oneof![Just("phone"), Just("full name"), Just("id"), Just("lid"), Just("x")], name()),
        0..4,
    )
    .prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        format!("{{{}}}", members.join(","))
    });
    prop_oneof![3 => party, 3 => name(), 1 => Just("\"sent\"".to_owned()), 1 => Just("[\"+1\"]".to_owned())]
}

fn name() -> impl Strategy<Value = String> {
    const SOME: [&str; 8] = ["\"\"", "\"+1\"", "\"\\u002b1\"", "null", "1", "1.5", "true", "{}"];
    prop::sample::select(&SOME[..]).prop_map(str::to_owned)
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Message::parse(bytes.into()).is_err());
    }

    #[test]
    fn any_json_passes_through_unchanged(name in ".{0,8}", text in ".{0,40}", number in any::<f64>(), space in "[ \t\r\n]{0,4}") {
        let value = serde_json::json!([{ "x": { name: text } }, number]);
        let written = with(&format!("\"x\":{space}{value}{space},"));
        let message = parse(&format!("{space}{written}{space}")).unwrap();
        prop_assert_eq!(message.raw().body(), format!("{{\"message\":{written}}}"));
        let stored = serde_json::to_vec(message.raw()).unwrap();
        prop_assert_eq!(&serde_json::from_slice::<RawMessage>(&stored).unwrap(), message.raw());
    }

    #[test]
    fn entry_ids_round_trip(ms: u64, n: u64) {
        let id = EntryId { ms, n };
        prop_assert_eq!(id.to_string().parse::<EntryId>().unwrap(), id);
        prop_assert!(id.next() > id || ms == u64::MAX && n == u64::MAX);
    }

    #[test]
    fn one_pass_finds_and_refuses_what_the_thorough_reading_does(
        members in prop::collection::vec(
            (
                prop_oneof![
                    Just("direction"), Just("timestamp"), Just("message_id"), Just("contact"), Just("whatsapp account"),
                    Just("dir\\u0065ction"), Just("text"),
                ],
                value(),
            ),
            0..4,
        ),
        whole in any::<bool>(),
    ) {
        let mut text: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
        if whole {
            text.extend([r#""direction":"sent","timestamp":"t","message_id":"m","contact":{"phone":"+2"}"#.to_owned()]);
        }
        let text = format!("{{{}}}", text.join(","));
        if let Some(members) = Members::quick(&text) {
            let thorough = Members::thorough(&text).unwrap().found().map_err(|invalid| invalid.to_string());
            prop_assert_eq!(members.found().map_err(|invalid| invalid.to_string()), thorough);
        }
    }
}
