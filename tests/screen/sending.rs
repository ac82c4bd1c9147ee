//! What an owner asks to be sent, what the list shows of it, and how to find one attempt among a hundred.

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use standardwebhooks::Webhook;

use crate::browser::Kind;
use crate::stage::{Stage, WORKSPACE};

/// The up-arrow key, as WebDriver writes it.
const UP: &str = "\u{e013}";

#[tokio::test]
async fn on_the_first_visit_a_sample_shows_whether_the_url_works() {
    for without_scripts in [false, true] {
        let stage = Stage::with(Kind { without_scripts }, &[]).await;
        let browser = &stage.browser;
        browser.until_says("#test-hint", "made up and marked").await;
        browser.fill("#url", &stage.hook()).await;
        browser.follow("Save and test").await;
        browser.until_says("#notice", "no message to test with yet: send a sample").await;
        browser.follow("Send a sample").await;
        browser.until_says("#notice", "The sample was delivered: HTTP 200").await;
        assert!(stage.receiver.ids(WORKSPACE)[0].starts_with("sample-"));
        assert_eq!(browser.count("#attempt-list li").await, 1);
        if !without_scripts {
            browser.until_says("#live", "live").await;
            browser.shoot("sample").await;
        }
        // With a message there is something better to test with.
        stage.deliver(&["m-1"]).await;
        browser.reload().await;
        stage.until_a_test_may_be_sent().await;
        browser.follow("Test").await;
        browser.until_says("#notice", "The test was delivered: HTTP 200").await;
        stage.strike().await;
    }
}

#[tokio::test]
async fn the_status_tells_the_truth_and_a_plain_test_changes_nothing() {
    let stage = Stage::with(Kind::default(), &["--error-limit", "1"]).await;
    let browser = &stage.browser;
    stage.configure(json!({})).await;
    stage.deliver(&["m-1"]).await;
    stage.receiver.treat(WORKSPACE, |manner| manner.status = 401);
    browser.reload().await;
    // What is typed and not saved is no part of a plain test, and is kept.
    browser.fill("#owner_email", "typed@acme.example").await;
    browser.follow("Test").await;
    let told = browser.until_says("#notice", "The test failed. Your URL answered 401.").await;
    assert!(told.contains("custom headers"), "{told}");
    browser.until_says("#status", "On; the last test failed.").await;
    assert_eq!(browser.title().await.split(" · ").next(), Some("The test failed"));
    assert_eq!(browser.property("#owner_email", "value").await.as_deref(), Some("typed@acme.example"));
    assert_eq!(stage.api().webhook(WORKSPACE).await["owner_email"], json!(null));
    browser.shoot("plain-test-failed").await;

    for id in ["m-2", "m-3"] {
        stage.publish(id).await;
    }
    browser.until_says("#status", "Switched off after 2 errors").await;
    browser.until_says("#test-hint", "switches the webhook on again").await;
    stage.until_a_test_may_be_sent().await;
    browser.follow("Test").await;
    browser.until_says("#notice", "The test failed.").await;
    browser.until_says("#status", "Switched off after 2 errors").await;
    assert_eq!(stage.api().webhook(WORKSPACE).await["status"], "disabled_by_errors");
    browser.shoot("plain-test-while-off").await;
    stage.strike().await;
}

