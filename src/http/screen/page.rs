//! The page as a pure function of what is known.

use maud::{Markup, html};

use super::frame::document;
use super::model::{Model, Notice};
use super::parts::Tone;
use super::{attempts, changes, secret, status, webhook};

/// The whole page.
pub(super) fn page(model: &Model<'_>) -> String {
    let title = format!("{} · Integration / Outbound", model.webhook.workspace);
    let body = html! {
        header .top {
            div {
                h1 { "Integration / Outbound" }
                p .id { (model.webhook.workspace) }
            }
            form .session method="post" action={ (model.base) "/session/end" } {
                (model.csrf_field())
                span .hint { "Signed in as " (model.who) }
                button .quiet { "Sign out" }
            }
        }
        main #main data-live={ (model.base) "/live" } data-latest={ (model.base) "/latest" } {
            (notice(model))
            (status::panel(model))
            div .columns {
                (webhook::section(model))
                (attempts::section(model))
                (secret::section(model))
                (changes::section(model.changes))
            }
        }
    };
    document(model.root, &title, &body)
}

/// What is newer than the attempt with the seq `after`: the status, the plot and the new attempts. The
/// script puts them in their places.
pub(super) fn latest(model: &Model<'_>, after: u64) -> Markup {
    let newer: Vec<_> = model.attempts.iter().filter(|(seq, _)| *seq > after).collect();
    html! {
        (status::panel(model))
        (webhook::enabled_hint(model.webhook.status))
        (attempts::overview(model.attempts))
        ol { @for (seq, attempt) in newer { (attempts::row(*seq, attempt, false)) } }
    }
}

/// What came of the last form, on top: read out when the page is there.
fn notice(model: &Model<'_>) -> Markup {
    html! {
        @if let Some(Notice { tone, text, attempt }) = &model.notice {
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
