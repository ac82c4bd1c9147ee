//! The webhook's form: the seed's controls in the seed's words, and the owner's address.

use maud::{Markup, html};

use super::form::{EMAIL, ENABLED, EVENT, Typed, URL};
use super::page::Model;
use crate::workspace::view::Status;

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
                    select #(EVENT) name=(EVENT) aria-invalid=[typed.error(EVENT).map(|_| "true")]
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

fn enabled(typed: &Typed, status: Status) -> Markup {
    let hint = match status {
        Status::NotConfigured => "Saving a URL switches the webhook on, unless you untick this.",
        Status::Enabled => "Untick it and save to switch the webhook off without removing it.",
        Status::Disabled => "Tick it and save to switch the webhook on again.",
        Status::DisabledByErrors => "It is off now. Saving switches it on again, unless you untick this.",
    };
    html! {
        div .field .check {
            input #(ENABLED) type="checkbox" name=(ENABLED) value="yes" checked[typed.enabled]
                aria-invalid=[typed.error(ENABLED).map(|_| "true")] autofocus[typed.is_first_error(ENABLED)]
                aria-describedby={ (ENABLED) "-error " (ENABLED) "-hint" };
            label for=(ENABLED) { "Webhook enabled" }
            (wrong(typed, ENABLED))
            p id={ (ENABLED) "-hint" } .hint { (hint) }
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
                aria-invalid=[typed.error(name).map(|_| "true")] autofocus[typed.is_first_error(name)]
                aria-describedby={ (name) "-error " (name) "-hint" };
            (wrong(typed, name))
            p id={ (name) "-hint" } .hint { (field.hint) }
        }
    }
}

/// What is wrong with the field, next to it.
fn wrong(typed: &Typed, field: &str) -> Markup {
    html! {
        @if let Some(detail) = typed.error(field) {
            p id={ (field) "-error" } .error { (capital(detail)) }
        }
    }
}

fn capital(detail: &str) -> String {
    let mut letters = detail.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}
