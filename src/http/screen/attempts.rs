//! "Last sending attempts": the plot, and each attempt with its request, its response and its cause.

use std::time::Duration;

use maud::{Markup, html};

use super::filter::{AttemptKind, KIND, TEXT};
use super::model::Model;
use super::parts::{Icon, duration, icon, span, time};
use super::{json, plot};
use crate::workspace::event::{Attempt, Header, Response, Trigger};
use crate::workspace::explain::explain;

/// Bytes of a body that the page shows at most: a hundred of them are still a page. The log has all of it.
const BODY_SHOWN_MAX: usize = 8 * 1024;
/// Characters of a value in a line, such as a message's id, that are shown at most.
const LINE_SHOWN_MAX: usize = 120;

pub(super) fn section(model: &Model<'_>) -> Markup {
    let open = model.notice.as_ref().and_then(|notice| notice.attempt);
    // Collected, since a search reads every message.
    let listed: Vec<_> = model.attempts.iter().filter(|(_, attempt)| model.filter.shows(attempt)).collect();
    html! {
        section #attempts .panel aria-labelledby="attempts-title" {
            div .title {
                h2 #attempts-title { "Last sending attempts" }
                p #live .hint hidden { }
                (downloads(model))
            }
            (overview(model.attempts))
            (choice(model))
            p #news .news hidden { button .quiet type="button" { "Show new ones" } }
            ol #attempt-list {
                @for (seq, attempt) in &listed {
                    (row(model, *seq, attempt, open == Some(*seq)))
                }
            }
            p #none .empty hidden[model.filter.is_all() || !listed.is_empty()] {
                "None of the last attempts is one of these."
            }
        }
    }
}

/// The log as a file; of those that failed where there are any.
pub(super) fn downloads(model: &Model<'_>) -> Markup {
    html! {
        div #downloads {
            a .button href={ (model.base) "/log" } download { "Download log" }
            @if model.attempts.iter().any(|(_, attempt)| attempt.error.is_some()) {
                a .button href={ (model.base) "/log?" (KIND) "=" (AttemptKind::Failed.word()) } download { "Download failed ones" }
            }
        }
    }
}

/// Which attempts are listed.
fn choice(model: &Model<'_>) -> Markup {
    let filter = model.filter;
    html! {
        form .choice hidden[model.attempts.is_empty() && filter.is_all()] method="get" action={ (model.base) "#attempts" } role="search" aria-label="Attempts" {
            div {
                label for=(KIND) { "Show" }
                select #(KIND) name=(KIND) {
                    @for kind in AttemptKind::EVERY {
                        option value=(kind.word()) selected[filter.kind == kind] { (kind.word()) }
                    }
                }
            }
            div .wide {
                label for=(TEXT) { "Message id, phone or text" }
                input #(TEXT) name=(TEXT) type="search" value=(filter.text) autocomplete="off" spellcheck="false";
            }
            button { "Search" }
            @if !filter.is_all() { a .button href={ (model.base) "#attempts" } { "Show all" } }
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
pub(super) fn row(model: &Model<'_>, seq: u64, attempt: &Attempt, open: bool) -> Markup {
    let failed = attempt.error.is_some();
    let response = attempt.response.as_deref();
    let waited = Duration::from_millis(attempt.waited_ms());
    let cause = attempt.error.as_ref().map(|error| explain(error, &attempt.request.url, response));
    html! {
        li id={ "attempt-" (seq) } data-seq=(seq) {
            details .attempt .failed[failed] open[open] {
                summary {
                    span .outcome {
                        @if failed { (icon(Icon::Cross)) "Failed" } @else { (icon(Icon::Check)) "Delivered" }
                    }
                    @match attempt.trigger {
                        Trigger::Message => {},
                        Trigger::Test => span .tag { "test" },
                        Trigger::Again => span .tag { "sent again" },
                    }
                    span .facts {
                        (time(attempt.at))
                        @if let Some(response) = response { span { "HTTP " (response.status) } }
                        span { (duration(attempt.duration_ms)) }
                        @if waited >= WAITED_SHOWN { span { "waited " (span(waited)) } }
                    }
                    span .message .id { (shown(&attempt.message_id)) }
                    @if let Some(cause) = &cause { span .cause { (cause) } }
                }
                (exchange(model, seq, attempt))
            }
        }
    }
}

/// What waited for less waited for nothing that anybody notices.
const WAITED_SHOWN: Duration = Duration::from_secs(1);

/// Request and response, and what can be done with them.
fn exchange(model: &Model<'_>, seq: u64, attempt: &Attempt) -> Markup {
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
            p .hint {
                "message_id " span .id { (shown(&attempt.message_id)) } ", webhook-id " span .id { (attempt.webhook_id) }
                @if attempt.trigger == Trigger::Message {
                    ", waited " (span(Duration::from_millis(attempt.waited_ms()))) " for its turn"
                }
            }
            @if request.message.is_some() {
                form .actions method="post" action={ (model.base) "/again/" (seq) } {
                    (model.csrf_field())
                    button data-busy="Sending…" { "Send again" }
                    a .button href={ (model.base) "/curl/" (seq) } data-curl { "Copy as curl" }
                }
            }
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
        pre tabindex="0" role="group" aria-label="Body" { code { (shown) } }
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
