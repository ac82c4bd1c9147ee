//! The operators' screen as a pure function of what is known.

use maud::{Markup, html};

use super::overview::Overview;
use super::{aside, list, minutes, statuses, work};
use crate::http::auth::caller::ADMIN;
use crate::http::screen::frame::document;
use crate::http::screen::parts::{Tone, count};
use crate::workspace::wording::{sentence, with_full_stop};

/// The whole page.
pub(super) fn page(overview: &Overview<'_>) -> String {
    let body = html! {
        header .top {
            div {
                h1 { "Outbound" }
                p .id { "All workspaces" }
            }
            form .session method="post" action={ (overview.root) "/operator/session/end" } {
                (overview.csrf_field())
                span #live .hint hidden {}
                span .hint { "Signed in as " (ADMIN) }
                button .quiet { "Sign out" }
            }
        }
        main #main data-overview="yes" {
            @if let Some((tone, text)) = &overview.notice {
                div #notice .panel .notice .(tone.class()) role="status" { (tone.icon()) p { (text) } }
            }
            (trouble(overview))
            (statuses::section(overview))
            div .overview {
                (minutes::section(overview))
                div .aside {
                    (work::owed(overview))
                    (aside::rejected(overview))
                    (aside::mails(overview))
                    (work::nodes(overview))
                }
                (list::section(overview))
            }
        }
    };
    document(overview.root, &title(overview), &body)
}

/// What is wrong comes first: it is what a list of tabs shows.
fn title(overview: &Overview<'_>) -> String {
    match (overview.readiness.ready, troubles(overview).len()) {
        (true, 0) => "Outbound".to_owned(),
        (_, n) => format!("{} · Outbound", count(n.max(1) as u64, "trouble")),
    }
}

/// Our own trouble in plain words: this node's, then the others'.
fn troubles(overview: &Overview<'_>) -> Vec<String> {
    let own = overview.readiness.reasons.iter().map(|reason| sentence(reason));
    // An address has no capital.
    let others = overview.all.troubles.iter().map(|trouble| with_full_stop(trouble));
    let mut troubles: Vec<String> = own.chain(others).collect();
    let damaged = overview.readiness.unavailable_workspaces.saturating_add(overview.all.unavailable_workspaces);
    if damaged > 0 {
        let cannot = if damaged == 1 { "cannot be loaded and waits" } else { "cannot be loaded and wait" };
        troubles.push(format!(
            "{} {cannot}, the others go on; the log names them, and outbound repair keeps what can be read.",
            count(damaged, "workspace")
        ));
    }
    troubles
}

fn trouble(overview: &Overview<'_>) -> Markup {
    let troubles = troubles(overview);
    let (tone, sentence) = match (overview.readiness.ready, troubles.len()) {
        (true, 0) if overview.all.others > 0 => {
            (Tone::Good, format!("{} do their work and know of no trouble.", count(overview.all.others + 1, "node")))
        }
        (true, 0) => (Tone::Good, "This node does its work and knows of no trouble.".to_owned()),
        (true, n) => (Tone::Warning, format!("This node does its work; {} to look at.", count(n as u64, "thing"))),
        (false, _) => (Tone::Bad, "This node does not do its work.".to_owned()),
    };
    html! {
        section #trouble .panel .status .(tone.class()) aria-label="Trouble" {
            // Only this line is read out when it changes.
            p .sentence role="status" { (tone.icon()) span { (sentence) } }
            @if !troubles.is_empty() {
                ul .reasons { @for trouble in &troubles { li { (trouble) } } }
            }
        }
    }
}
