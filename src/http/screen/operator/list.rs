//! The list of workspaces, a page at a time: by the beginning of their ids and by status.

use maud::{Markup, html};

use super::asked::{ListChoice, PREFIX, STATUS};
use super::overview::Overview;
use super::statuses::words;
use crate::http::api::workspaces::{WorkspaceLine, WorkspaceList};
use crate::http::screen::parts::{Tone, count, time, unknown};
use crate::message::WORKSPACE_ID_MAX;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::state::OutcomeWord;

pub(super) fn section(overview: &Overview<'_>) -> Markup {
    let (root, choice) = (overview.root, overview.choice);
    html! {
        section #workspaces .panel aria-labelledby="workspaces-title" {
            h2 #workspaces-title { "Workspaces" }
            form .choice method="get" action={ (root) "/#workspaces" } role="search" {
                div .wide {
                    label for="prefix" { "Id begins with" }
                    input #prefix name=(PREFIX) type="search" value=(choice.prefix) autocomplete="off" autocapitalize="none" spellcheck="false";
                }
                div {
                    label for="status-choice" { "Status" }
                    select #status-choice name=(STATUS) {
                        option value="" selected[choice.status.is_empty()] { "all" }
                        @for status in WebhookStatus::ALL {
                            option value=(status.as_str()) selected[choice.status == status.as_str()] { (words(status).1) }
                        }
                    }
                }
                button { "Show" }
            }
            div #listed {
                @match &overview.list {
                    None => (wrong(overview)),
                    Some(Err(why)) => (unknown(why)),
                    Some(Ok(list)) => (rows(list, overview)),
                }
            }
        }
    }
}

/// What was typed, or stands in the address, chooses nothing.
fn wrong(overview: &Overview<'_>) -> Markup {
    let beginning = ListChoice { prefix: overview.choice.prefix.clone(), ..ListChoice::default() };
    html! {
        p .error role="alert" {
            @if beginning.query().read().is_err() {
                "No workspace's id begins so. Ids are made of at most " (WORKSPACE_ID_MAX) " of A–Z a–z 0–9 _ . : -"
            } @else { "There is no such page of the list." }
        }
        p { a href={ (overview.root) "/#workspaces" } { "Show all" } }
    }
}

fn rows(list: &WorkspaceList, overview: &Overview<'_>) -> Markup {
    let (root, choice) = (overview.root, overview.choice);
    html! {
        @if list.workspaces.is_empty() {
            p .empty {
                @if choice.is_everything() {
                    "No workspace yet. One is listed from its first message or its first save on."
                } @else { "No workspace is like that." }
            }
        } @else {
            ul .rows { @for line in &list.workspaces { (row(line, root)) } }
        }
        @if !choice.is_everything() || list.next.is_some() {
            nav .actions aria-label="Pages" {
                @if !choice.after.is_empty() { a .button .quiet href=(choice.address(root, None)) { "First page" } }
                @if let Some(next) = &list.next {
                    a .button .quiet href=(choice.address(root, Some(next.as_str()))) rel="next" { "Next page" }
                }
                @if !choice.prefix.is_empty() || !choice.status.is_empty() { a .button .quiet href={ (root) "/#workspaces" } { "Show all" } }
            }
        }
    }
}

fn row(line: &WorkspaceLine, root: &str) -> Markup {
    let (tone, status) = line.status.map_or((Tone::Warning, "cannot be read"), words);
    let errors = line.consecutive_errors.filter(|errors| *errors > 0);
    let skipped = line.skipped.as_ref().filter(|skipped| skipped.count > 0);
    html! {
        li {
            a .id href={ (root) "/workspaces/" (line.workspace) "/outbound" } { (line.workspace) }
            span .state .(tone.class()) { (tone.icon()) " " (status) }
            span .facts {
                @if let Some(host) = &line.host { span .id { (host) } }
                @if let Some(errors) = errors { span { (count(errors.into(), "error")) " in a row" } }
                @if let Some(skipped) = skipped { span { (count(skipped.count, "message")) " skipped" } }
                @match &line.last_attempt {
                    Some(last) => span {
                        (if last.outcome == OutcomeWord::Delivered { "delivered " } else { "failed " }) (time(last.at))
                    },
                    None => span { "nothing sent yet" },
                }
            }
        }
    }
}
