//! The page as a pure function of what is known.

use maud::{Markup, html};

use super::super::form::CSRF_FIELD;
use super::form::Typed;
use super::frame::document;
use super::status::Tone;
use super::{attempts, changes, secret, status, webhook};
use crate::workspace::event::Attempt;
use crate::workspace::history::ConfigurationChange;
use crate::workspace::policy::Counting;
use crate::workspace::time::Time;
use crate::workspace::view::WebhookView;

/// What the page shows.
pub(super) struct Model<'a> {
    /// What stands before our paths in a browser.
    pub(super) root: &'a str,
    /// The screen's path in a browser.
    pub(super) base: &'a str,
    /// Stands in every form.
    pub(super) csrf: &'a str,
    /// Who looks.
    pub(super) who: &'a str,
    pub(super) webhook: &'a WebhookView,
    /// Which errors count.
    pub(super) counting: Counting,
    /// The last attempts with their seqs, newest first.
    pub(super) attempts: &'a [(u64, Attempt)],
    /// Newest first.
    pub(super) changes: &'a [ConfigurationChange],
    pub(super) secret: SecretShown<'a>,
    /// Until when the secret before the present one is signed with, too.
    pub(super) previous_until: Option<Time>,
    pub(super) typed: Typed,
    pub(super) notice: Option<Notice>,
}

/// How much of the signing secret is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SecretShown<'a> {
    /// There is none before the first save.
    None,
    Hidden,
    Shown(&'a str),
}

/// What came of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) tone: Tone,
    pub(super) text: String,
    /// The seq of the attempt that it is about.
    pub(super) attempt: Option<u64>,
}

impl Model<'_> {
    pub(super) fn csrf_field(&self) -> Markup {
        html! { input type="hidden" name=(CSRF_FIELD) value=(self.csrf); }
    }
}

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
