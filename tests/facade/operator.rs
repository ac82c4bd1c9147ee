//! `/`: the operators' screen, on a journal that answers as a test tells it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use axum::http::request::Builder;
use outbound::http::{PublicOrigin, Readiness};
use outbound::journal::port::{GlancesReading, ListedWorkspace, ToldGlance};
use outbound::workspace::event::MailState;
use outbound::workspace::outcomes::{MinuteOutcomes, Outcomes};
use outbound::workspace::state::Mail;
use outbound::workspace::view::{NodeGlance, WaitingView};
use outbound::workspace::{State, Time};

use crate::kit::{FakeJournal, NOW, Reply, TOKEN, applying, call, facade, facade_at, request, two_nodes, working};

mod rejected;

const SESSION: &str = "/operator/session";
const END: &str = "/operator/session/end";
const PAGE: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

fn post(path: &str) -> Builder {
    Request::post(path).header("content-type", "application/x-www-form-urlencoded")
}

async fn sign_in(router: &Router, token: &str) -> Reply {
    call(router, post(SESSION).body(Body::from(format!("token={token}"))).unwrap()).await
}

/// The pair of the cookie that a browser would send from now on.
async fn session(router: &Router) -> String {
    sign_in(router, TOKEN).await.cookie()
}

async fn page(router: &Router, path: &str, cookie: &str) -> Reply {
    call(router, Request::get(path).header("accept", PAGE).header("cookie", cookie).body(Body::empty()).unwrap()).await
}

async fn send(router: &Router, path: &str, cookie: &str, form: &str) -> Reply {
    call(router, post(path).header("cookie", cookie).body(Body::from(form.to_owned())).unwrap()).await
}

/// The text of the page without its tags.
fn words(page: &Reply) -> String {
    let text: String = page.text.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_program_is_told_what_it_was_told_before() {
    let router = facade(Arc::new(two_nodes()), working());
    let cookie = session(&router).await;
    for accept in ["*/*", "application/json", "text/*", "text/html;q=0"] {
        let get = Request::get("/").header("accept", accept).header("cookie", &cookie).body(Body::empty()).unwrap();
        let reply = call(&router, get).await;
        assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (404, "not-found"), "{accept}");
        assert!(reply.text.contains("there is nothing at /; /docs describes every call"), "{}", reply.text);
    }
    let reply = call(&router, request("POST", "/", "{}")).await;
    assert_eq!((reply.status.as_u16(), reply.problem().as_str()), (404, "not-found"));
}

#[tokio::test]
async fn the_admin_token_opens_the_overview_and_a_workspaces_token_its_screen() {
    let submit = Arc::into_inner(applying()).unwrap().submit;
    let router = facade(Arc::new(FakeJournal { submit, ..two_nodes() }), working());
    let reply = page(&router, "/", "").await;
    assert_eq!(reply.status, 401);
    assert!(reply.text.contains(&format!("<form method=\"post\" action=\"{SESSION}\"")), "{}", reply.text);
    for (token, told) in [("nonsense", "The token is wrong"), ("", "Enter a token.")] {
        let reply = sign_in(&router, token).await;
        assert_eq!((reply.status.as_u16(), reply.header("set-cookie")), (401, ""));
        assert!(reply.text.contains(told), "{}", reply.text);
    }
    let reply = sign_in(&router, TOKEN).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/"));
    let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    let reply = page(&router, "/", &cookie).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.header("cache-control"), "no-store");
    let told = words(&reply);
    for part in ["20 on", "4,000 switched off by errors", "12 messages, the oldest for 7 s", "This node does its work"]
    {
        assert!(told.contains(part), "{part}: {told}");
    }
    // It opens the workspaces' screens, too.
    assert_eq!(page(&router, "/workspaces/acme/outbound", &cookie).await.status, 200);

    let made = call(&router, request("POST", "/v1/workspaces/acme/tokens", "{}")).await;
    let reply = sign_in(&router, made.json()["token"].as_str().unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/workspaces/acme/outbound"));
    let own = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    assert_eq!(page(&router, "/", &own).await.status, 401);
    assert_eq!(page(&router, "/workspaces/acme/outbound", &own).await.status, 200);
}

