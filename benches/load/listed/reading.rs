//! Reads pages of the list, and the operators' overview, one after the other, and notes how long each took.

use std::collections::BTreeMap;
use std::time::Instant;

use serde_json::Value;
use support::process::PATIENCE;
use support::service::TOKEN;

use super::Known;
use crate::service::Outbound;

/// Workspaces on a page.
const PAGE: usize = 100;

/// A page, and how many workspaces it has.
struct Page {
    name: &'static str,
    path: String,
    kind: PageKind,
}

enum PageKind {
    /// So many workspaces, and whether there is a next one.
    Json(usize, bool),
    Html,
}

/// Whoever reads.
pub(super) struct PageReader {
    client: reqwest::Client,
    base: String,
    /// The operator's session.
    cookie: String,
    pages: Vec<Page>,
    /// Milliseconds, by page.
    pub(super) took: BTreeMap<&'static str, Vec<f64>>,
}

impl PageReader {
    /// Signs in.
    pub(super) async fn start(outbound: &Outbound, known: &Known) -> Self {
        let redirect = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().no_proxy().redirect(redirect).timeout(PATIENCE).build();
        let client = client.expect("an HTTP client");
        let base = outbound.base().to_owned();
        let form = client.post(format!("{base}/operator/session"));
        let form = form.header("content-type", "application/x-www-form-urlencoded").body(format!("token={TOKEN}"));
        let answer = form.send().await.expect("an answer");
        let cookie = answer.headers().get("set-cookie").and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).expect("a session").to_owned();
        Self { client, base, cookie, pages: pages(known), took: BTreeMap::new() }
    }

    /// Reads every page once.
    pub(super) async fn round(&mut self) {
        for page in &self.pages {
            let began = Instant::now();
            let call = self.client.get(format!("{}{}", self.base, page.path));
            let call = match page.kind {
                PageKind::Json(..) => call.bearer_auth(TOKEN),
                PageKind::Html => call.header("accept", "text/html").header("cookie", &self.cookie),
            };
            let answer = call.send().await.and_then(reqwest::Response::error_for_status).expect("a page");
            let text = answer.text().await.expect("a page");
            self.took.entry(page.name).or_default().push(began.elapsed().as_secs_f64() * 1e3);
            page.check(&text);
        }
    }

    /// The median and the 99th percentile, by page.
    pub(super) fn times(&self) -> BTreeMap<&'static str, [f64; 2]> {
        let of = |(name, took): (&&'static str, &Vec<f64>)| {
            let mut sorted = took.clone();
            sorted.sort_by(f64::total_cmp);
            let rank = |part: f64| sorted[((sorted.len() as f64 * part).ceil() as usize).clamp(1, sorted.len()) - 1];
            (*name, [rank(0.5), rank(0.99)].map(|ms| (ms * 100.0).round() / 100.0))
        };
        self.took.iter().map(of).collect()
    }
}

impl Page {
    fn check(&self, text: &str) {
        match self.kind {
            PageKind::Html => {
                assert!(text.contains("id=\"listed\"") && !text.contains("Not known now"), "{}: {text}", self.path);
            }
            PageKind::Json(workspaces, more) => {
                let page: Value = serde_json::from_str(text).expect("a page as JSON");
                let listed = page["workspaces"].as_array().map(Vec::len);
                assert_eq!((listed, page["next"].is_string()), (Some(workspaces), more), "{}", self.path);
            }
        }
    }
}

/// What is read: wherever it begins, with every filter and where there is none.
fn pages(known: &Known) -> Vec<Page> {
    let page = |name, (status, prefix, after): (Option<&'static str>, &str, &str)| {
        let is_on = |(id, of): &&(String, &'static str)| {
            status.is_none_or(|status| status == *of) && id.starts_with(prefix) && id.as_str() > after
        };
        let count = known.sorted.iter().filter(is_on).take(PAGE + 1).count();
        let status = status.map(|status| format!("status={status}"));
        let prefix = (!prefix.is_empty()).then(|| format!("prefix={prefix}"));
        let after = (!after.is_empty()).then(|| format!("after={after}"));
        let query: Vec<String> = [status, prefix, after].into_iter().flatten().collect();
        let path = format!("/v1/workspaces?{}", query.join("&"));
        Page { name, path, kind: PageKind::Json(count.min(PAGE), count > PAGE) }
    };
    let id = |place: usize| known.sorted[place].0.as_str();
    let middle = id(known.sorted.len() / 2);
    let last = id(known.sorted.len().saturating_sub(PAGE + 1));
    let html = |name, path: &str| Page { name, path: path.to_owned(), kind: PageKind::Html };
    vec![
        page("first", (None, "", "")),
        page("middle", (None, "", middle)),
        page("last", (None, "", last)),
        page("not_configured", (Some("not_configured"), "", "")),
        page("enabled", (Some("enabled"), "", middle)),
        page("disabled", (Some("disabled"), "", "")),
        page("disabled_behind_the_middle", (Some("disabled"), "", middle)),
        page("disabled_by_errors", (Some("disabled_by_errors"), "", "")),
        page("prefix", (None, &middle[..middle.len() - 1], "")),
        page("prefix_and_disabled", (Some("disabled"), "w9", "")),
        page("none", (None, "x", "")),
        html("overview", "/"),
        html("overview_of_disabled_by_errors", "/?status=disabled_by_errors"),
    ]
}
