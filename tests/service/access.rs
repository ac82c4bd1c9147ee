//! Tokens of one workspace and the sessions begun with them, on the running service.

use outbound::workspace::Time;
use reqwest::{Method, StatusCode, redirect};
use serde_json::{Value, json};

use crate::bench::{Bench, Kind};
use support::service::Api;

const TOKENS: &str = "/v1/workspaces/acme/tokens";

#[tokio::test]
async fn tokens_and_sessions_open_one_workspace_until_they_are_revoked_on_the_embedded_journal() {
    tokens_and_sessions_live_and_end(Kind::Embedded).await;
}

#[tokio::test]
async fn tokens_and_sessions_open_one_workspace_until_they_are_revoked_on_redis() {
    tokens_and_sessions_live_and_end(Kind::Redis).await;
}

async fn tokens_and_sessions_live_and_end(kind: Kind) {
    let mut bench = Bench::start(kind, &[]).await;
    let admin = bench.api();
    let jane = with_token(&admin, &made(&admin, r#"{"subject":"jane@acme.example","ttl":"1d"}"#).await);
    let url = json!({"url": bench.receiver.url("acme")});
    assert_eq!(jane.save("acme", &url).await.ok()["status"], "enabled");
    assert_eq!(jane.read("acme", "history").await.ok()["history"][0]["by"], "jane@acme.example");
    assert_eq!(jane.save("other", &url).await.problem(), (404, "not-found"));
    assert_eq!(jane.call(Method::POST, TOKENS, None).await.unwrap().problem(), (403, "admin-only"));
    let session = sign_in(&jane).await;
    assert_eq!(screen(&jane, &session).await, StatusCode::OK);

    // The key is kept, so a restart ends nothing.
    bench.service.kill();
    bench.service.launch().await;
    assert_eq!(jane.webhook("acme").await["status"], "enabled");
    assert_eq!(screen(&jane, &session).await, StatusCode::OK);

    assert_eq!(admin.call(Method::DELETE, TOKENS, None).await.unwrap().status, StatusCode::NO_CONTENT);
    assert_eq!(jane.read("acme", "webhook").await.problem(), (401, "unauthorized"));
    assert_eq!(screen(&jane, &session).await, StatusCode::UNAUTHORIZED);
    let changes = admin.read("acme", "history").await.ok();
    assert_eq!(
        (&changes["history"][0]["action"], &changes["history"][0]["by"]),
        (&json!("tokens_revoked"), &json!("admin"))
    );

    // What was revoked stays so when nothing else is known of the workspace any more.
    let again = with_token(&admin, &made(&admin, "{}").await);
    assert_eq!(again.webhook("acme").await["status"], "enabled");
    assert!(admin.call(Method::DELETE, "/v1/workspaces/acme", None).await.unwrap().status.is_success());
    assert_eq!(jane.read("acme", "webhook").await.problem(), (401, "unauthorized"));
}

/// Makes a token of `acme`.
async fn made(admin: &Api, body: &str) -> String {
    let made = admin.call(Method::POST, TOKENS, Some(body)).await.unwrap();
    assert_eq!(made.status, StatusCode::CREATED, "{}", made.body);
    let end: Time = made.body["expires_at"].as_str().unwrap().parse().unwrap();
    assert!(end > outbound::app::now());
    let Value::String(token) = &made.body["token"] else { panic!("{}", made.body) };
    token.clone()
}

fn with_token(api: &Api, token: &str) -> Api {
    let mut api = api.clone();
    api.token = Some(token.to_owned());
    api
}

fn browser() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).build().unwrap()
}

/// Exchanges the token for a session; answers with the cookie's pair.
async fn sign_in(api: &Api) -> String {
    let place = format!("http://{}/workspaces/acme/outbound/session", api.address());
    let form = format!("token={}", api.token.as_deref().unwrap());
    let request = browser().post(place).header("content-type", "application/x-www-form-urlencoded").body(form);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    response.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned()
}

async fn screen(api: &Api, cookie: &str) -> StatusCode {
    let place = format!("http://{}/workspaces/acme/outbound", api.address());
    browser().get(place).header("cookie", cookie).send().await.unwrap().status()
}
