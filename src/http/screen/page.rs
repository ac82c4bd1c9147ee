//! The page as a pure function of what is known.

use maud::{Markup, html};

use super::frame::document;
use super::model::Model;
use super::notice::Notice;
use super::parts::Tone;
use super::{attempts, changes, secret, status, webhook};

/// The whole page.
pub(super) fn page(model: &Model<'_>) -> String {
    let title = title(model);
    let body = html! {
        header .top {
            div {
                h1 { "Integration / Outbound" }
                p .id { (model.webhook.workspace) }
                @if model.is_operators { p { a href={ (model.root) "/" } { "All workspaces" } } }
            }
            form .session method="post" action={ (model.base) "/session/end" } {
                (model.csrf_field())
                span .hint { "Signed in as " (model.who) }
                button .quiet { "Sign out" }
            }
        }
        main #main data-live={ (model.base) "/live" } data-latest={ (model.base) "/latest?" (model.filter.query()) } {
            (notice(model))
            (status::panel(model))
            div .columns {
                (webhook::section(model))
                (attempts::section(model))
                (secret::section(model))
                (changes::section(model))
            }
        }
    };
    document(model.root, &title, &body)
}

/// What happened comes first: it is what a list of tabs shows.
fn title(model: &Model<'_>) -> String {
    let workspace = &model.webhook.workspace;
    let notice = model.notice.as_ref().map(|notice| notice.text.as_str()).unwrap_or_default();
    let sentence = notice.split_inclusive(['.', ':']).next().unwrap_or_default().trim_end_matches(['.', ':']);
    let cut: String = sentence.chars().take(TITLE_SENTENCE_MAX).collect();
    match cut.is_empty() {
        true => format!("{workspace} · Integration / Outbound"),
        false => format!("{cut} · {workspace} · Integration / Outbound"),
    }
}

/// Characters of what happened that a title shows at most.
const TITLE_SENTENCE_MAX: usize = 60;

/// What is newer than the attempt with the seq `after`: the status, the form, the plot, the changes and the new attempts. The
/// script puts them in their places.
pub(super) fn latest(model: &Model<'_>, after: u64) -> Markup {
    let newer = model.attempts.iter().filter(|(seq, attempt)| *seq > after && model.filter.shows(attempt));
    html! {
        (status::panel(model))
        (webhook::section(model))
        (attempts::downloads(model))
        (attempts::overview(model.attempts))
        (changes::section(model))
        ol { @for (seq, attempt) in newer { (attempts::row(model, *seq, attempt, false)) } }
    }
}

/// What came of the last form, on top: read out when the page is there.
fn notice(model: &Model<'_>) -> Markup {
    html! {
        @if let Some(Notice { tone, text, attempt, .. }) = &model.notice {
            div #notice .panel .notice .(tone.class()) role=(if *tone == Tone::Bad { "alert" } else { "status" }) {
                (tone.icon())
                p {
                    (text)
                    @if let Some(seq) = attempt { " " a href={ "#attempt-" (seq) } { "See request and answer" } }
                }
            }
        }
    }
}