#[tokio::test]
async fn the_form_to_sign_in_with_is_bounded_and_of_our_own_page() {
    let router = facade(Arc::new(two_nodes()), working());
    let large = format!("token={}", "x".repeat(5_000));
    assert_eq!(call(&router, post(SESSION).body(Body::from(large)).unwrap()).await.status, 413);
    let foreign = post(SESSION).header("sec-fetch-site", "cross-site").body(Body::from(format!("token={TOKEN}")));
    let reply = call(&router, foreign.unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.header("set-cookie")), (403, ""));
    let open = facade_at(Arc::new(two_nodes()), working(), PublicOrigin::Open);
    let reply = sign_in(&open, TOKEN).await;
    assert_eq!((reply.status.as_u16(), reply.header("set-cookie")), (403, ""));
    assert!(reply.text.contains("--public-url https://"), "{}", reply.text);
    let prefixed = PublicOrigin::Https { origin: "https://example.com".to_owned(), path: "/hooks".to_owned() };
    let prefixed = facade_at(Arc::new(two_nodes()), working(), prefixed);
    let reply = sign_in(&prefixed, TOKEN).await;
    assert_eq!(reply.header("location"), "/hooks/");
    let cookie = reply.header("set-cookie").split(';').next().unwrap().to_owned();
    let reply = page(&prefixed, "/", &cookie).await;
    for link in [
        "href=\"/hooks/?status=enabled#workspaces\"",
        "action=\"/hooks/operator/session/end\"",
        "href=\"/hooks/workspaces/w000/outbound\"",
    ] {
        assert!(reply.text.contains(link), "{link}: {}", reply.text);
    }
}

#[tokio::test]
async fn signing_out_ends_the_session_on_every_node_and_no_colleagues() {
    for at_the_workspace in [false, true] {
        let journal = Arc::new(two_nodes());
        let router = facade(Arc::clone(&journal), working());
        let (copied, other) = (session(&router).await, session(&router).await);
        let knew = facade(Arc::clone(&journal), working());
        assert_eq!(page(&knew, "/", &copied).await.status, 200);
        let shown = if at_the_workspace { "/workspaces/acme/outbound" } else { "/" };
        let seal = page(&router, shown, &copied).await.csrf();
        let end = if at_the_workspace { "/workspaces/acme/outbound/session/end" } else { END };
        let reply = send(&router, end, &copied, "csrf=wrong").await;
        assert_eq!(reply.status, 403, "a form of another site ends nothing");
        assert_eq!(page(&router, "/", &copied).await.status, 200);
        let reply = send(&router, end, &copied, &format!("csrf={seal}")).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (303, shown));
        assert!(reply.header("set-cookie").contains("Max-Age=0"));
        let again = session(&router).await;
        for router in [router, facade(journal, working())] {
            for path in ["/", "/workspaces/acme/outbound"] {
                assert_eq!(page(&router, path, &copied).await.status, 401, "{path}");
                assert_eq!(page(&router, path, &other).await.status, 200, "{path}: a colleague's");
            }
            assert_eq!(send(&router, END, &copied, &format!("csrf={seal}")).await.status, 401);
            assert_eq!(page(&router, "/", &again).await.status, 200, "one that was begun after it holds");
        }
        assert_eq!(page(&knew, "/", &copied).await.status, 401, "a node that had asked a moment ago");
    }
}

#[tokio::test]
async fn while_the_store_is_away_the_page_says_so_and_nobody_is_locked_out() {
    let journal = Arc::new(two_nodes());
    let away = "the store does not answer; nothing is attempted";
    let readiness = Readiness {
        reasons: vec![away.to_owned(), "2 of 1,024 descriptors are left".to_owned()],
        unavailable_workspaces: 3,
        ..Readiness::default()
    };
    let router = facade(Arc::clone(&journal), readiness);
    journal.away.store(true, Ordering::Relaxed);
    // Whoever signs in now gets a session of what was known last.
    let cookie = session(&router).await;
    let reply = page(&router, "/", &cookie).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert_eq!(reply.text.matches("Not known now.").count(), 6, "{}", reply.text);
    let told = words(&reply);
    for part in [
        "This node does not do its work.",
        "The store does not answer; nothing is attempted.",
        "2 of 1,024 descriptors are left.",
        "3 workspaces cannot be loaded",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("hunter2"), "causes are for the log");
    let reply = send(&router, END, &cookie, &format!("csrf={}", reply.csrf())).await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("set-cookie").contains("Max-Age=0"), "this browser is signed out all the same");
    assert!(reply.text.contains("signed out in this browser only"), "{}", reply.text);
}

