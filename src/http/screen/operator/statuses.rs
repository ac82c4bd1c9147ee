//! How many workspaces have which status; each number leads to the list of them.

use maud::{Markup, html};

use super::asked::ListChoice;
use super::overview::Overview;
use crate::http::screen::parts::{Tone, count, grouped, unknown};
use crate::workspace::configuration::WebhookStatus;

pub(super) fn section(overview: &Overview<'_>) -> Markup {
    html! {
        section #statuses .panel aria-labelledby="statuses-title" {
            h2 #statuses-title { "Workspaces by status" }
            @match &overview.counts {
                Err(why) => (unknown(why)),
                Ok(counts) => {
                    ul .tiles {
                        @for (status, n) in WebhookStatus::ALL.into_iter().zip(*counts) {
                            @let (tone, words) = words(status);
                            // A colour says only what is there.
                            @let tone = if n == 0 { Tone::Off } else { tone };
                            li .(tone.class()) {
                                a href=(list_of(status, overview.root)) {
                                    span .number { (grouped(n)) }
                                    span .what { (tone.icon()) " " (words) }
                                }
                            }
                        }
                    }
                    p .hint { (count(counts.iter().sum(), "workspace")) " in all. " a href="#workspaces" { "Find one" } }
                }
            }
        }
    }
}

fn list_of(status: WebhookStatus, root: &str) -> String {
    ListChoice { status: status.as_str().to_owned(), ..ListChoice::default() }.address(root, None)
}

/// A status for people.
pub(super) fn words(status: WebhookStatus) -> (Tone, &'static str) {
    match status {
        WebhookStatus::NotConfigured => (Tone::Off, "not configured"),
        WebhookStatus::Enabled => (Tone::Good, "on"),
        WebhookStatus::Disabled => (Tone::Off, "switched off"),
        WebhookStatus::DisabledByErrors => (Tone::Bad, "switched off by errors"),
    }
}
