//! What producers send: files of other programs, texts that were cut, contacts without a phone.

use std::io::Write as _;
use std::process::{Output, Stdio};

use serde_json::json;
use support::endpoint::Receiver;
use support::process::{outbound, until};
use support::redis_server::RedisServer;
use support::service::{Api, Service, TOKEN, message};

/// A service whose workspace `acme` sends to a receiver.
async fn working(journal: &str) -> (Service, Receiver) {
    // A receiver may hold its answers back for as long as a test takes.
    let service = Service::start(journal, &["--shards", "1", "--timeout", "300s"]).await;
    let receiver = Receiver::start();
    service.api().save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    (service, receiver)
}

/// `outbound publish` with that standard input.
fn publish(api: &Api, input: &[u8]) -> Output {
    let server = format!("http://{}", api.address());
    let mut command = outbound(&["publish", "--workspace", "acme", "--server", &server]);
    let command = command.env("OUTBOUND_ADMIN_TOKEN", TOKEN);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that ends early has refused a line and reads no further.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

/// The POST's bytes of a message.
fn body(message: &str) -> Vec<u8> {
    format!("{{\"message\":{message}}}").into_bytes()
}

/// Editors and spreadsheets on Windows put a byte order mark in front; files that were joined have several.
#[tokio::test]
async fn a_byte_order_mark_in_front_is_skipped_wherever_messages_come_in() {
    let redis = RedisServer::start();
    let (service, receiver) = working(&redis.url()).await;
    let api = service.api();
    let texts: Vec<String> = (1..=6).map(|n| message(&format!("+{n}"), &format!("m{n}"))).collect();
    let file = format!("\u{feff}{}\r\n\u{feff}\r\n\u{feff}\u{feff}{}\n", texts[0], texts[1]);
    let published = publish(&api, file.as_bytes());
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    assert_eq!(api.publish("acme", &format!("\u{feff}{}", texts[2])).await.unwrap().status, 202);
    for (stream, text) in [("outbound:{0}:messages", &texts[3]), ("outbound:messages", &texts[4])] {
        let marked = format!("\u{feff}{text}");
        redis.call::<String>(&["XADD", stream, "*", "workspace", "acme", "message", &marked]);
    }
    let inside = texts[5].replace("lorem", "\u{feff}lo\\ud83drem\u{200b}");
    redis.call::<String>(&["XADD", "outbound:messages", "*", "workspace", "acme", "message", &inside]);
    receiver.until("all came", |arrivals| arrivals.len() == 6).await;
    let mut came: Vec<Vec<u8>> = receiver.arrivals().into_iter().map(|arrival| arrival.body.to_vec()).collect();
    let mut sent: Vec<Vec<u8>> = texts[..5].iter().chain([&inside]).map(|text| body(text)).collect();
    came.sort();
    sent.sort();
    assert_eq!(came, sent, "everything but the mark goes out byte for byte");
    let saved = format!("\u{feff}{}", json!({"url": receiver.url("acme")}));
    let path = "/v1/workspaces/acme/webhook";
    assert_eq!(api.call(reqwest::Method::PUT, path, Some(&saved)).await.unwrap().status, 200);
}

/// PowerShell writes UTF-16, spreadsheets a code page; downloads are packed.
#[tokio::test]
async fn what_is_no_utf_8_is_named_with_the_command_that_mends_it() {
    let (service, _receiver) = working("embedded").await;
    let api = service.api();
    let text = format!("{}\n", message("+1", "m"));
    let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect::<Vec<u8>>();
    let utf_32 =
        |text: &str, bytes: fn(u32) -> [u8; 4]| -> Vec<u8> { text.chars().map(u32::from).flat_map(bytes).collect() };
    let marked = format!("\u{feff}{text}");
    for (input, said) in [
        (utf_16(&marked, u16::to_le_bytes), "iconv -f UTF-16 -t UTF-8"),
        (utf_16(&marked, u16::to_be_bytes), "iconv -f UTF-16 -t UTF-8"),
        (utf_16(&text, u16::to_le_bytes), "iconv -f UTF-16LE -t UTF-8"),
        (utf_16(&text, u16::to_be_bytes), "iconv -f UTF-16BE -t UTF-8"),
        (utf_16(&format!("\r\n{text}"), u16::to_le_bytes), "iconv -f UTF-16LE -t UTF-8"),
        (utf_32(&marked, u32::to_le_bytes), "iconv -f UTF-32 -t UTF-8"),
        (utf_32(&text, u32::to_be_bytes), "iconv -f UTF-32BE -t UTF-8"),
        ([b"\x1f\x8b\x08\0".to_vec(), vec![0xfe; 64]].concat(), "gunzip -c"),
        ([b"PK\x03\x04".to_vec(), vec![0; 64]].concat(), "unzip -p"),
        (
            text.replace("Jane", "J\u{e9}ne").into_bytes().into_iter().filter(|byte| *byte != 0xc3).collect(),
            "WINDOWS-1252",
        ),
    ] {
        let published = publish(&api, &input);
        let error = String::from_utf8(published.stderr).unwrap();
        assert_eq!(published.status.code(), Some(1), "{said}: {error}");
        assert!(error.contains(said) && !error.contains("expected value"), "{said}: {error}");
        let reply = post(&api, "messages", input.clone()).await;
        assert!(reply.0 == 422 && reply.1.contains(said), "{said}: {reply:?}");
    }
    let save = utf_16("\u{feff}{\"url\":null}", u16::to_le_bytes);
    let reply = post(&api, "webhook/test", save).await;
    assert!(reply.0 == 400 && reply.1.contains("iconv -f UTF-16 -t UTF-8"), "{reply:?}");
}

async fn post(api: &Api, resource: &str, body: Vec<u8>) -> (u16, String) {
    post_as(api, "application/json", resource, body).await
}

async fn post_as(api: &Api, media: &str, resource: &str, body: Vec<u8>) -> (u16, String) {
    let url = format!("http://{}/v1/workspaces/acme/{resource}", api.address());
    let request = reqwest::Client::new().post(url).bearer_auth(TOKEN).header("content-type", media);
    let response = request.body(body).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// Java and some databases write an emoji as two halves, each by itself; texts are cut by bytes; some files hold no text.
#[tokio::test]
async fn what_is_broken_utf_8_is_not_taken_for_a_code_page() {
    let (service, _receiver) = working("embedded").await;
    let api = service.api();
    let with = |bytes: &[u8]| {
        let text = message("+1", "m").into_bytes();
        let at = text.windows(5).position(|word| word == b"lorem").unwrap();
        [&text[..at], bytes, &text[at..]].concat()
    };
    for (input, said) in [
        (with(b"\xed\xa0\xbd\xed\xb8\x80"), "half of a character stands there by itself"),
        (with(b"\xed\xa0\xbd"), "half of a character stands there by itself"),
        (with(b"a\xc0\x80"), "half of a character stands there by itself"),
        (with("приве\u{442}".as_bytes().split_last().unwrap().1), "cut inside a character"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF".to_vec(), "it is no text"),
        (b"\x84\xa9direction\xa4sent".to_vec(), "it is no text"),
        (b"\x78\x9c\xabV\xca".to_vec(), "pigz -dc"),
    ] {
        let reply = post(&api, "messages", input.clone()).await;
        assert!(reply.0 == 422 && reply.1.contains(said) && !reply.1.contains("1252"), "{said}: {reply:?}");
        let published = publish(&api, &input);
        let error = String::from_utf8(published.stderr).unwrap();
        assert!(published.status.code() == Some(1) && error.contains(said), "{said}: {error}");
    }
}

/// Old editors end a file with 0x1A, log shippers begin each text with 0x1E (RFC 7464).
#[tokio::test]
async fn what_other_programs_put_around_messages_is_passed_over() {
    let redis = RedisServer::start();
    let (service, receiver) = working(&redis.url()).await;
    let api = service.api();
    let texts: Vec<String> = (0..8).map(|n| message(&format!("+{n}"), &format!("m{n}"))).collect();
    for file in [
        format!("{}\r\n{}\r\n\u{1a}", texts[0], texts[1]),
        format!("\u{1e}{}\n\u{1e}{}\n\u{1a}\u{1a}", texts[2], texts[3]),
    ] {
        let published = publish(&api, file.as_bytes());
        assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    }
    let sequence = format!("\u{1e}{}\n\u{1e}{}\n", texts[4], texts[5]).into_bytes();
    let reply = post_as(&api, "application/json-seq", "messages", sequence).await;
    assert_eq!(reply.0, 202, "{reply:?}");
    let reply = post(&api, "messages", format!("{}\n\u{1a}", texts[6]).into_bytes()).await;
    assert_eq!(reply.0, 202, "{reply:?}");
    let around = format!("\u{1e}{}\u{1a}", texts[7]);
    redis.call::<String>(&["XADD", "outbound:messages", "*", "workspace", "acme", "message", &around]);
    receiver.until("all came", |arrivals| arrivals.len() == 8).await;
    let mut came: Vec<Vec<u8>> = receiver.arrivals().into_iter().map(|arrival| arrival.body.to_vec()).collect();
    came.sort();
    let mut sent: Vec<Vec<u8>> = texts.iter().map(|text| body(text)).collect();
    sent.sort();
    assert_eq!(came, sent);
}

/// Exports are lists, old systems end lines with CR alone, and what is pasted brings characters along that nobody sees.
#[tokio::test]
async fn a_file_that_is_written_otherwise_is_told_how_to_write_it() {
    let (service, _receiver) = working("embedded").await;
    let api = service.api();
    let text = message("+1", "m");
    for (input, said) in [
        (format!("[{text},{text}]"), "`jq -c '.[]'`"),
        (format!("[\n{text},\n{text}\n]\n"), "`jq -c '.[]'`"),
        (format!("{text},\n"), "`jq -c '.[]'`"),
        (format!("{text} {text}"), "followed by another one"),
        (format!("{text}\r{text}\r"), r"tr '\r' '\n'"),
        (format!("{text}\r").repeat(2_000), r"tr '\r' '\n'"),
        (format!("\u{200b}{text}\n"), "U+200B stands there as its byte 1,"),
        (format!("{text}\u{a0}\n"), &format!("U+00A0 stands there as its byte {},", text.len() + 1)),
        ("\u{a0}\n".to_owned(), "U+00A0 stands there as its byte 1,"),
        (serde_json::to_string(&text).unwrap(), "encode it once"),
        (format!("{text}\n").replace("lorem", &"x".repeat(400_000)), &format!("has {} bytes", text.len() + 399_995)),
    ] {
        let published = publish(&api, input.as_bytes());
        let error = String::from_utf8(published.stderr).unwrap();
        assert_eq!(published.status.code(), Some(1), "{said}: {error}");
        assert!(error.contains(said) && !error.contains("expected value"), "{said}: {error}");
        for media in ["application/json", "application/x-ndjson"] {
            let reply = post_as(&api, media, "messages", input.clone().into_bytes()).await;
            assert!(matches!(reply.0, 413 | 422) && !reply.1.contains("expected value"), "{said}: {reply:?}");
            let said = serde_json::to_string(said).unwrap();
            assert!(reply.0 == 413 || reply.1.contains(said.trim_matches('"')), "{media}, {said}: {reply:?}");
        }
    }
    for nothing in ["", " \r\n"] {
        let reply = post(&api, "messages", nothing.into()).await;
        assert!(reply.1.contains("the message is empty"), "{nothing:?}: {reply:?}");
    }
}

/// A pipeline that appends what it has as fields of one entry.
#[tokio::test]
async fn of_two_messages_in_one_entry_none_is_lost() {
    let redis = RedisServer::start();
    let (service, receiver) = working(&redis.url()).await;
    let texts: Vec<String> = (0..3).map(|n| message("+1", &format!("m{n}"))).collect();
    let [one, two, last] = [0, 1, 2].map(|n| texts[n].as_str());
    let streams = ["outbound:messages", "outbound:{0}:messages"];
    for stream in streams {
        redis.call::<String>(&["XADD", stream, "*", "workspace", "acme", "message", one, "message", two]);
        redis.call::<String>(&["XADD", stream, "*", "message", one, "workspace", "acme", "workspace", "b"]);
        redis.call::<String>(&["XADD", stream, "*", "workspace", "acme", "x", "1", "x", "2", "message", last]);
    }
    receiver.until("the others came", |arrivals| arrivals.len() == 2).await;
    assert_eq!(receiver.ids("acme"), ["m2", "m2"]);
    let wrong = |name| format!("the field `{name}` stands twice in the entry");
    let counted = json!({wrong("message"): 2, wrong("workspace"): 2});
    let api = service.api();
    until("all are counted", async || api.get("/readyz").await.ok()["rejected_reasons"] == counted).await;
    let entries: Vec<(String, Vec<String>)> = redis.call(&["XRANGE", "outbound:{0}:rejected", "-", "+"]);
    assert_eq!(entries.len(), 4);
    for (id, fields) in &entries {
        assert_eq!(fields.iter().filter(|field| [one, two].contains(&field.as_str())).count(), {
            if fields.iter().any(|field| field.contains("`message`")) { 2 } else { 1 }
        });
        let path = format!("/v1/rejected/0/{id}/requeue");
        let reply = api.call(reqwest::Method::POST, &path, None).await.unwrap();
        assert_eq!(reply.problem().0, 422, "{}", reply.body);
    }
}

/// JavaScript cuts texts between the halves of an emoji; JSON can carry a half, text cannot.
#[tokio::test]
async fn half_of_a_character_is_told_where_a_text_is_needed() {
    let (service, receiver) = working("embedded").await;
    let api = service.api();
    for member in ["message_id", "timestamp", "direction"] {
        let mut value: serde_json::Value = serde_json::from_str(&message("+1", "m")).unwrap();
        value[member] = json!("HALF");
        let cut = value.to_string().replace("HALF", "a\\ud83d");
        let reply = api.publish("acme", &cut).await.unwrap();
        let detail = reply.body["detail"].as_str().unwrap();
        assert!(reply.status == 422 && detail.contains(&format!("`{member}` holds half of a character")), "{detail}");
    }
    let elsewhere = message("+1", "m1").replace("lorem", "\\ud83d").replace("Jane", "\\udc00");
    assert_eq!(api.publish("acme", &elsewhere).await.unwrap().status, 202);
    receiver.until("it came", |arrivals| arrivals.len() == 1).await;
    for (save, said) in [
        (r#"{"url":"https://crm.example/a\ud83d"}"#, r#""detail":"holds half of a character"#),
        (r#"{"url":null,"owner_email":"a\udc00@crm.example"}"#, r#""detail":"holds half of a character"#),
        (r#"{"url":null,"headers":{"X-Key":"\ud83d\ud83d"}}"#, r#""detail":"holds half of a character"#),
        (r#"{"url":null,"headers":{"X-\ud83d":"k"}}"#, r#""detail":"holds half of a character"#),
        (r#"{"url":null,"\ud83d":1}"#, "nothing was saved: its byte 14 begins half of a character"),
    ] {
        for (method, path) in [(reqwest::Method::PUT, "webhook"), (reqwest::Method::POST, "webhook/test")] {
            let reply = api.call(method, &format!("/v1/workspaces/acme/{path}"), Some(save)).await.unwrap();
            assert!(reply.status == 422 && reply.body.to_string().contains(said), "{save}: {}", reply.body);
        }
    }
    let reply = post(&api, "tokens", br#"{"subject":"a\ud83d"}"#.to_vec()).await;
    assert!(reply.0 == 422 && reply.1.contains("half of a character"), "{reply:?}");
}

/// The same cut in a member's name, where a text of a chat is the name: in the message, in its contact, beside it in
/// the object of someone else's stream. Nobody asks for such a member, so it is passed on as others are.
#[tokio::test]
async fn half_of_a_character_in_a_name_is_passed_on_and_hides_nothing_beside_it() {
    let redis = RedisServer::start();
    redis.call::<String>(&["XADD", "orders", "*", "workspace", "acme", "message", r#"{"data":{}}"#]);
    let foreign = ["--shards", "1", "--source", "orders", "--source-message", "/data"];
    let service = Service::start(&redis.url(), &foreign).await;
    let (receiver, api) = (Receiver::start(), service.api());
    api.save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    let in_all = |n: usize| {
        let named = message("+1", &format!("m{n}")).replace("\"is_group\"", "\"\\ud83d\":\"\\udc00\",\"is_group\"");
        format!("{{\"\\ude00\":[{{\"\\ud83d\":{n}}}],{}", &named[1..])
    };
    // One chat, so that they come in order, whoever brings them.
    receiver.hold();
    assert_eq!(api.publish("acme", &in_all(0)).await.unwrap().status, 202);
    let published = publish(&api, format!("{}\n{}\n", in_all(1), in_all(2)).as_bytes());
    assert!(published.status.success(), "{}", String::from_utf8_lossy(&published.stderr));
    redis.call::<String>(&["XADD", "outbound:{0}:messages", "*", "workspace", "acme", "message", &in_all(3)]);
    receiver.until("the first one came", |arrivals| arrivals.len() == 1).await;
    receiver.release();
    receiver.until("four came", |arrivals| arrivals.len() == 4).await;
    let wrapped = format!("{{\"\\udc00\":0,\"data\":{}}}", in_all(4));
    redis.call::<String>(&["XADD", "orders", "*", "workspace", "acme", "message", &wrapped]);
    receiver.until("five came", |arrivals| arrivals.len() == 5).await;
    let came: Vec<Vec<u8>> = receiver.arrivals().into_iter().map(|arrival| arrival.body.to_vec()).collect();
    assert_eq!(came, (0..5).map(|n| body(&in_all(n))).collect::<Vec<_>>(), "in order and byte for byte");
    // It is logged, found and sent again as others are.
    let listed = async || api.read("acme", "attempts").await.ok()["attempts"].as_array().unwrap().clone();
    until("all are logged", async || listed().await.len() == 5).await;
    let attempts = listed().await;
    assert!(attempts.iter().all(|attempt| attempt["outcome"] == "delivered"), "{attempts:?}");
    let ids: Vec<_> = attempts.iter().map(|attempt| attempt["message_id"].clone()).collect();
    assert_eq!(ids, ["m4", "m3", "m2", "m1", "m0"]);
    let again = api.again("acme", attempts[0]["id"].as_str().unwrap()).await.ok();
    assert_eq!((&again["attempt"]["message_id"], &again["attempt"]["outcome"]), (&json!("m4"), &json!("delivered")));
    assert_eq!(receiver.arrivals().pop().unwrap().body.to_vec(), body(&in_all(4)));
}

/// Producers that were written against another version send numbers as timestamps, all day long.
#[tokio::test]
async fn a_producer_that_is_wrong_all_the_time_is_seen_before_anything_is_lost() {
    let redis = RedisServer::start();
    let (service, _receiver) = working(&redis.url()).await;
    let api = service.api();
    let numeric = message("+1", "m").replace("\"2021-02-24T06:25:29+0000\"", "1614147929");
    let fill = "for n = 1, tonumber(ARGV[1]) do \
        redis.call('XADD', KEYS[1], '*', 'workspace', 'acme', 'message', ARGV[2]) end return 1";
    for (more, share) in [("5000", "half"), ("4000", "nine tenths")] {
        redis.call::<u64>(&["EVAL", fill, "1", "outbound:{0}:messages", more, &numeric]);
        let notice = format!("shard 0 has set aside {share} of the 10000 entries");
        until(&format!("readyz says {share}"), async || {
            let ready = api.get("/readyz").await;
            ready.status == 200 && ready.body["reasons"].to_string().contains(&notice)
        })
        .await;
        // They are told one after the other.
        let logged = format!("A shard has set aside {share} of");
        until(&format!("the log says {share}"), async || service.log().contains(&logged)).await;
    }
    let counted = json!({"`timestamp` must be a non-empty string": 9_000});
    until("all are counted", async || api.get("/readyz").await.ok()["rejected_reasons"] == counted).await;
    let server = format!("http://{}", api.address());
    let listed = outbound(&["rejected", "list", "--server", &server]).env("OUTBOUND_ADMIN_TOKEN", TOKEN).output();
    let listed = String::from_utf8(listed.unwrap().stdout).unwrap();
    assert!(listed.ends_with("9000 rejected entries\n   9000  `timestamp` must be a non-empty string\n"), "{listed}");
}

/// WhatsApp hides phones behind ids (`…@lid`), and bridges know contacts by chat ids only.
#[tokio::test]
async fn contacts_without_a_phone_are_attempted_side_by_side_and_each_in_order() {
    let (service, receiver) = working("embedded").await;
    let api = service.api();
    let of = |contact: serde_json::Value, id: String| {
        json!({"contact": contact, "direction": "received", "timestamp": "t", "message_id": id}).to_string()
    };
    // Successes widen the window.
    for n in 0..20 {
        api.publish("acme", &of(json!({"phone": format!("+{n}")}), format!("first-{n}"))).await.unwrap();
    }
    let attempted = async || api.read("acme", "attempts").await.ok()["attempts"].as_array().map(Vec::len);
    until("the first are delivered", async || attempted().await == Some(20)).await;
    receiver.hold();
    let mut held = Vec::new();
    for member in ["id", "chat_id", "jid", "lid"] {
        for n in 0..4 {
            for turn in 1..=2 {
                let id = format!("{member}-{n}-{turn}");
                api.publish("acme", &of(json!({ member: format!("{n}@{member}") }), id.clone())).await.unwrap();
                held.extend((turn == 1).then_some(id));
            }
        }
    }
    // These name nothing, so they wait for nobody.
    let nobody = [json!({}), json!({"phone": ""}), json!({"phone": " ", "full name": "\t"}), json!({"id": " "})];
    for (n, contact) in nobody.into_iter().enumerate() {
        api.publish("acme", &of(contact, format!("nobody-{n}"))).await.unwrap();
        held.push(format!("nobody-{n}"));
    }
    receiver.until("one of each contact is under way", |arrivals| arrivals.len() == 20 + held.len()).await;
    let mut came = receiver.ids("acme").split_off(20);
    came.sort();
    held.sort();
    assert_eq!(came, held, "one at a time of each contact");
    receiver.release();
    receiver.until("the second ones came", |arrivals| arrivals.len() == 20 + held.len() + 16).await;
}
