//! What came to nothing: entries that were set aside, and mails that nobody got.

use maud::{Markup, html};

use super::asked::{OLDEST, REASON, entries};
use super::overview::Overview;
use super::summaries::{RejectedKind, RejectedSummary, UnsentMails};
use crate::config::REJECTED_KINDS_MAX;
use crate::http::screen::parts::{Tone, count, grouped, time, unknown};
use crate::http::screen::status::mail_summary;
use crate::workspace::time::Time;

/// What was set aside, by reason.
pub(super) fn rejected(overview: &Overview<'_>) -> Markup {
    html! {
        section #rejected .panel aria-labelledby="rejected-title" {
            h2 #rejected-title { "Rejected" }
            @match &overview.rejected {
                Err(why) => (unknown(why)),
                Ok(summary) if summary.total == 0 => p { "Nothing is set aside." },
                Ok(summary) => (by_reason(summary, overview)),
            }
        }
    }
}

fn by_reason(summary: &RejectedSummary, overview: &Overview<'_>) -> Markup {
    let hidden = summary.kinds.len().saturating_sub(REJECTED_KINDS_MAX);
    html! {
        p {
            strong { (entries(summary.total)) }
            @if summary.total == 1 { " is" } @else { " are" } " set aside: no valid message, so it is not sent. Mend the producer, then requeue or discard."
        }
        @if summary.looked_at < summary.total {
            p .hint { "Reasons of the oldest " (grouped(summary.looked_at)) " of them." }
        }
        ul .rows { @for kind in summary.kinds.iter().take(REJECTED_KINDS_MAX) { (reason(kind, summary, overview)) } }
        @if hidden > 0 { p .hint { "And " (count(hidden as u64, "other reason")) "." } }
    }
}

fn reason(kind: &RejectedKind, summary: &RejectedSummary, overview: &Overview<'_>) -> Markup {
    let at_least = summary.looked_at < summary.total;
    let number = format!("{}{}", if at_least { "at least " } else { "" }, entries(kind.count));
    let form = |what: &str, button: Markup| {
        html! {
            form method="post" action={ (overview.root) "/operator/rejected/" (what) } {
                (overview.csrf_field())
                input type="hidden" name=(REASON) value=(kind.kind);
                input type="hidden" name=(OLDEST) value=(kind.oldest.place);
                (button)
            }
        }
    };
    let oldest = &kind.oldest;
    html! {
        li .reason {
            strong .id { (kind.kind) }
            span .facts {
                span { (number) }
                span {
                    "the oldest "
                    @match oldest.at.parse::<Time>() { Ok(at) => (time(at)), Err(_) => (oldest.at) }
                }
                @if let Some(workspace) = &oldest.workspace { span .id { "of " (workspace) } }
                span .id { "as " (oldest.place) }
            }
            @if oldest.reason != kind.kind { span .message .id { (oldest.reason) } }
            div .actions {
                (form("requeue", html! { button .quiet data-busy="Requeueing…" { "Requeue" } }))
                details .confirm {
                    summary .button .quiet { "Discard…" }
                    p { "Deletes " (number) " for good: " em .id { (kind.kind) } "." }
                    (form("discard", html! { button .danger data-busy="Discarding…" { "Discard for good" } }))
                }
            }
        }
    }
}

/// Mails that nobody got.
pub(super) fn mails(overview: &Overview<'_>) -> Markup {
    html! {
        section #mails .panel aria-labelledby="mails-title" {
            h2 #mails-title { "Mails that nobody got" }
            @match &overview.mails {
                Err(why) => (unknown(why)),
                Ok(mails) if mails.counts.is_empty() => {
                    p {
                        @if mails.is_all_known() { "None: every owner of a webhook that errors switched off was told." }
                        @else { "None of the " (count(mails.looked_at, "workspace")) " that were looked at." }
                    }
                    (not_told(mails, overview))
                },
                Ok(mails) => {
                    p {
                        @if mails.more || mails.unread > 0 { "At least " }
                        @for (n, (words, of)) in mails.counts.iter().enumerate() {
                            @if n > 0 { "; " } strong { (grouped(*of)) } " " (words)
                        }
                        "."
                    }
                    (not_told(mails, overview))
                    ul .rows {
                        @for unsent in &mails.newest {
                            @let (tone, text) = mail_summary(&unsent.mail, unsent.owner.as_deref());
                            li {
                                a .id href={ (overview.root) "/workspaces/" (unsent.workspace) "/outbound" } { (unsent.workspace) }
                                span .facts { span { (time(unsent.mail.at)) } }
                                span .message .id .(tone.class()) {
                                    @if tone != Tone::Off { (tone.icon()) " " }
                                    (text)
                                    @if let Some(detail) = &unsent.mail.detail { " " (detail) "." }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

impl UnsentMails {
    fn is_all_known(&self) -> bool {
        !self.more && self.unread == 0 && self.on_their_way == 0
    }
}

/// Of which workspaces nothing was told, and why.
fn not_told(mails: &UnsentMails, overview: &Overview<'_>) -> Markup {
    // In the order of `WebhookStatus::ALL`.
    let all = overview.counts.as_ref().map_or(0, |[.., by_errors]| *by_errors);
    html! {
        @if mails.on_their_way > 0 {
            p .hint { (count(mails.on_their_way, "mail")) @if mails.on_their_way == 1 { " is on its way." } @else { " are on their way." } }
        }
        @if mails.unread > 0 {
            p .unknown { (Tone::Warning.icon()) " Of " (count(mails.unread, "workspace")) " it could not be read what became of the mail." }
        }
        @if mails.more {
            p .unknown {
                (Tone::Warning.icon()) " Looked at the first " (grouped(mails.looked_at))
                @if all > mails.looked_at { " of " (grouped(all)) }
                " workspaces that errors switched off, by id."
            }
        }
    }
}
