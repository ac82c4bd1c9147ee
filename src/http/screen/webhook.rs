//! The webhook's form: the seed's controls in the seed's words, and the owner's address.

use maud::{Markup, html};

use super::model::Model;
use super::typed::{EMAIL, ENABLED, EVENT, HEADERS, Typed, URL};
use crate::workspace::configuration::WebhookStatus;

pub(super) fn section(model: &Model<'_>) -> Markup {
    let Model { base, typed, .. } = model;
    html! {
        section #webhook .panel aria-labelledby="webhook-title" {
            h2 #webhook-title { "Webhook" }
            form method="post" action={ (base) "/save" } novalidate {
                (model.csrf_field())
                (enabled(typed, model.webhook.status))
                div .field {
                    label for=(EVENT) { "Event" }
                    select #(EVENT) name=(EVENT) aria-invalid=[typed.is_wrong(EVENT).then_some("true")]
                        aria-describedby={ (EVENT) "-error " (EVENT) "-hint" } {
                        option value="new_message" selected { "New message" }
                    }
                    (wrong(typed, EVENT))
                    p id={ (EVENT) "-hint" } .hint { "A message was sent or received in any connected WhatsApp account." }
                }
                (text(typed, Text {
                    name: URL,
                    kind: "url",
                    label: "Webhook URL",
                    value: &typed.url,
                    placeholder: "https://crm.example.com/hooks/whatsapp",
                    hint: "Every new message is sent there by POST. Leave it empty to clear the webhook.",
                }))
                (text(typed, Text {
                    name: EMAIL,
                    kind: "email",
                    label: "Owner email",
                    value: &typed.owner_email,
                    placeholder: "",
                    hint: "Gets a mail when too many errors in a row switch the webhook off.",
                }))
                (headers(typed))
                @for error in typed.unplaced() {
                    p .error role="alert" { (error.member) ": " (error.detail) }
                }
                div .actions {
                    button .primary data-busy="Saving…" { "Save" }
                    button formaction={ (base) "/test" } data-busy="Testing…" { "Save and test" }
                }
                p .hint { "“Save and test” saves, then sends the newest message of the workspace once more." }
            }
        }
    }
}

/// What ticking means, as the webhook stands.
pub(super) fn enabled_hint(status: WebhookStatus) -> Markup {
    let hint = match status {
        WebhookStatus::NotConfigured => "Saving a URL switches the webhook on, unless you untick this.",
        WebhookStatus::Enabled => "Untick it and save to switch the webhook off without removing it.",
        WebhookStatus::Disabled => "Tick it and save to switch the webhook on again.",
        WebhookStatus::DisabledByErrors => "It is off now. Saving switches it on again, unless you untick this.",
    };
    html! { p id={ (ENABLED) "-hint" } .hint { (hint) } }
}

fn enabled(typed: &Typed, status: WebhookStatus) -> Markup {
    html! {
        div .field .check {
            input #(ENABLED) type="checkbox" name=(ENABLED) value="yes" checked[typed.enabled]
                aria-invalid=[typed.is_wrong(ENABLED).then_some("true")] autofocus[typed.is_first_error(ENABLED)]
                aria-describedby={ (ENABLED) "-error " (ENABLED) "-hint" };
            label for=(ENABLED) { "Webhook enabled" }
            (wrong(typed, ENABLED))
            (enabled_hint(status))
        }
    }
}

/// A field of one line.
struct Text<'a> {
    name: &'static str,
    kind: &'static str,
    label: &'static str,
    value: &'a str,
    placeholder: &'static str,
    hint: &'static str,
}

fn text(typed: &Typed, field: Text<'_>) -> Markup {
    let name = field.name;
    html! {
        div .field {
            label for=(name) { (field.label) }
            input #(name) type=(field.kind) name=(name) value=(field.value) autocomplete="off" spellcheck="false"
                placeholder=[(!field.placeholder.is_empty()).then_some(field.placeholder)]
                aria-invalid=[typed.is_wrong(name).then_some("true")] autofocus[typed.is_first_error(name)]
                aria-describedby={ (name) "-error " (name) "-hint" };
            (wrong(typed, name))
            p id={ (name) "-hint" } .hint { (field.hint) }
        }
    }
}

/// Few need it, so it is folded away while it is empty.
fn headers(typed: &Typed) -> Markup {
    html! {
        details .field open[!typed.headers.trim().is_empty() || typed.is_wrong(HEADERS)] {
            summary { label for=(HEADERS) { "Custom headers" } }
            textarea #(HEADERS) name=(HEADERS) rows="3" spellcheck="false" autocomplete="off"
                placeholder="X-Api-Key: …" aria-invalid=[typed.is_wrong(HEADERS).then_some("true")]
                autofocus[typed.is_first_error(HEADERS)]
                aria-describedby={ (HEADERS) "-error " (HEADERS) "-hint" } { (typed.headers) }
            (wrong(typed, HEADERS))
            p id={ (HEADERS) "-hint" } .hint {
                "Sent with every request, one in a line. A value is never shown again: " code { "***" } " keeps it as it \
                 is, as long as the URL's scheme, host and port stay."
            }
        }
    }
}

/// What is wrong with the field, next to it.
fn wrong(typed: &Typed, field: &str) -> Markup {
    html! {
        @if typed.is_wrong(field) {
            div id={ (field) "-error" } {
                @for error in typed.errors(field) {
                    @let part = error.member.strip_prefix("headers.");
                    p .error { @if let Some(name) = part { (name) ": " } (as_text(&error.detail, part.is_none())) }
                }
            }
        }
    }
}

/// With a capital where it begins, and a full stop.
fn as_text(detail: &str, begins: bool) -> String {
    let mut letters = detail.chars();
    let first = letters.next().into_iter();
    let first: String = if begins { first.flat_map(char::to_uppercase).collect() } else { first.collect() };
    format!("{first}{}.", letters.as_str())
}
