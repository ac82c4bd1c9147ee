//! The screen as a browser gets it: nothing of others in it, everything escaped, and forms that only its
//! own pages can send. What is seen of it is tested in tests/screen.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use outbound::http::{Readiness, SendTestMail};
use outbound::journal::port::Reading;
use outbound::message::{EntryId, RawMessage};
use outbound::workspace::command::Action;
use outbound::workspace::decide::MailResult;
use outbound::workspace::event::{Attempt, AttemptError, ErrorKind, Request as Sent, Response, Trigger};
use outbound::workspace::{State, Time};

use crate::kit::{FakeJournal, NOW, Reply, TOKEN, applying, call, facade, facade_with_mail, working};

const SCREEN: &str = "/workspaces/acme/outbound";
/// What would be a script if it were not escaped, and what would end an attribute.
const HOSTILE: &str = "\"><script>alert(1)</script>'&";

/// An attempt in which everything that others write is hostile.
fn hostile() -> Attempt {
    let text = serde_json::json!({"text": HOSTILE}).to_string();
    Attempt {
        at: NOW,
        trigger: Trigger::Message,
        entry: EntryId { ms: 1, n: 0 },
        message_id: HOSTILE.into(),
        webhook_id: "msg_0_1-0".into(),
        config: 1,
        errors: Some(1),
        duration_ms: 12,
        error: Some(AttemptError { kind: ErrorKind::Redirect, detail: HOSTILE.to_owned() }),
        request: Sent {
            url: format!("https://crm.example/?{HOSTILE}").into(),
            headers: Arc::new([("x-a".into(), HOSTILE.into())]),
            message: Some(RawMessage::from_stored(text.into()).unwrap()),
        },
        response: Some(Arc::new(Response {
            status: 302,
            headers: vec![("location".into(), format!("javascript:{HOSTILE}").into())],
            body: HOSTILE.to_owned(),
            malformed: Vec::new(),
            truncated: true,
        })),
    }
}

fn journal() -> Arc<FakeJournal> {
    let mut state = State::default();
    state.webhook.url = Some(format!("https://crm.example/?{HOSTILE}").into());
    state.webhook.owner_email = Some(HOSTILE.to_owned());
    state.webhook.secret = Some("whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=".into());
    let read = move || Ok(Reading { state: state.clone(), attempts: vec![(1, hostile())] });
    Arc::new(FakeJournal { read: Box::new(read), ..FakeJournal::default() })
}

/// The session's cookie.
async fn sign_in(router: &Router) -> String {
    post(router, "/session", "", &format!("token={TOKEN}")).await.cookie()
}

async fn get(router: &Router, path: &str, cookie: &str) -> Reply {
    call(router, Request::get(path).header("cookie", cookie).body(Body::empty()).unwrap()).await
}

async fn post(router: &Router, below: &str, cookie: &str, form: &str) -> Reply {
    let request = Request::post(format!("{SCREEN}{below}")).header("cookie", cookie);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    call(router, request.body(Body::from(form.to_owned())).unwrap()).await
}

#[tokio::test]
async fn what_others_wrote_is_text_wherever_it_is_shown() {
    let router = facade(journal(), working());
    let cookie = sign_in(&router).await;
    for path in [SCREEN, "/workspaces/acme/outbound/latest?after=0"] {
        let page = get(&router, path, &cookie).await;
        assert_eq!(page.status, 200);
        assert!(page.text.contains("&lt;script&gt;"), "it is shown: {}", page.text);
        assert!(!page.text.contains("<script>") && !page.text.contains(HOSTILE), "{}", page.text);
        assert!(!page.text.contains("href=\"javascript:"), "{}", page.text);
    }
}

#[tokio::test]
async fn a_page_loads_only_our_own_files_and_no_script_or_style_stands_in_it() {
    let router = facade(journal(), working());
    let cookie = sign_in(&router).await;
    let page = get(&router, SCREEN, &cookie).await;
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.text.contains(" style=") && !page.text.contains("<style"), "{}", page.text);
    assert_eq!(page.header("cache-control"), "no-store");
    let files: Vec<&str> = page.text.split('"').filter(|text| text.starts_with("/assets/")).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let reply = get(&router, file, "").await;
        assert_eq!(reply.status, 200, "{file}");
        assert!(reply.header("cache-control").contains("immutable"), "{file}");
    }
    let old = get(&router, "/assets/screen-000000000000.css", "").await;
    assert_eq!(old.problem(), "not-found");
}