#[tokio::test]
async fn a_store_that_is_silent_holds_the_page_up_for_two_seconds_and_no_longer() {
    let router = facade(Arc::new(FakeJournal { hangs: true, ..FakeJournal::default() }), working());
    let cookie = session(&router).await;
    tokio::time::pause();
    let began = (Instant::now(), tokio::time::Instant::now());
    let reply = page(&router, "/", &cookie).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    assert!(began.1.elapsed() <= Duration::from_secs(3), "{:?}", began.1.elapsed());
    assert!(words(&reply).contains("The store did not answer in time."), "{}", reply.text);
}

#[tokio::test]
async fn the_list_is_chosen_by_prefix_and_status_and_goes_on_where_it_ended() {
    let journal = Arc::new(two_nodes());
    let router = facade(Arc::clone(&journal), working());
    let cookie = session(&router).await;
    let reply = page(&router, "/?status=disabled&prefix=w0&after=w000", &cookie).await;
    assert_eq!(reply.status, 200);
    let query = journal.listed.lock().unwrap().iter().find(|query| !query.prefix.is_empty()).cloned().unwrap();
    assert_eq!((query.prefix.as_str(), query.count), ("w0", 26));
    assert_eq!(query.status.map(|status| status.as_str()), Some("disabled"));
    assert_eq!(query.after.map(|after| after.to_string()).as_deref(), Some("w000"));
    let next = "href=\"/?prefix=w0&amp;status=disabled&amp;after=w024#workspaces\"";
    assert!(reply.text.contains(next), "{}", reply.text);
    let asked = journal.listed.lock().unwrap().len();
    for (query, told) in [
        ("?prefix=%3Cb%3E", "No workspace's id begins so."),
        ("?status=nonsense", "There is no such page of the list."),
        ("?after=x%2F", "There is no such page of the list."),
    ] {
        let reply = page(&router, &format!("/{query}"), &cookie).await;
        assert_eq!(reply.status, 200, "what is wrong with the list keeps the rest of the page from nobody");
        assert!(words(&reply).contains(told), "{told}: {}", words(&reply));
        assert!(!reply.text.contains("<b>"), "{}", reply.text);
    }
    assert_eq!(journal.listed.lock().unwrap().len(), asked, "the store is not asked for what cannot be");
}

/// A workspace that errors switched off, and what became of the mail.
fn switched_off(id: &str, mail: Option<(MailState, i64)>) -> ListedWorkspace {
    let mut state = State::default();
    state.webhook.url = Some("https://crm.example/".into());
    state.webhook.disabled_by_errors = true;
    state.mail = mail.map(|(state, seconds)| Mail {
        owed_by: 12,
        state,
        at: Time::from_unix_ms(NOW.unix_ms() - seconds * 1_000),
        detail: None,
    });
    ListedWorkspace { workspace: id.parse().unwrap(), state: Some(state) }
}

/// What the page says of mails that nobody got.
async fn mails(workspaces: Vec<ListedWorkspace>) -> String {
    let journal = FakeJournal { workspaces: Some(workspaces), ..FakeJournal::default() };
    let router = facade(Arc::new(journal), working());
    let cookie = session(&router).await;
    let reply = page(&router, "/", &cookie).await;
    let told = words(&Reply { text: reply.text.replace("</p>", " </p>"), ..reply });
    let (_, told) = told.split_once("Mails that nobody got").unwrap();
    told.split("Nodes").next().unwrap().trim().to_owned()
}

#[tokio::test]
async fn that_every_owner_was_told_is_said_only_where_it_is_known() {
    let told = "None: every owner of a webhook that errors switched off was told.";
    assert_eq!(mails(vec![]).await, told);
    let sent = |id: &str| switched_off(id, Some((MailState::Sent, 600)));
    assert_eq!(mails(vec![sent("a"), sent("b")]).await, told);
    let unread = ListedWorkspace { workspace: "c".parse().unwrap(), state: None };
    let lost = switched_off("d", None);
    assert_eq!(
        mails(vec![sent("a"), unread.clone(), lost]).await,
        "None of the 3 workspaces that were looked at. Of 2 workspaces it could not be read what became of the mail."
    );
    let on_its_way = switched_off("b", Some((MailState::Owed, 3)));
    assert_eq!(
        mails(vec![sent("a"), on_its_way]).await,
        "None of the 2 workspaces that were looked at. 1 mail is on its way."
    );
    let late = switched_off("e", Some((MailState::Owed, 600)));
    let dropped = switched_off("f", Some((MailState::Dropped, 600)));
    let said = mails(vec![sent("a"), unread, late, dropped]).await;
    let begin = "At least 1 could not be handed over yet; 1 dropped before it was sent. Of 1 workspace it could not be read \
                 what became of the mail.";
    assert!(said.starts_with(begin), "{said}");
    // One that somebody has saved since is listed as it was when it was read, and is switched off no more.
    let mut saved = switched_off("g", Some((MailState::GivenUp, 600)));
    saved.state.as_mut().unwrap().webhook.disabled_by_errors = false;
    saved.state.as_mut().unwrap().webhook.enabled = true;
    assert_eq!(mails(vec![saved]).await, told);
}

