//! Signing in to the screen and out of it, and what a session is good for.

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use outbound::http::PublicOrigin;

use crate::kit::{Reply, TOKEN, applying, call, facade, facade_at, request, working};

const SCREEN: &str = "/workspaces/acme/outbound";
const SESSION: &str = "/workspaces/acme/outbound/session";
const END: &str = "/workspaces/acme/outbound/session/end";

fn local() -> Router {
    facade(applying(), working())
}

fn at(origin: PublicOrigin) -> Router {
    facade_at(applying(), working(), origin)
}

fn https() -> PublicOrigin {
    PublicOrigin::Https { origin: "https://example.com".to_owned(), path: "/hooks".to_owned() }
}

fn post(path: &str) -> Builder {
    Request::post(path).header("content-type", "application/x-www-form-urlencoded")
}

async fn sign_in(router: &Router, token: &str) -> Reply {
    call(router, post(SESSION).body(Body::from(format!("token={token}"))).unwrap()).await
}

async fn screen(router: &Router, cookie: &str) -> Reply {
    call(router, Request::get(SCREEN).header("cookie", cookie).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn without_a_session_the_screen_asks_for_a_token() {
    let reply = call(&local(), Request::get(SCREEN).body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, 401);
    assert!(reply.header("content-type").starts_with("text/html"));
    let form = format!("<form method=\"post\" action=\"{SESSION}\"");
    assert!(reply.text.contains(&form) && reply.text.contains("name=\"token\""), "{}", reply.text);
    assert!(reply.header("set-cookie").is_empty());
}

#[tokio::test]
async fn a_token_is_exchanged_for_a_cookie_that_opens_the_screen() {
    let router = local();
    let reply = sign_in(&router, TOKEN).await;
    assert_eq!(reply.header("location"), SCREEN);
    assert!(!reply.header("set-cookie").contains(TOKEN), "the cookie holds a session, not the token");
    let page = screen(&router, &format!("other=1; {}", reply.cookie())).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains("acme") && page.text.contains("admin"), "{}", page.text);
}

#[tokio::test]
async fn the_cookie_is_bound_to_https_and_its_host_or_to_this_machine() {
    let cookie = sign_in(&at(https()), TOKEN).await.header("set-cookie").to_owned();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert!(pair.starts_with("__Host-outbound=ey"), "{cookie}");
    assert_eq!(attributes, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure");
    let cookie = sign_in(&at(PublicOrigin::Loopback), TOKEN).await.header("set-cookie").to_owned();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert!(pair.starts_with("outbound=ey"), "{cookie}");
    assert_eq!(attributes, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
}

#[tokio::test]
async fn in_the_clear_nobody_gets_a_session_and_the_page_says_what_to_do() {
    let router = at(PublicOrigin::Open);
    for reply in [sign_in(&router, TOKEN).await, screen(&router, "outbound=x").await] {
        assert!(reply.status == 403 || reply.status == 401, "{}", reply.status);
        assert!(reply.header("set-cookie").is_empty());
        assert!(reply.text.contains("--public-url https://"), "{}", reply.text);
    }
}

#[tokio::test]
async fn links_carry_what_stands_before_our_paths_at_the_public_url() {
    let router = at(https());
    assert_eq!(sign_in(&router, TOKEN).await.header("location"), format!("/hooks{SCREEN}"));
    let page = call(&router, Request::get(SCREEN).body(Body::empty()).unwrap()).await;
    assert!(page.text.contains(&format!("action=\"/hooks{SESSION}\"")), "{}", page.text);
}

#[tokio::test]
async fn a_wrong_token_is_told_next_to_its_field() {
    let router = local();
    for (token, told) in [("nonsense", "The token is wrong"), ("", "Enter a token.")] {
        let reply = sign_in(&router, token).await;
        assert_eq!(reply.status, 401);
        assert!(reply.header("set-cookie").is_empty());
        assert!(reply.text.contains("aria-describedby=\"token-error\""), "{}", reply.text);
        assert!(reply.text.contains(&format!("id=\"token-error\" role=\"alert\">{told}")), "{}", reply.text);
    }
}

#[tokio::test]
async fn a_token_in_the_query_opens_nothing() {
    let router = local();
    let reply = call(&router, post(&format!("{SESSION}?token={TOKEN}")).body(Body::empty()).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.header("set-cookie")), (401, ""));
    let reply = call(&router, Request::get(format!("{SCREEN}?token={TOKEN}")).body(Body::empty()).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.header("set-cookie")), (401, ""));
}

/// A new token of the workspace acme.
async fn token(router: &Router) -> String {
    let reply = call(router, request("POST", "/v1/workspaces/acme/tokens", "")).await;
    reply.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_workspace_has_a_cookie_of_its_own_and_the_operators_opens_all() {
    let router = local();
    let own = sign_in(&router, &token(&router).await).await.cookie();
    let all = sign_in(&router, TOKEN).await.cookie();
    let name = |pair: &str| pair.split_once('=').unwrap().0.to_owned();
    assert_eq!(name(&all), "outbound");
    assert!(name(&own).starts_with("outbound-") && name(&own).len() == 25, "{own}");
    let at = async |workspace: &str, cookie: &str| {
        let path = format!("/workspaces/{workspace}/outbound");
        call(&router, Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap()).await.status.as_u16()
    };
    assert_eq!((at("acme", &own).await, at("other", &own).await), (200, 401));
    assert_eq!((at("acme", &all).await, at("other", &all).await), (200, 200));
    // One session in the other's cookie opens nothing.
    let (own_token, all_token) = (own.split_once('=').unwrap().1, all.split_once('=').unwrap().1);
    assert_eq!(at("acme", &format!("outbound={own_token}")).await, 401);
    assert_eq!(at("acme", &format!("{}={all_token}", name(&own))).await, 401);
    // A cookie that has ended is no obstacle for the other.
    assert_eq!(at("acme", &format!("{}=a.b.c; {all}", name(&own))).await, 200);
    let https = at_public().await;
    assert!(https.starts_with("__Host-outbound-"), "{https}");
}

/// The name of a workspace's cookie at a public URL.
async fn at_public() -> String {
    let router = at(https());
    let reply = sign_in(&router, &token(&router).await).await;
    let cookie = reply.header("set-cookie").to_owned();
    assert!(cookie.contains("; Path=/; ") && cookie.ends_with("; HttpOnly; SameSite=Strict; Secure"), "{cookie}");
    cookie
}

#[tokio::test]
async fn a_session_is_not_for_the_api() {
    let router = local();
    let cookie = sign_in(&router, TOKEN).await.cookie();
    let webhook = "/v1/workspaces/acme/webhook";
    let by_cookie = Request::get(webhook).header("cookie", &cookie).body(Body::empty()).unwrap();
    assert_eq!(call(&router, by_cookie).await.status, 401);
    let session = cookie.split_once('=').unwrap().1;
    let as_bearer =
        Request::get(webhook).header("authorization", format!("Bearer {session}")).body(Body::empty()).unwrap();
    assert_eq!(call(&router, as_bearer).await.status, 401);
}

#[tokio::test]
async fn a_cookie_that_was_changed_or_never_ours_opens_nothing_and_is_taken_back() {
    let router = local();
    let cookie = sign_in(&router, TOKEN).await.cookie();
    let mut changed = cookie.clone();
    let last = changed.pop().unwrap();
    changed.push(if last == 'A' { 'B' } else { 'A' });
    changed.replace_range(20..21, if &changed[20..21] == "x" { "y" } else { "x" });
    for wrong in [changed, format!("outbound={TOKEN}"), "outbound=a.b.c".to_owned()] {
        let reply = screen(&router, &wrong).await;
        assert_eq!(reply.status, 401, "{wrong}");
        assert!(reply.header("set-cookie").starts_with("outbound=; Path=/; Max-Age=0;"), "{wrong}");
    }
    assert_eq!(screen(&router, &cookie).await.status, 200);
}

#[tokio::test]
async fn signing_out_needs_the_field_of_the_very_session_and_takes_the_cookie_back() {
    let router = local();
    let cookie = sign_in(&router, TOKEN).await.cookie();
    let another = sign_in(&router, TOKEN).await.cookie();
    let foreign = screen(&router, &another).await.csrf();
    let own = screen(&router, &cookie).await.csrf();
    for field in [String::new(), "csrf=".to_owned(), format!("csrf={foreign}"), format!("csrf={own}x")] {
        let reply = call(&router, post(END).header("cookie", &cookie).body(Body::from(field.clone())).unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.header("set-cookie")), (403, ""), "{field}");
    }
    let body = Body::from(format!("csrf={own}"));
    let reply = call(&router, post(END).header("cookie", &cookie).body(body).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, SCREEN));
    assert!(reply.header("set-cookie").starts_with("outbound=; Path=/; Max-Age=0; HttpOnly"));
}

