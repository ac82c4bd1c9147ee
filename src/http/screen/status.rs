//! The webhook's status in one sentence, what was skipped while it was off, and what became of the mail.

use std::time::Duration;

use maud::{Markup, html};

use super::model::Model;
use super::parts::{self, Tone, count};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::MailState;
use crate::workspace::policy::Counting;
use crate::workspace::state::OutcomeWord;
use crate::workspace::view::{MailView, WaitingView, WebhookView};

/// The panel on top.
pub(super) fn panel(model: &Model<'_>) -> Markup {
    let webhook = model.webhook;
    let (tone, text) = summary(webhook, model.policy.counting);
    html! {
        section #status .panel .status .(tone.class()) aria-label="Status" {
            // Only this line is read out when it changes.
            p .sentence role="status" { (tone.icon()) span { (text) } }
            @if let (WebhookStatus::Disabled | WebhookStatus::DisabledByErrors, Some(at)) = (webhook.status, webhook.disabled_at) {
                p { "Off since " (parts::time(at)) "." }
            }
            @if let Some(waiting) = &webhook.waiting { (waits(waiting, model)) }
            @if webhook.skipped.count > 0 { (skipped(webhook)) }
            @if let Some(mail) = webhook.mail.as_ref().filter(|mail| is_of_interest(mail, webhook.status)) {
                (mail_line(mail, webhook))
            }
            @if let Some(clock) = &model.clock { p #clock .mail .(Tone::Warning.class()) { (Tone::Warning.icon()) span { (clock) "." } } }
        }
    }
}

/// The status in one sentence or two.
pub(super) fn summary(webhook: &WebhookView, counting: Counting) -> (Tone, String) {
    let errors = webhook.consecutive_errors;
    let streak = match counting {
        Counting::Consecutive => "in a row",
        Counting::SinceSaved => "since the last save",
    };
    match webhook.status {
        WebhookStatus::NotConfigured => (Tone::Off, "Not configured. Enter a webhook URL and save it.".to_owned()),
        WebhookStatus::Enabled if errors > 0 => {
            let off_at = webhook.error_limit.saturating_add(1);
            let errors = count(errors.into(), "error");
            let on = if failed_test(webhook) { "On; the last test failed." } else { "Delivering." };
            (Tone::Warning, format!("{on} {errors} {streak}; at {off_at} it is switched off."))
        }
        WebhookStatus::Enabled if failed_test(webhook) => (Tone::Warning, "On; the last test failed.".to_owned()),
        WebhookStatus::Enabled if webhook.last_attempt.is_none() => {
            let any_came = webhook.skipped.count > 0 || webhook.waiting.is_some();
            let nothing = if any_came { "Nothing was sent yet." } else { "No message has come yet." };
            (Tone::Good, format!("Delivering. {nothing}"))
        }
        WebhookStatus::Enabled => (Tone::Good, "Delivering.".to_owned()),
        WebhookStatus::Disabled => (Tone::Off, "Switched off. New messages are counted, not sent.".to_owned()),
        WebhookStatus::DisabledByErrors => {
            let errors = count(errors.into(), "error");
            let text = format!(
                "Switched off after {errors} {streak}. Correct the URL or what answers there, then save: \
                 that switches it on again."
            );
            (Tone::Bad, text)
        }
    }
}

/// Whether the last thing that was sent is what a person asked for, and failed.
fn failed_test(webhook: &WebhookView) -> bool {
    webhook.last_attempt.as_ref().is_some_and(|last| last.trigger.is_asked_for() && last.outcome == OutcomeWord::Failed)
}

/// What waits for its turn, and why.
fn waits(waiting: &WaitingView, model: &Model<'_>) -> Markup {
    let since = model.now.since(waiting.oldest_at);
    let durations = model.attempts.iter().take(ATTEMPTS_JUDGED).map(|(_, attempt)| attempt.duration_ms);
    let mut durations: Vec<u32> = durations.collect();
    durations.sort_unstable();
    let takes = durations.get(durations.len() / 2).copied().filter(|median| *median >= SLOW_MS);
    html! {
        p #waiting {
            @if waiting.at_least { "At least " }
            strong { (count(waiting.count, "message")) }
            @if waiting.count == 1 { " waits, for " } @else { " wait, the oldest for " }
            (parts::span(since))
            @if let Some(takes) = takes {
                ": one chat is sent one at a time, and your URL takes " (parts::span(Duration::from_millis(takes.into())))
            }
            "."
        }
    }
}

/// A URL that takes so many milliseconds is named as the reason why messages wait.
const SLOW_MS: u32 = 500;
/// Attempts that this is told by: the median of the last ones.
const ATTEMPTS_JUDGED: usize = 20;

fn skipped(webhook: &WebhookView) -> Markup {
    let skipped = &webhook.skipped;
    let when = match webhook.status {
        WebhookStatus::NotConfigured => "without a webhook URL",
        // An operator may discard what waits, too.
        WebhookStatus::Enabled => "while the webhook was last off, or discarded by an operator since",
        WebhookStatus::Disabled | WebhookStatus::DisabledByErrors => "since the webhook is off",
    };
    html! {
        p #skipped {
            strong { (count(skipped.count, "message")) } " skipped " (when)
            @if let (Some(first), Some(last)) = (skipped.first_at, skipped.last_at) {
                @if skipped.count == 1 { ", at " (parts::time(first)) }
                @else { ": the first at " (parts::time(first)) ", the last at " (parts::time(last)) }
            }
            ". What was skipped is never sent."
        }
    }
}

/// Whether the mail of a switch-off tells its owner anything: whoever saved since knows of it, and need only know what was not
/// delivered.
fn is_of_interest(mail: &MailView, status: WebhookStatus) -> bool {
    let is_over =
        matches!(mail.state, MailState::Sent | MailState::Limited | MailState::NoAddress | MailState::NoMailServer);
    status == WebhookStatus::DisabledByErrors || !is_over
}

fn mail_line(mail: &MailView, webhook: &WebhookView) -> Markup {
    // A save ends the switch-off, and may name another owner than the one that the mail was for.
    let owner = webhook.owner_email.as_deref().filter(|_| webhook.status == WebhookStatus::DisabledByErrors);
    let (tone, text) = mail_summary(mail, owner);
    html! {
        p #mail .mail .(tone.class()) {
            (tone.icon())
            span {
                (text)
                @if let Some(detail) = &mail.detail { " " (detail) "." }
                " (" (parts::time(mail.at)) ")"
            }
        }
    }
}

pub(super) fn mail_summary(mail: &MailView, owner: Option<&str>) -> (Tone, String) {
    let to = owner.unwrap_or("the owner");
    match mail.state {
        MailState::Owed if mail.detail.is_some() => {
            (Tone::Warning, format!("The mail to {to} could not be handed over yet; it is tried for 24 hours."))
        }
        MailState::Owed => (Tone::Off, format!("A mail to {to} is on its way.")),
        MailState::Sent => (Tone::Good, format!("A mail about the switch-off was sent to {to}.")),
        MailState::GivenUp => (Tone::Bad, format!("The mail to {to} could not be delivered; check the owner email.")),
        MailState::Dropped => (Tone::Off, "The mail about the switch-off was dropped: a save came first.".to_owned()),
        MailState::Limited => (Tone::Warning, "No mail was sent: there were ten in 24 hours already.".to_owned()),
        MailState::NoAddress => {
            (Tone::Warning, "Nobody was told of the switch-off: there is no owner email.".to_owned())
        }
        MailState::NoMailServer => {
            (Tone::Warning, "Nobody was told of the switch-off: this service has no mail server.".to_owned())
        }
    }
}
