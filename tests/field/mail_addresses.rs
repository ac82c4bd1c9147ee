//! Mail addresses as people copy them: what can only mean one address is taken, of all else the part is named.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use outbound::notify::{Mailer, MailerOptions};
use outbound::workspace::decide::MailResult;
use serde_json::json;
use support::service::Service;
use support::smtp::SmtpServer;

use crate::mail::{owed, plain};

/// Outlook copies a name with its address, browsers a link, and sentences and lists end with a sign.
#[tokio::test]
async fn an_owner_is_found_in_what_stands_around_the_address() {
    let service = Service::start("embedded", &[]).await;
    for typed in [
        "<ann@x.example>",
        "Ann Smith <ann@x.example>",
        "\"Smith, Ann\" <ann@x.example>",
        "Smith, Ann <ann@x.example>",
        "Ann Smith <ann@x.example>;",
        "mailto:ann@x.example",
        "MAILTO:ann@x.example",
        "<mailto:ann@x.example>",
        "ann@x.example.",
        "ann@x.example,",
        "ann@x.example; ",
        "\u{a0}ann@x.example\u{200b}",
        "ann@x.example\u{200b}.\u{a0}",
        "<\u{feff}ann@x.example\u{a0}>",
    ] {
        let reply = service.api().save("acme", &json!({"url": null, "owner_email": typed})).await;
        assert_eq!((reply.status.as_u16(), &reply.body["owner_email"]), (200, &json!("ann@x.example")), "{typed:?}");
    }
}

/// Where two may be meant, or a name, whoever typed it must say which.
#[tokio::test]
async fn an_owner_who_is_not_plain_is_refused_with_the_part() {
    let service = Service::start("embedded", &[]).await;
    for (typed, said) in [
        ("Ann Smith ann@x.example", "U+0020 (space) as character 4, which no address has: write one address alone"),
        ("ann smith@x.example", "U+0020 (space) as character 4"),
        ("ann@x.example bob@x.example", "U+0020 (space) as character 14"),
        ("ann@x.example;bob@x.example", "U+003B (;) as character 14, which stands between several"),
        ("ann@x.example, bob@x.example", "U+002C (,) as character 14, which stands between several"),
        ("Ann <ann@x.example>, Bob <bob@x.example>", "in brackets or beside a name: write the address alone"),
        ("bob@x.example <ann@x.example>", "in brackets or beside a name: write the address alone"),
        ("<ann@x.example> Ann", "in brackets or beside a name: write the address alone"),
        ("<ann@x.example", "in brackets or beside a name: write the address alone"),
        ("mailto:ann@x.example?subject=Hi", "as a link and holds U+003F (?) as character 21: write the address alone"),
        ("mailto:ann%2Bcrm@x.example", "as a link and holds U+0025 (%) as character 11: write the address alone"),
        ("ann\u{a0}@x.example", "U+00A0 (no-break space) as character 4"),
        ("ann@\u{200b}x.example", "U+200B (zero width space) as character 5, which no address has: delete it"),
        ("ann@x.example..", "ends with a dot"),
        // What Japanese and Chinese keyboards write.
        ("ann\u{ff20}x.example", "U+FF20 (\u{ff20}) as character 4 in place of its @"),
        ("ann@x.example\u{ff1b}bob@x.example", "U+FF1B (\u{ff1b}) as character 14, which stands between several"),
        (".", "is empty"),
    ] {
        let reply = service.api().save("acme", &json!({"url": null, "owner_email": typed})).await;
        let errors = reply.body["errors"].to_string();
        assert!(reply.status.as_u16() == 422 && errors.contains(said), "{typed:?}: {}", reply.body);
    }
}

/// As the mail programs of operators show senders.
#[tokio::test]
async fn a_sender_is_what_was_meant() {
    let server = SmtpServer::start([]).await;
    for (from, name, address) in [
        ("Smith, Ann <a@x.example>", "Smith, Ann", "a@x.example"),
        ("\"Smith, Ann\" <a@x.example>", "Smith, Ann", "a@x.example"),
        ("Ann\u{a0}Smith\u{200b} <a@x.example>", "Ann Smith", "a@x.example"),
        ("<a@x.example>", "", "a@x.example"),
        ("mailto:a@x.example", "", "a@x.example"),
        // Docker's --env-file keeps the quotes.
        ("\"Ann <a@x.example>\"", "Ann", "a@x.example"),
        ("a@x.example.", "", "a@x.example"),
        ("Ann <a@x.example>,", "Ann", "a@x.example"),
        ("\u{a0}a@x.example\u{200b}\n", "", "a@x.example"),
        ("a@x.example <a@x.example>", "", "a@x.example"),
        ("Ann <a@b\u{fc}cher.example>", "Ann", "a@xn--bcher-kva.example"),
    ] {
        let options = MailerOptions { from: from.to_owned(), ..plain(&server) };
        let mailer = Mailer::new(&options).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(mailer.send(&owed("owner@acme.example")).await, MailResult::Sent, "{from:?}");
        let mail = server.received().pop().unwrap();
        // A phrase is written as it is, in quotes, or encoded (RFC 2047).
        let encoded = format!("=?utf-8?b?{}?=", BASE64_STANDARD.encode(name));
        let forms = match name {
            "" => vec![address.to_owned()],
            name => [name, &format!("\"{name}\""), &encoded].map(|name| format!("{name} <{address}>")).to_vec(),
        };
        let said = mail.data.lines().find_map(|line| line.strip_prefix("From: ")).unwrap();
        assert!(forms.iter().any(|form| form == said), "{from:?}: {said}");
        assert!(name != "Smith, Ann" || !said.starts_with(name), "a comma as it is makes two addresses: {said}");
        assert_eq!(mail.from, address, "{from:?}");
    }
}

#[test]
fn a_sender_who_is_not_plain_is_refused_with_the_part() {
    for (from, said) in [
        ("Ann Smith ann@x.example", "has no brackets around its address: write Ann Smith <ann@x.example>"),
        ("ann@x.example bob@x.example", "U+0020 (space) as character 14"),
        ("ann@x.example;bob@x.example", "U+003B (;) as character 14, as if it named several: write one, such as"),
        ("ann@x.example, Bob <bob@x.example>", "U+0040 (@) as character 4, as if it named several: write one, such as"),
        ("Ann <ann@x.example>, Bob <bob@x.example>", "U+003C (<) as character 5, as if it named several"),
        ("Ann\u{200b}Smith <ann@x.example>", "U+200B (zero width space) as character 4 in its name"),
        ("ann\u{200b}@x.example", "U+200B (zero width space) as character 4, which no address has: delete it"),
        ("mailto:ann@x.example?subject=Hi", "as a link and holds U+003F (?)"),
        ("ann@x..example", "two in a row"),
    ] {
        let flags = ["--shards", "1", "--smtp-url", "smtp://localhost", "--mail-from", from];
        let ended = Service::new("embedded", &flags).refused();
        assert!(ended.code == Some(2) && ended.stderr.contains(said), "{from:?}: {:?} {}", ended.code, ended.stderr);
        assert!(ended.stderr.contains("--mail-from"), "{from:?}: {}", ended.stderr);
    }
}