#[tokio::test]
async fn where_more_are_switched_off_than_are_looked_at_the_page_says_so() {
    let many = |state: fn(usize) -> MailState| {
        (0..700).map(|n| switched_off(&format!("w{n:03}"), Some((state(n), 600)))).collect::<Vec<_>>()
    };
    // The journal counts 4,000 of them.
    let looked = "Looked at the first 500 of 4,000 workspaces that errors switched off, by id.";
    let said = mails(many(|_| MailState::Sent)).await;
    assert_eq!(said, format!("None of the 500 workspaces that were looked at. {looked}"));
    let said = mails(many(|n| if n % 50 == 0 { MailState::GivenUp } else { MailState::Sent })).await;
    assert!(said.starts_with(&format!("At least 10 given up. {looked}")), "{said}");
    let exactly: Vec<_> = many(|_| MailState::Sent).into_iter().take(500).collect();
    assert!(mails(exactly).await.starts_with("None: every owner"));
}

/// A node that told something so many seconds ago.
fn told(node: &str, address: &str, seconds: i64, delivered: u64) -> ToldGlance {
    let outcomes = Outcomes { delivered, ..Outcomes::default() };
    let waiting = WaitingView { count: 3, at_least: true, oldest_at: Time::from_unix_ms(NOW.unix_ms() - 9_000) };
    let glance = NodeGlance {
        node: node.to_owned(),
        process: format!("process of {node}"),
        address: address.to_owned(),
        minutes: vec![MinuteOutcomes { minute: NOW.unix_seconds() / 60, outcomes }],
        longest_waiting: vec![(format!("waits-at-{address}").replace(':', "-").parse().unwrap(), waiting)],
        ready: false,
        reasons: vec!["this node's own network is away".to_owned()],
        unavailable_workspaces: 2,
    };
    ToldGlance { glance, at: Time::from_unix_ms(NOW.unix_ms() - seconds * 1_000) }
}

#[tokio::test]
async fn every_node_shows_what_all_know_and_says_of_which_nothing_is_known() {
    let nodes = two_nodes();
    let ids: Vec<String> = nodes.nodes.nodes.iter().map(|node| node.record.id.clone()).collect();
    let glances = |seconds| GlancesReading {
        at: NOW,
        glances: vec![told(&ids[0], "10.0.0.1:8080", seconds, 30), told(&ids[1], "10.0.0.2:8080", 9, 12)],
    };
    let shown = async |glances| {
        let router = facade(Arc::new(FakeJournal { glances, ..two_nodes() }), working());
        let cookie = session(&router).await;
        words(&page(&router, "/", &cookie).await)
    };
    let page = shown(glances(2)).await;
    for part in [
        "42 messages: 42 delivered",
        "Node 10.0.0.2:8080 is gone: what it did is counted until 9 s ago.",
        "waits-at-10.0.0.1-8080at least 3 messagesthe oldest for 9 s",
        "10.0.0.1:8080 (not ready): this node's own network is away.",
        "2 workspaces cannot be loaded",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("waits-at-10.0.0.2"), "what waits at a node that is gone is not known: {page}");
    let page = shown(glances(40)).await;
    for part in ["42 messages", "Node 10.0.0.1:8080 has told nothing for 40 s: what it did since is missing."] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(!page.contains("own network is away"), "what it said long ago is nothing of now: {page}");
    let page = shown(GlancesReading { at: NOW, glances: Vec::new() }).await;
    assert!(page.contains("Node 10.0.0.1:8080 tells nothing of what it does"), "{page}");
}