#[tokio::test]
async fn an_address_that_leads_nowhere_is_a_page_in_a_browser_and_a_problem_for_programs() {
    let router = facade(journal(), working());
    let get = |path: &str, accept: &str| Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
    for path in ["/workspaces", "/workspaces/acme", "/nothing", "/readyz/"] {
        let page = call(&router, get(path, "text/html,*/*;q=0.8")).await;
        assert_eq!((page.status.as_u16(), page.header("content-type")), (404, "text/html; charset=utf-8"), "{path}");
        assert!(page.text.contains("href=\"/\"") && page.text.contains("href=\"/docs\""), "{}", page.text);
        assert!(page.header("content-security-policy").contains("default-src 'none'"), "{path}");
        assert_eq!(call(&router, get(path, "*/*")).await.problem(), "not-found", "{path}");
    }
    assert_eq!(call(&router, get("/v1/workspaces/acme/webhook/", "text/html")).await.problem(), "not-found");
    let post = Request::post("/nothing").header("accept", "text/html").body(Body::empty()).unwrap();
    assert_eq!(call(&router, post).await.problem(), "not-found");

    // Whoever comes back to where a form led gets what the form stands on.
    for (place, location) in [
        ("/workspaces/acme/outbound/save", "../outbound"),
        ("/workspaces/outbound/outbound/session", "../outbound"),
        ("/workspaces/acme/outbound/again/1", "../../outbound"),
        ("/workspaces/acme/outbound/session/save", "../../outbound"),
        ("/operator/session", "../"),
        ("/operator/rejected/discard", "../../"),
    ] {
        let reply = call(&router, get(place, "text/html")).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (303, location), "{place}");
    }

    // A slash at the end does no harm.
    let docs = call(&router, get("/docs/", "text/html")).await;
    assert_eq!((docs.status.as_u16(), docs.header("location")), (308, "../docs"));
    let cookie = sign_in(&router).await;
    let screen = |path: &str| Request::get(path).header("cookie", &cookie).body(Body::empty()).unwrap();
    let plain = call(&router, screen(SCREEN)).await;
    let slash = call(&router, screen(&format!("{SCREEN}/"))).await;
    assert_eq!((plain.status.as_u16(), &plain.text), (200, &slash.text));
}