#[tokio::test]
async fn a_form_of_another_site_is_refused_though_all_else_is_right() {
    let router = at(https());
    let cookie = sign_in(&router, TOKEN).await.cookie();
    let body = format!("csrf={}&token={TOKEN}", screen(&router, &cookie).await.csrf());
    let foreign =
        [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site")];
    for path in [SESSION, END] {
        for (name, value) in foreign {
            let request = post(path).header("cookie", &cookie).header(name, value).body(Body::from(body.clone()));
            let reply = call(&router, request.unwrap()).await;
            assert_eq!((reply.status.as_u16(), reply.header("set-cookie")), (403, ""), "{path} {name}: {value}");
            assert!(reply.header("content-type").starts_with("text/html"));
        }
        let own = post(path).header("origin", "https://example.com").header("sec-fetch-site", "same-origin");
        let reply = call(&router, own.header("cookie", &cookie).body(Body::from(body.clone())).unwrap()).await;
        assert_eq!(reply.status, 303, "{path}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_form_that_is_declared_as_something_else_is_refused() {
    let request = Request::post(SESSION).header("content-type", "application/json").body(Body::from("{}")).unwrap();
    assert_eq!(call(&local(), request).await.status, 415);
}

#[tokio::test]
async fn every_page_forbids_what_it_does_not_need() {
    let router = local();
    let cookie = sign_in(&router, TOKEN).await.cookie();
    let foreign = post(END).header("cookie", &cookie).body(Body::empty()).unwrap();
    let pages = [
        screen(&router, &cookie).await,
        screen(&router, "").await,
        sign_in(&router, "nonsense").await,
        call(&router, foreign).await,
        call(&router, Request::get("/workspaces/a%20b/outbound").body(Body::empty()).unwrap()).await,
    ];
    for page in &pages {
        assert!(page.header("content-type").starts_with("text/html"), "{}", page.text);
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'self'", "form-action 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cache-control", "no-store"),
            ("strict-transport-security", ""),
        ] {
            assert_eq!(page.header(name), value, "{name}");
        }
    }
    let page = call(&at(https()), Request::get(SCREEN).body(Body::empty()).unwrap()).await;
    assert_eq!(page.header("strict-transport-security"), "max-age=31536000");
}