#[tokio::test]
async fn an_attempt_is_sent_again_and_copied_as_curl() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    stage.configure(json!({"headers": {"x-key": "s3cret"}})).await;
    let secret = stage.secret().await;
    stage.receiver.treat(WORKSPACE, |manner| manner.status = 500);
    stage.deliver(&["it's m-1"]).await;
    stage.receiver.treat(WORKSPACE, |manner| manner.status = 200);
    browser.reload().await;
    let row = browser.until_says("#attempt-list li", "it's m-1").await;
    assert!(row.contains("Failed"), "a failed attempt shows its message: {row}");
    browser.click("#attempt-list summary").await;
    browser.follow("Send again").await;
    browser.until_says("#notice", "What was sent again was delivered: HTTP 200").await;
    browser.until_says("#attempt-list .tag", "sent again").await;
    let arrivals = stage.receiver.arrivals();
    assert_eq!(arrivals.len(), 2);
    assert_eq!((&arrivals[0].body, &arrivals[0].webhook_id), (&arrivals[1].body, &arrivals[1].webhook_id));
    browser.shoot("sent-again").await;

    // The words that a shell makes of the line are the request, signed now; it holds no value of a header.
    browser.open(&browser.property("a[data-curl]", "href").await.unwrap()).await;
    let line = browser.text("body").await.unwrap();
    let shell = format!("curl() {{ printf '%s\\0' \"$@\"; }}; {line}");
    let words = Command::new("/bin/bash").args(["-c", &shell]).output().unwrap();
    let words = String::from_utf8(words.stdout).unwrap();
    let words: Vec<&str> = words.trim_end_matches('\0').split('\0').collect();
    assert_eq!(words[..4], ["-X", "POST", &stage.hook(), "--globoff"]);
    let header = |name: &str| words.iter().find_map(|word| word.strip_prefix(&format!("{name}: "))).unwrap();
    assert_eq!((header("x-key"), header("webhook-id")), ("***", arrivals[0].webhook_id.as_str()));
    let body = words[words.iter().position(|word| *word == "--data-binary").unwrap() + 1];
    assert_eq!(body.as_bytes(), &arrivals[0].body[..]);
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .map(|name| (reqwest::header::HeaderName::from_static(name), header(name).parse().unwrap()));
    Webhook::new(&secret).unwrap().verify(body.as_bytes(), &headers.into_iter().collect()).unwrap();
    stage.strike().await;
}

#[tokio::test]
async fn one_attempt_is_found_among_all_and_the_failed_ones_are_a_file() {
    for without_scripts in [false, true] {
        let stage = Stage::with(Kind { without_scripts }, &[]).await;
        let browser = &stage.browser;
        stage.configure(json!({})).await;
        stage.deliver(&["m-1", "m-2"]).await;
        stage.receiver.treat(WORKSPACE, |manner| manner.status = 500);
        stage.deliver(&["m-3"]).await;
        if !without_scripts {
            browser.until_says("#downloads", "Download failed ones").await;
        }
        browser.reload().await;
        browser.until_count("#attempt-list li", 3).await;
        browser.fill("#owner_email", "typed@acme.example").await;
        // Each finds another number than the one before, so that it is seen when its answer is there.
        for (text, found) in [("m-2", 1), ("+44 7700 900101", 3), ("m-1", 1), ("BLUE one", 3), ("nothing like it", 0)] {
            browser.fill("#q", text).await;
            browser.press("Search").await;
            browser.until_count("#attempt-list li", found).await;
        }
        browser.until_says("#none", "None of the last attempts").await;
        browser.fill("#q", "").await;
        browser.click("#filter option[value=failed]").await;
        browser.press("Search").await;
        browser.until_count("#attempt-list li", 1).await;
        browser.until_says("#attempt-list", "m-3").await;
        if !without_scripts {
            assert_eq!(browser.property("#owner_email", "value").await.as_deref(), Some("typed@acme.example"));
            // The list goes on as it was chosen.
            browser.until_says("#live", "live").await;
            stage.deliver(&["m-4"]).await;
            browser.until_count("#attempt-list li", 2).await;
            browser.shoot("failed-only").await;
        }
        browser.press("Download failed ones").await;
        let (name, bytes) = browser.downloaded().await;
        assert!(name.starts_with("outbound-log-acme-failed-"), "{name}");
        let log: Vec<serde_json::Value> = serde_json::from_slice(&bytes).unwrap();
        assert!(!log.is_empty() && log.iter().all(|one| one["outcome"] == "failed"), "{log:?}");
        stage.strike().await;
    }
}

/// Holds back the answer to the first search for m-2 until `release` is called; `taken` says that the page has had it.
const HOLD: &str = "const real = fetch;
    window.fetch = async (...asked) => {
      const answer = await real(...asked);
      if (window.held || !String(asked[0]).includes('q=m-2')) return answer;
      const body = await answer.text();
      window.held = true;
      await new Promise((release) => { window.release = release; });
      return { ok: true, status: 200, text: async () => { setTimeout(() => { window.taken = true; }); return body; } };
    }";