#[tokio::test]
async fn a_form_that_no_page_of_the_session_sent_changes_nothing() {
    let journal = journal();
    let router = facade(journal.clone(), working());
    let cookie = sign_in(&router).await;
    for below in ["/save", "/test", "/rotate"] {
        for form in ["url=https://crm.example/", "url=https://crm.example/&csrf=wrong"] {
            assert_eq!(post(&router, below, &cookie, form).await.status, 403, "{below} {form}");
        }
    }
    assert!(journal.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn every_breach_of_a_form_is_told_at_its_field_and_nothing_is_saved() {
    let journal = journal();
    let router = facade(journal.clone(), working());
    let cookie = sign_in(&router).await;
    let token = get(&router, SCREEN, &cookie).await.csrf();
    for (fields, field, told) in [
        ("url=ftp://crm.example/&enabled=yes", "url", "must start with https:// or http://"),
        ("url=http://10.0.0.1/&enabled=yes", "url", "leads to an address that is not public"),
        ("url=http://user:secret@crm.example/&enabled=yes", "url", "must not contain a user name"),
        ("url=https://crm.example/&event=message_read", "event", "Must be &quot;new_message&quot;"),
        ("url=https://crm.example/&owner_email=a@b@c", "owner_email", "must have a name, an @ and a domain"),
        ("url=https://crm.example/&owner_email=a..b@crm.example", "owner_email", "two in a row"),
        ("url=https://crm.example/a%E2%80%8Bb", "url", "u+200b (zero width space) as character 22, in its path"),
        ("url=https://crm.example/&headers=Host: x", "headers", "host: the name belongs to the connection"),
        ("url=https://crm.example/&headers=X-A", "headers", "write name: value"),
        ("url=https://crm.example/&headers=X-A: 1%0D%0AX-A: 2", "headers", "stands more than once"),
        ("url=https://crm.example/&headers=X-A: a%0Bb", "headers", "u+000b as character 2"),
    ] {
        let page = post(&router, "/save", &cookie, &format!("{fields}&csrf={token}")).await;
        assert_eq!(page.status, 422, "{fields}: {}", page.text);
        let error = page.text.split(&format!("id=\"{field}-error\"")).nth(1).unwrap_or_else(|| panic!("{fields}"));
        let error = error.split("</div>").next().unwrap().to_lowercase();
        assert!(error.contains(&told.to_lowercase()), "{fields}: {error}");
    }
    assert!(journal.submitted.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_clock_that_is_off_is_said_on_the_whole_page_and_with_what_is_new() {
    let clock = Some("The clock of this machine is 90 minutes behind that of the store: check both".to_owned());
    let off = facade(journal(), Readiness { clock: clock.clone(), ..working() });
    let right = facade(journal(), working());
    for path in [SCREEN.to_owned(), format!("{SCREEN}/latest")] {
        let page = get(&off, &path, &sign_in(&off).await).await;
        assert_eq!(page.text.matches(&format!("{}.", clock.as_deref().unwrap())).count(), 1, "{}", page.text);
        let page = get(&right, &path, &sign_in(&right).await).await;
        assert!(!page.text.contains("clock of this machine"), "{}", page.text);
    }
}

/// A day has three, and what the mail server was not ready for is none of them.
#[tokio::test]
async fn a_test_mail_that_never_began_takes_none_of_the_days() {
    for (result, begins, told) in [
        (MailResult::Sent, true, "The mail server took a test mail to owner@acme.example."),
        (
            MailResult::NotBegun,
            false,
            "was not sent. The mail server is busy with other mails, or takes none now. Try again",
        ),
        (
            MailResult::Later("The mail server x cannot be used.".to_owned()),
            false,
            "was not sent. The mail server x cannot",
        ),
        (MailResult::Refused("Nobody there.".to_owned()), true, "was not sent. Nobody there."),
        (MailResult::Unknown("It was not done.".to_owned()), true, "may have been sent: look there. It was not done."),
    ] {
        let (page, taken) = test_mail_page(Vec::new(), result, begins).await;
        assert!(page.contains(told), "{told}: {page}");
        assert_eq!(taken, usize::from(begins), "{told}");
    }
    let (page, taken) = test_mail_page(vec![NOW; 3], MailResult::Sent, true).await;
    assert!(page.contains("3 test mails a day are allowed") && taken == 0, "{page}");
}

/// The screen after a test mail that came to this, and how many were taken for it.
async fn test_mail_page(earlier: Vec<Time>, result: MailResult, begins: bool) -> (String, usize) {
    let mut state = State { test_mails: earlier, ..State::default() };
    state.webhook.owner_email = Some("owner@acme.example".to_owned());
    let applied = applying();
    let read = move || Ok(Reading { state: state.clone(), attempts: Vec::new() });
    let submit = move || (applied.submit)();
    let journal = Arc::new(FakeJournal { read: Box::new(read), submit: Box::new(submit), ..FakeJournal::default() });
    let send: SendTestMail = Arc::new(move |_, _, _, permit| {
        let result = result.clone();
        Box::pin(async move {
            if begins {
                assert!(permit.await);
            }
            result
        })
    });
    let router = facade_with_mail(journal.clone(), send);
    let cookie = sign_in(&router).await;
    let token = get(&router, SCREEN, &cookie).await.csrf();
    let page = post(&router, "/mail", &cookie, &format!("csrf={token}")).await.text;
    let submitted = journal.submitted.lock().unwrap();
    (page, submitted.iter().filter(|(_, command, _)| command.action == Action::TakeTestMail).count())
}
