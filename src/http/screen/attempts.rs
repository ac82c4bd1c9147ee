//! "Last sending attempts": the plot, and each attempt with its request, its response and its cause.

use maud::{Markup, html};

use super::model::Model;
use super::parts::Icon;
use super::parts::{duration, icon, time};
use super::{json, plot};
use crate::workspace::event::{Attempt, Header, Response, Trigger};
use crate::workspace::explain::explain;

/// Bytes of a body that the page shows at most: a hundred of them are still a page. The log has all of it.
const BODY_SHOWN_MAX: usize = 8 * 1024;
/// Characters of a value in a line, such as a message's id, that are shown at most.
const LINE_SHOWN_MAX: usize = 120;

pub(super) fn section(model: &Model<'_>) -> Markup {
    let open = model.notice.as_ref().and_then(|notice| notice.attempt);
    html! {
        section #attempts .panel aria-labelledby="attempts-title" {
            div .title {
                h2 #attempts-title { "Last sending attempts" }
                p #live .hint hidden { }
                a .button href={ (model.base) "/log" } download { "Download log" }
            }
            (overview(model.attempts))
            ol #attempt-list {
                @for (seq, attempt) in model.attempts { (row(*seq, attempt, open == Some(*seq))) }
            }
        }
    }
}

/// The plot and what it says in words.
pub(super) fn overview(attempts: &[(u64, Attempt)]) -> Markup {
    html! {
        div #overview {
            @if attempts.is_empty() {
                p .empty { "Nothing was sent yet. Each new message appears here as soon as it was sent; the last 100 are kept." }
            } @else {
                (plot::figure(attempts))
            }
        }
    }
}

/// One attempt.
pub(super) fn row(seq: u64, attempt: &Attempt, open: bool) -> Markup {
    let failed = attempt.error.is_some();
    let response = attempt.response.as_deref();
    let cause = attempt.error.as_ref().map(|error| explain(error, &attempt.request.url, response));
    html! {
        li id={ "attempt-" (seq) } data-seq=(seq) {
            details .attempt .failed[failed] open[open] {
                summary {
                    span .outcome {
                        @if failed { (icon(Icon::Cross)) "Failed" } @else { (icon(Icon::Check)) "Delivered" }
                    }
                    @if attempt.trigger == Trigger::Test { span .tag { "test" } }
                    span .facts {
                        (time(attempt.at))
                        @if let Some(response) = response { span { "HTTP " (response.status) } }
                        span { (duration(attempt.duration_ms)) }
                    }
                    @if let Some(cause) = &cause { span .cause { (cause) } }
                    @else { span .message .id { (shown(&attempt.message_id)) } }
                }
                (exchange(attempt))
            }
        }
    }
}

/// Request and response.
fn exchange(attempt: &Attempt) -> Markup {
    let request = &attempt.request;
    html! {
        div .exchange {
            h3 { "Request" }
            p .line { "POST " (request.url) }
            (headers(&request.headers))
            @match &request.message {
                Some(message) => (body(&String::from_utf8_lossy(&message.body()))),
                None => p .hint { "The store was full, so neither this body nor what came back was kept." },
            }
            h3 { "Response" }
            @match &attempt.response {
                Some(response) => (answer(response)),
                None => p .hint { "None came." },
            }
            p .hint { "message_id " span .id { (shown(&attempt.message_id)) } ", webhook-id " span .id { (attempt.webhook_id) } }
        }
    }
}

fn answer(response: &Response) -> Markup {
    html! {
        p .line { "HTTP " (response.status) }
        (headers(&response.headers))
        @for line in &response.malformed { p .hint { "No header, left out: " (shown(line)) } }
        @if response.body.is_empty() { p .hint { "Without a body." } } @else { (body(&response.body)) }
        @if response.truncated { p .hint { "The body was longer, or broke off; this is what is kept." } }
    }
}

fn headers(headers: &[Header]) -> Markup {
    html! {
        @if !headers.is_empty() {
            dl .headers {
                @for (name, value) in headers { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

/// A body: laid out when it is JSON, else as it is. It scrolls, so it can be reached by keyboard.
fn body(text: &str) -> Markup {
    let is_json = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
    let (shown, cut) = if is_json { json::layout(text, BODY_SHOWN_MAX) } else { cut(text, BODY_SHOWN_MAX) };
    html! {
        pre tabindex="0" role="region" aria-label="Body" { code { (shown) } }
        @if cut { p .hint { "Cut here; the downloaded log has the whole of it." } }
    }
}

fn shown(text: &str) -> String {
    match text.char_indices().nth(LINE_SHOWN_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn cut(text: &str, bytes: usize) -> (String, bool) {
    let end = text.floor_char_boundary(bytes);
    (text[..end].to_owned(), end < text.len())
}