#[tokio::test]
async fn the_list_is_that_of_the_last_search_in_whatever_order_the_answers_come() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    stage.configure(json!({})).await;
    stage.deliver(&["m-1", "m-2", "m-3"]).await;
    browser.reload().await;
    browser.until_count("#attempt-list li", 3).await;
    browser.run(HOLD).await;
    browser.fill("#q", "m-2").await;
    browser.press("Search").await;
    browser.until_true("return window.held === true").await;
    browser.fill("#q", "nothing like it").await;
    browser.press("Search").await;
    browser.until_count("#attempt-list li", 0).await;
    browser.run("release()").await;
    browser.until_true("return window.taken === true").await;
    assert_eq!(browser.count("#attempt-list li").await, 0, "the answer to the first search came last");
    stage.strike().await;
}

#[tokio::test]
async fn an_open_attempt_stays_while_new_ones_are_counted() {
    let stage = Stage::set().await;
    let browser = &stage.browser;
    stage.configure(json!({})).await;
    stage.deliver(&["m-1", "m-2"]).await;
    browser.reload().await;
    browser.until_says("#live", "live").await;
    browser.click("#attempt-list li:nth-child(2) summary").await;
    let place = "return Math.round(document.querySelector('#attempt-list details[open]').getBoundingClientRect().top)";
    browser.run("document.querySelector('#attempt-list details[open]').scrollIntoView()").await;
    browser.until_says("#attempt-list details[open]", "m-1").await;
    stage.deliver(&["m-3", "m-4", "m-5"]).await;
    browser.until_says("#news", "3 new, show").await;
    let before = browser.run(place).await;
    stage.deliver(&["m-6"]).await;
    browser.until_says("#news", "4 new, show").await;
    assert_eq!(browser.run(place).await, before, "nothing moved below the reader's eyes");
    assert_eq!(browser.count("#attempt-list li").await, 2);
    browser.shoot("new-ones-wait").await;
    browser.press("4 new, show").await;
    browser.until_count("#attempt-list li", 6).await;
    browser.until_says("#attempt-list li", "m-6").await;

    // One stop of the tab key, and the arrows from there.
    assert_eq!(browser.count("#attempt-list summary[tabindex='0']").await, 1);
    browser.run("document.querySelector(\"#attempt-list summary[tabindex='0']\").focus()").await;
    let focused = "return document.activeElement.closest('li').id";
    let first = browser.run(focused).await;
    browser.keys(UP).await;
    assert_ne!(browser.run(focused).await, first);
    assert_eq!(browser.count("#attempt-list summary[tabindex='0']").await, 1);

    // A tab that nobody sees holds no connection.
    let hide = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{configurable: true, get: () => {hidden}}}); document.dispatchEvent(new Event('visibilitychange')); return events.readyState"
        )
    };
    assert_eq!(browser.run(&hide(true)).await, json!(2), "closed");
    stage.deliver(&["m-7"]).await;
    assert_ne!(browser.run(&hide(false)).await, json!(2), "open again");
    browser.click("#attempt-list details[open] summary").await;
    browser.until_says("#attempt-list li", "m-7").await;
    stage.strike().await;
}

#[tokio::test]
async fn the_screen_says_what_waits_and_why() {
    let stage = Stage::with(Kind::default(), &["--timeout", "300s"]).await;
    let browser = &stage.browser;
    stage.configure(json!({})).await;
    browser.reload().await;
    browser.until_says("#live", "live").await;
    stage.receiver.treat(WORKSPACE, |manner| manner.delay = Duration::from_millis(700));
    stage.deliver(&["m-1", "m-2"]).await;
    stage.receiver.hold();
    for n in 3..=8 {
        stage.publish(&format!("m-{n}")).await;
    }
    // Of one chat: one is under way, the others wait.
    let waits = browser.until_says("#waiting", "5 messages wait, the oldest for").await;
    assert!(waits.contains("one chat is sent one at a time, and your URL takes "), "{waits}");
    let webhook = stage.api().webhook(WORKSPACE).await;
    assert_eq!((&webhook["waiting"]["count"], &webhook["waiting"]["at_least"]), (&json!(5), &json!(false)));
    // Its age grows though nothing happens.
    browser.until_says_other("#waiting", &waits).await;
    browser.shoot("waiting").await;
    stage.receiver.treat(WORKSPACE, |manner| manner.delay = Duration::ZERO);
    stage.receiver.release();
    stage.api().until(WORKSPACE, "nothing waits", |webhook| webhook["waiting"].is_null()).await;
    browser.until_count("#waiting", 0).await;
    stage.strike().await;
}
