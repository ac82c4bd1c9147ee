//! Nobody undoes a colleague's change without being told of it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::bench::{Bench, Kind};
use support::service::message;

#[tokio::test]
async fn of_two_saves_of_one_webhook_the_later_is_refused_on_the_embedded_journal() {
    the_later_is_refused(Kind::Embedded).await;
}

#[tokio::test]
async fn of_two_saves_of_one_webhook_the_later_is_refused_on_redis() {
    the_later_is_refused(Kind::Redis).await;
}

async fn the_later_is_refused(kind: Kind) {
    let bench = Bench::start(kind, &[]).await;
    let (api, url) = (bench.api(), bench.receiver.url("acme"));
    assert_eq!(api.etag("acme").await, "\"0\"", "never seen");
    let first = api.save_if("acme", "\"0\"", &json!({"url": url})).await.ok();
    let seen = api.etag("acme").await;
    assert_eq!((seen.as_str(), &first["status"]), ("\"1\"", &json!("enabled")));
    assert_eq!(api.save_if("acme", "\"0\"", &json!({"url": url})).await.problem(), (412, "changed-meanwhile"));

    // Two colleagues save what they saw, at once: one of them is told who was first, and of what.
    let (jane, john) = (api.with_token_of("acme", "jane").await, api.with_token_of("acme", "john").await);
    let other = format!("{url}?token=s3cret");
    let (janes, johns) = (json!({"url": other}), json!({"url": url, "owner_email": "john@acme.example"}));
    let saves = tokio::join!(jane.save_if("acme", &seen, &janes), john.save_if("acme", &seen, &johns));
    let (lost, winner) = if saves.0.status == 200 { (saves.1, "jane") } else { (saves.0, "john") };
    assert_eq!(lost.problem(), (412, "changed-meanwhile"));
    let [change] = &lost.body["changes"].as_array().unwrap()[..] else { panic!("{}", lost.body) };
    assert_eq!((&change["by"], &change["action"]), (&json!(winner), &json!("saved")));
    let detail = lost.body["detail"].as_str().unwrap();
    let what = if winner == "jane" {
        format!("the URL, now {url} with another query")
    } else {
        "the owner email, now john@".to_owned()
    };
    assert!(detail.contains(&format!("changed meanwhile by {winner}: {what}")), "{detail}");
    assert!(detail.contains(change["at"].as_str().unwrap()) && !detail.contains("s3cret"), "{detail}");
    assert_eq!(api.read("acme", "history").await.ok()["history"].as_array().unwrap().len(), 2);

    // A test with a body is a save; one without saves nothing and is made on the same condition.
    assert_eq!(api.publish("acme", &message("+1", "m-1")).await.unwrap().status, 202);
    api.until("acme", "it is delivered", |webhook| webhook["last_attempt"]["message_id"] == "m-1").await;
    let before = bench.receiver.count();
    for body in [Some(json!({"url": url, "enabled": false}).to_string()), None] {
        let path = "/v1/workspaces/acme/webhook/test";
        let test = api.call_with(Method::POST, path, &[("if-match", &seen)], body.as_deref()).await.unwrap();
        assert_eq!(test.problem(), (412, "changed-meanwhile"), "{body:?}");
    }
    assert_eq!((bench.receiver.count(), &api.webhook("acme").await["enabled"]), (before, &json!(true)));

    every_form_of_the_condition(&bench, &url).await;
    only_changes_by_people_move_the_tag(&bench, &url).await;
}

async fn every_form_of_the_condition(bench: &Bench, url: &str) {
    let api = bench.api();
    for form in ["*", "<tag>", "\"77\", <tag>", "W/\"1\" ,<tag>,"] {
        let before = api.etag("acme").await;
        let other = json!({"url": url, "headers": {"x-form": form}});
        let reply = api.save_if("acme", &form.replace("<tag>", &before), &other).await;
        assert_eq!(reply.status, 200, "{form}: {}", reply.body);
        assert_ne!(api.etag("acme").await, before, "{form}");
    }
    let same = json!({"url": url, "enabled": true, "owner_email": null, "headers": null});
    let tag = api.etag("acme").await;
    for other in [format!("W/{tag}"), "\"77\"".to_owned(), "\"abc\"".to_owned(), "\"\"".to_owned()] {
        assert_eq!(api.save_if("acme", &other, &same).await.problem(), (412, "changed-meanwhile"), "{other}");
    }
    for garbage in [tag.trim_matches('"'), "\"7", "", "*, \"7\"", "W/7"] {
        let reply = api.save_if("acme", garbage, &same).await;
        assert_eq!(reply.problem(), (400, "invalid-if-match"), "{garbage}");
    }
    // Who wants to be the first is told who was.
    let first = async |workspace: &str, none: &str| {
        let path = format!("/v1/workspaces/{workspace}/webhook");
        api.call_with(Method::PUT, &path, &[("if-none-match", none)], Some(&same.to_string())).await.unwrap()
    };
    assert_eq!(first("acme", "*").await.problem(), (412, "changed-meanwhile"));
    assert_eq!(first("acme", &tag).await.problem(), (400, "invalid-if-match"));
    assert_eq!(first("first", "*").await.status, 200);
    assert_eq!(first("first", "*").await.problem(), (412, "changed-meanwhile"));
    assert_eq!(api.save_if("never", "*", &same).await.status, 200, "it has a webhook, if none that is configured");
    assert_eq!(api.save_if("seen", "\"1\"", &same).await.problem(), (412, "changed-meanwhile"));
    assert_eq!(api.etag("seen").await, "\"0\"");
}

async fn only_changes_by_people_move_the_tag(bench: &Bench, url: &str) {
    let api = bench.api();
    let save = |more: Value| {
        let mut webhook = json!({"url": url});
        webhook.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        webhook
    };
    api.save("acme", &save(json!({"headers": {"x-key": "one"}}))).await.ok();
    let mut tag = api.etag("acme").await;
    // An attempt, errors, a save that only sets their count to 0, a test, the switch-off by errors.
    bench.receiver.treat("acme", |manner| manner.status = 500);
    api.publish("acme", &message("+1", "m-2")).await.unwrap().ok();
    api.until("acme", "it has failed", |webhook| webhook["consecutive_errors"] == 1).await;
    api.save("acme", &save(json!({}))).await.ok();
    assert_eq!(
        (api.webhook("acme").await["consecutive_errors"].clone(), api.etag("acme").await),
        (json!(0), tag.clone())
    );
    assert_eq!(api.test("acme", None).await.ok()["attempt"]["outcome"], "failed");
    for n in 3..=13 {
        api.publish("acme", &message("+1", &format!("m-{n}"))).await.unwrap().ok();
    }
    api.until("acme", "it is off", |webhook| webhook["status"] == "disabled_by_errors").await;
    assert_eq!(api.etag("acme").await, tag);
    // Whoever switches it on again, or changes a value, is seen.
    for more in [json!({}), json!({"headers": {"x-key": "two"}}), json!({"enabled": false})] {
        let before = std::mem::take(&mut tag);
        api.save("acme", &save(more.clone())).await.ok();
        tag = api.etag("acme").await;
        assert_ne!(tag, before, "{more}");
    }
    api.call(Method::DELETE, "/v1/workspaces/acme", None).await.unwrap();
    assert_eq!(api.etag("acme").await, "\"0\"");
    assert_eq!(api.save_if("acme", &tag, &save(json!({}))).await.problem(), (412, "changed-meanwhile"));
}
