//! Tokens of one workspace and the sessions begun with them, on the running service.

use outbound::workspace::Time;
use reqwest::{Method, Response, StatusCode, redirect};
use serde_json::{Value, json};

use crate::bench::{Bench, Kind};
use support::service::{Api, PATIENCE};
use tokio::time::timeout;

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

#[tokio::test]
async fn one_token_is_ended_alone_with_the_sessions_that_it_began_on_the_embedded_journal() {
    one_token_is_ended_alone(Kind::Embedded).await;
}

#[tokio::test]
async fn one_token_is_ended_alone_with_the_sessions_that_it_began_on_redis() {
    one_token_is_ended_alone(Kind::Redis).await;
}

async fn one_token_is_ended_alone(kind: Kind) {
    let mut bench = Bench::start(kind, &[]).await;
    let admin = bench.api();
    let jane = with_token(&admin, &made(&admin, r#"{"subject":"jane","ttl":"1d"}"#).await);
    let joe = with_token(&admin, &made(&admin, r#"{"subject":"joe"}"#).await);
    let sessions = [sign_in(&jane).await, sign_in(&jane).await, sign_in(&joe).await, sign_in(&admin).await];
    let listed = admin.get(TOKENS).await.ok();
    let subjects: Vec<&Value> = listed["tokens"].as_array().unwrap().iter().map(|token| &token["subject"]).collect();
    assert_eq!(subjects, ["joe", "jane"]);
    let id = listed["tokens"][1]["id"].as_str().unwrap().to_owned();
    let mut streams = [live(&jane, None).await, live(&jane, Some(&sessions[0])).await];
    let mut others = [live(&joe, None).await, live(&joe, Some(&sessions[2])).await, live(&admin, None).await];
    let end = async |id: &str| admin.call(Method::DELETE, &format!("{TOKENS}/{id}"), None).await.unwrap();
    assert_eq!(end(&"x".repeat(32)).await.problem(), (404, "not-found"));
    assert_eq!(end(&"x".repeat(300)).await.problem(), (404, "not-found"));
    assert_eq!(end(&id).await.status, StatusCode::NO_CONTENT);
    assert_eq!(end(&id).await.problem(), (404, "not-found"));
    for stream in &mut streams {
        ends(stream).await;
    }
    assert!(admin.call(Method::DELETE, &TOKENS.replace("acme", "other"), None).await.unwrap().status.is_success());
    let elsewhere = format!("{}/{}", TOKENS.replace("acme", "other"), listed["tokens"][0]["id"].as_str().unwrap());
    assert_eq!(admin.call(Method::DELETE, &elsewhere, None).await.unwrap().problem(), (404, "not-found"));
    assert_eq!(joe.call(Method::DELETE, &elsewhere, None).await.unwrap().problem(), (404, "not-found"));
    joe.save("acme", &json!({"url": bench.receiver.url("acme"), "enabled": false})).await.ok();
    for stream in &mut others {
        tells(stream, "\"disabled\"").await;
    }
    joe.save("acme", &json!({"url": null})).await.ok();
    for _ in 0..2 {
        assert_eq!(jane.read("acme", "webhook").await.problem(), (401, "unauthorized"));
        assert_eq!(joe.webhook("acme").await["status"], "not_configured");
        let mut open = Vec::new();
        for session in &sessions {
            open.push(screen(&admin, session).await.as_u16());
        }
        assert_eq!(open, [401, 401, 200, 200]);
        assert_eq!(admin.get(TOKENS).await.ok()["tokens"].as_array().unwrap().len(), 1);
        bench.service.kill();
        bench.service.launch().await;
    }
    let history = admin.read("acme", "history").await.ok();
    let told: Vec<_> =
        history["access"].as_array().unwrap().iter().map(|one| (&one["action"], &one["subject"])).collect();
    let (made, ended) = (json!("token_made"), json!("token_ended"));
    assert_eq!(told, [(&ended, &json!("jane")), (&made, &json!("joe")), (&made, &json!("jane"))]);
    assert!(history["access"].as_array().unwrap().iter().all(|one| one["by"] == "admin"), "{history}");
    assert_eq!(history["history"].as_array().unwrap().len(), 2, "they are no changes, and wash none out");
}

/// One more would be an ended one less that is known to be ended.
#[tokio::test]
async fn a_token_that_was_ended_stays_so_however_many_are_made_after_it() {
    let bench = Bench::start(Kind::Embedded, &[]).await;
    let admin = bench.api();
    let jane = with_token(&admin, &made(&admin, r#"{"subject":"jane"}"#).await);
    let id = admin.get(TOKENS).await.ok()["tokens"][0]["id"].as_str().unwrap().to_owned();
    assert!(admin.call(Method::DELETE, &format!("{TOKENS}/{id}"), None).await.unwrap().status.is_success());
    let mint = async |body: &str| admin.call(Method::POST, TOKENS, Some(body)).await.unwrap();
    for n in 1..256 {
        mint(&format!(r#"{{"subject":"machine-{n}"}}"#)).await.ok();
    }
    let refused = mint("{}").await;
    assert_eq!(refused.problem(), (409, "too-many-tokens"), "{}", refused.body);
    assert_eq!(jane.read("acme", "webhook").await.problem(), (401, "unauthorized"));
    assert_eq!(admin.get(TOKENS).await.ok()["tokens"].as_array().unwrap().len(), 255);

    // Who made and ended what is told when all of them have ended, too, which makes room for others.
    assert_eq!(admin.call(Method::DELETE, TOKENS, None).await.unwrap().status, StatusCode::NO_CONTENT);
    let history = admin.read("acme", "history").await.ok();
    let told =
        |action: &str| history["access"].as_array().unwrap().iter().filter(|one| one["action"] == action).count();
    assert_eq!((told("token_made"), told("token_ended")), (256, 256));
    let again = with_token(&admin, &made(&admin, "{}").await);
    assert_eq!(again.webhook("acme").await["workspace"], "acme");
    assert_eq!(jane.read("acme", "webhook").await.problem(), (401, "unauthorized"));
    let listed = admin.get(TOKENS).await.ok();
    assert_eq!(listed["tokens"].as_array().unwrap().len(), 1, "{listed}");
}

#[tokio::test]
async fn who_signs_out_has_no_session_anywhere_any_more() {
    let mut bench = Bench::start(Kind::Redis, &[]).await;
    let jane = with_token(&bench.api(), &made(&bench.api(), r#"{"subject":"jane"}"#).await);
    let (one, other) = (sign_in(&jane).await, sign_in(&jane).await);
    let mut stream = live(&jane, Some(&one)).await;
    sign_out(&jane, &one).await;
    ends(&mut stream).await;
    for _ in 0..2 {
        // The cookie that somebody copied meanwhile.
        assert_eq!(screen(&jane, &one).await, StatusCode::UNAUTHORIZED);
        assert_eq!(screen(&jane, &other).await, StatusCode::OK);
        assert_eq!(jane.webhook("acme").await["workspace"], "acme");
        bench.service.kill();
        bench.service.launch().await;
    }
}

#[tokio::test]
async fn the_operator_who_signs_out_has_no_session_anywhere_any_more_on_the_embedded_journal() {
    the_operator_signs_out(Kind::Embedded).await;
}

#[tokio::test]
async fn the_operator_who_signs_out_has_no_session_anywhere_any_more_on_redis() {
    the_operator_signs_out(Kind::Redis).await;
}

async fn the_operator_signs_out(kind: Kind) {
    let mut bench = Bench::start(kind, &[]).await;
    let admin = bench.api();
    let (one, other) = (sign_in(&admin).await, sign_in(&admin).await);
    let (mut stream, mut still) = (live(&admin, Some(&one)).await, live(&admin, Some(&other)).await);
    if kind == Kind::Redis {
        bench.redis().call::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    }
    sign_out(&admin, &one).await;
    if kind == Kind::Redis {
        bench.redis().call::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    }
    admin.save("acme", &json!({"url": bench.receiver.url("acme")})).await.ok();
    ends(&mut stream).await;
    tells(&mut still, "\"enabled\"").await;
    for _ in 0..2 {
        // The cookie that somebody copied meanwhile, for whatever workspace.
        assert_eq!(screen(&admin, &one).await, StatusCode::UNAUTHORIZED);
        let place = format!("http://{}/workspaces/other/outbound", admin.address());
        let elsewhere = browser().get(place).header("cookie", &one).send().await.unwrap().status();
        assert_eq!(elsewhere, StatusCode::UNAUTHORIZED);
        assert_eq!(screen(&admin, &other).await, StatusCode::OK);
        assert_eq!(admin.webhook("acme").await["workspace"], "acme");
        bench.service.kill();
        bench.service.launch().await;
    }
}

#[tokio::test]
async fn who_looked_at_the_secret_is_told_and_washes_nobody_out() {
    let bench = Bench::start(Kind::Embedded, &[]).await;
    let admin = bench.api();
    let url = json!({"url": bench.receiver.url("acme")});
    admin.save("acme", &url).await.ok();
    let jane = with_token(&admin, &made(&admin, r#"{"subject":"jane"}"#).await);
    let joe = with_token(&admin, &made(&admin, r#"{"subject":"joe"}"#).await);
    joe.read("acme", "webhook/secret").await.ok();
    for _ in 0..10 {
        jane.read("acme", "webhook/secret").await.ok();
    }
    let session = sign_in(&admin).await;
    let shown = format!("http://{}/workspaces/acme/outbound?show=secret", admin.address());
    assert_eq!(browser().get(shown).header("cookie", &session).send().await.unwrap().status(), StatusCode::OK);
    let history = jane.read("acme", "history").await.ok();
    let actions = |list: &str, action: &str| {
        let all = history[list].as_array().unwrap().iter().filter(|one| one["action"] == action);
        all.map(|one| one["by"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(actions("access", "secret_viewed"), ["admin", "jane", "joe"]);
    assert_eq!(actions("history", "saved"), ["admin"]);
    assert!(!history.to_string().contains("whsec_"));
}

/// An open live stream, with the token or with a session's cookie, that has told the state.
async fn live(api: &Api, cookie: Option<&str>) -> Response {
    let request = match cookie {
        Some(cookie) => {
            let place = format!("http://{}/workspaces/acme/outbound/live", api.address());
            browser().get(place).header("cookie", cookie)
        }
        None => {
            let place = format!("http://{}/v1/workspaces/acme/attempts/live", api.address());
            browser().get(place).bearer_auth(api.token.as_deref().unwrap())
        }
    };
    let mut response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    tells(&mut response, "not_configured").await;
    response
}

/// Waits until a stream tells something.
async fn tells(stream: &mut Response, text: &str) {
    let mut told = String::new();
    let reading = async {
        while !told.contains(text) {
            let Some(part) = stream.chunk().await.unwrap() else { panic!("it ended: {told}") };
            told.push_str(&String::from_utf8_lossy(&part));
        }
    };
    timeout(PATIENCE, reading).await.expect("it is told in time");
}

/// Waits for the end of a stream.
async fn ends(stream: &mut Response) {
    let reading = async { while stream.chunk().await.is_ok_and(|part| part.is_some()) {} };
    timeout(PATIENCE, reading).await.expect("it ends in time");
}

/// Signs out with the form of the screen.
async fn sign_out(api: &Api, cookie: &str) {
    let place = format!("http://{}/workspaces/acme/outbound", api.address());
    let page = browser().get(&place).header("cookie", cookie).send().await.unwrap().text().await.unwrap();
    let csrf = page.split_once("name=\"csrf\" value=\"").unwrap().1.split('"').next().unwrap();
    let request = browser().post(format!("{place}/session/end")).header("cookie", cookie);
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(format!("csrf={csrf}"));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::SEE_OTHER);
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
