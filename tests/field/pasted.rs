//! What people paste into a webhook: URLs, header values and mail addresses out of chats, mails and documents.

use serde_json::{Value, json};
use support::service::{Api, Service};

/// Saves; answers with what is stored, or with the sentences of what is wrong.
async fn save(api: &Api, webhook: Value) -> Result<Value, String> {
    let reply = api.save("acme", &webhook).await;
    match reply.status.as_u16() {
        200 => Ok(reply.body),
        422 => Err(reply.body["errors"].to_string()),
        other => panic!("{other} {}", reply.body),
    }
}

/// Chats and mail programs put invisible characters around what they show, to steer line breaks and directions.
#[tokio::test]
async fn what_nobody_sees_is_trimmed_at_the_ends_and_named_elsewhere() {
    let service = Service::start("embedded", &[]).await;
    let api = service.api();
    let invisible = [
        '\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}', '\u{ad}', '\u{200e}', '\u{200f}', '\u{202a}',
        '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}', '\u{a0}',
        '\u{3000}', '\u{2028}', '\u{61c}', '\u{180e}', '\u{3164}', '\u{fffc}', '\t', '\n', '\r', ' ',
    ];
    for c in invisible {
        let code = format!("U+{:04X}", u32::from(c));
        let around = |text: &str| format!("{c}{text}{c}{c}");
        let webhook = json!({
            "url": around("https://crm.example/hook"),
            "owner_email": around("owner@crm.example"),
            "headers": {"X-Api-Key": around("key")},
        });
        let saved = save(&api, webhook).await.unwrap_or_else(|errors| panic!("{code}: {errors}"));
        assert_eq!(
            (&saved["url"], &saved["owner_email"]),
            (&json!("https://crm.example/hook"), &json!("owner@crm.example"))
        );
        for (url, place) in [
            (format!("ht{c}tps://crm.example/hook"), "as character 3, in its scheme"),
            (format!("https://crm.{c}example/hook"), "as character 13, in its host"),
            (format!("https://crm.example/ho{c}ok"), "as character 23, in its path"),
            (format!("https://crm.example/?a={c}b"), "as character 24, in its query"),
        ] {
            let errors = save(&api, json!({"url": url})).await.expect_err(&code);
            assert!(errors.contains(&code) && errors.contains(place), "{code}: {errors}");
        }
        let errors =
            save(&api, json!({"url": "https://crm.example/", "owner_email": format!("ow{c}ner@crm.example")})).await;
        assert!(errors.as_ref().is_err_and(|errors| errors.contains(&format!("{code} "))), "{code}: {errors:?}");
        let headers = json!({"url": "https://crm.example/", "headers": {"X-Api-Key": format!("k{c}ey")}});
        let saved = save(&api, headers).await;
        if !matches!(c, ' ' | '\t') {
            assert!(saved.as_ref().is_err_and(|errors| errors.contains(&format!("{code} "))), "{code}: {saved:?}");
        }
    }
    let encoded = "https://crm.example/%E2%80%8B%C2%A0?a=%09%0A";
    assert_eq!(save(&api, json!({"url": encoded})).await.unwrap()["url"], encoded, "what is encoded is meant");
}

/// Chats shorten long URLs for display; whoever copies what is shown copies the ellipsis.
#[tokio::test]
async fn a_url_that_was_cut_off_or_leads_to_no_host_is_refused() {
    let service = Service::start("embedded", &[]).await;
    let api = service.api();
    for (url, said) in [
        ("https://crm.example/ho…", "cut off"),
        ("https://crm.example/ho...", "cut off"),
        ("https://crm.exa…/hook", "cut off"),
        ("https://crm.example/ho[...]", "cut off"),
        ("https://crm.example/ho\u{2025}", "cut off"),
        ("https://crm.example/ho\u{22ef}", "cut off"),
        ("https://crm.example/hook\"", "no URL has"),
        ("https://crm.example/<your-id>", "no URL has"),
        ("https://https://crm.example/hook", "scheme stands twice"),
        ("http://http//crm.example/hook", "scheme stands twice"),
        ("http//crm.example/hook", "no URL"),
        ("https:/crm.example/hook", "two slashes"),
        ("https:crm.example/hook", "two slashes"),
        ("https:///crm.example/hook", "two slashes"),
        ("https:\\\\crm.example\\hook", "backslash"),
        ("https://-crm.example/", "hyphen"),
        ("https://crm-.example/", "hyphen"),
        ("https://crm..example/", "two dots"),
        ("https://crm,example/", "no host name has"),
        ("https://crm.example:0/", "port 0"),
        ("https://crm.example:65536/", "65535"),
        ("https://2606:4700::1111/", "in brackets"),
        ("https://[fe80::1%25eth0]/", "without a zone"),
        ("https://256.1.1.1/", "looks like an address"),
        ("https://crm.123/", "looks like an address"),
        ("https://xn--a.example/", "no host name has"),
        ("https://crm%2eexample/", "no host name has"),
        ("https://me:pw@crm.example/", "user name"),
        ("https://@crm.example/", "user name"),
        ("\"https://crm.example/\"", "no URL"),
        ("www.crm.example/hook", "no URL"),
        (&format!("https://{}.example/", "a".repeat(64)), "63 characters"),
        (&format!("https://{}example/", "abcdefg.".repeat(32)), "253 characters"),
    ] {
        let errors = save(&api, json!({"url": url})).await.expect_err(url);
        assert!(errors.contains(said), "{url}: {errors}");
    }
    for url in [
        "https://crm.example./hook",
        "http://crm/hook",
        "https://my_crm.example/",
        "https://bücher.example/",
        "HTTPS://CRM.EXAMPLE:443/Hook",
        "https://crm.example/😀/100%?q=%zz&to=a@b",
    ] {
        assert_eq!(save(&api, json!({"url": url})).await.unwrap()["url"], url);
    }
}

/// Address books copy names and brackets along; Japanese carriers once gave out addresses with dots that only
/// their own servers took.
#[tokio::test]
async fn an_address_that_no_mail_server_takes_is_refused_at_the_save() {
    let service = Service::start("embedded", &[]).await;
    let api = service.api();
    for (address, said) in [
        ("a..b@docomo.example", "two in a row"),
        ("user.@docomo.example", "dot"),
        ("owner@-bad.example", "hyphen"),
        ("owner@example..com", "two in a row"),
        ("owner@example.com..", "ends with a dot"),
        (&format!("{}@example.com", "a".repeat(70)), "64 characters"),
        (&format!("a@{}com", "abcdefg.".repeat(32)), "254 bytes"),
        ("owner@[192.0.2.1]", "brackets"),
        ("owner@192.0.2.1", "number"),
        ("\u{f6}wner@example.com", "letters of ASCII"),
        ("owner", "an @"),
    ] {
        let errors = save(&api, json!({"url": null, "owner_email": address})).await.expect_err(address);
        assert!(errors.contains(said), "{address}: {errors}");
    }
    for address in ["owner@b\u{fc}cher.example", "o'hara+crm@mail", "a.b@xn--bcher-kva.example"] {
        assert_eq!(save(&api, json!({"url": null, "owner_email": address})).await.unwrap()["owner_email"], address);
    }
}
