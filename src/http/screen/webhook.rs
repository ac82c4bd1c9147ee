//! The webhook's form: switch, event, URL, owner's address, custom headers.

use maud::{Markup, html};

use super::model::Model;
use super::typed::{EMAIL, ENABLED, EVENT, HEADERS, SEEN, Typed, URL};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::wording::{sentence, with_full_stop};

pub(super) fn section(model: &Model<'_>) -> Markup {
    let Model { base, typed, .. } = model;
    html! {
        section #webhook .panel aria-labelledby="webhook-title" {
            h2 #webhook-title { "Webhook" }
            form method="post" action={ (base) "/save" } novalidate autocomplete="off" data-typed[model.is_typed] {
                (model.csrf_field())
                input type="hidden" name=(SEEN) value=[typed.seen];
                // What Enter in a field presses is the first button of a form (HTML, implicit submission).
                button .unseen tabindex="-1" aria-hidden="true" {}
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
                    hint: match model.policy.mail_server {
                        true => "Gets a mail when too many errors in a row switch the webhook off.",
                        false => "This service has no mail server, so nobody is told when errors switch the webhook off.",
                    },
                }))
                @if model.policy.mail_server && model.webhook.owner_email.is_some() {
                    div .field { button .quiet formaction={ (base) "/mail" } data-busy="Sending…" { "Send a test mail" } }
                }
                (headers(typed))
                @for error in typed.unplaced() {
                    p .error role="alert" { (error.member) ": " (error.detail) }
                }
                div .actions {
                    button .primary data-busy="Saving…" { @if typed.replaces() { "Save mine" } @else { "Save" } }
                    @if typed.replaces() { a .button href=(base) { "Take theirs" } }
                    button formaction={ (base) "/test" } data-busy="Testing…" { "Save and test" }
                    span #test-button {
                        @if !model.has_message {
                            button formaction={ (base) "/sample" } data-busy="Sending…" { "Send a sample" }
                        } @else if model.webhook.url.is_some() {
                            button formaction={ (base) "/try" } data-busy="Testing…" { "Test" }
                        }
                    }
                }
                p #test-hint .hint { (test_hint(model)) }
            }
        }
    }
}

/// What each of the buttons does, as the webhook stands.
fn test_hint(model: &Model<'_>) -> Markup {
    html! {
        @if model.webhook.status == WebhookStatus::DisabledByErrors {
            "“Save and test” " strong { "switches the webhook on again" } " and sends "
        } @else {
            "“Save and test” saves, then sends "
        }
        @if model.has_message { "the newest message of the workspace once more. " }
        @else { "nothing yet: the workspace has no message. “Send a sample” sends one that is made up and marked, to the URL that is saved. " }
        @if model.has_message && model.webhook.url.is_some() { "“Test” sends it to the URL that is saved and changes nothing." }
    }
}

/// What ticking means, as the webhook stands.
fn enabled_hint(status: WebhookStatus) -> Markup {
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
                aria-describedby={ (ENABLED) "-error " (ENABLED) "-other " (ENABLED) "-hint" };
            label for=(ENABLED) { "Webhook enabled" }
            (wrong(typed, ENABLED))
            (other(typed, ENABLED))
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
                aria-describedby={ (name) "-error " (name) "-other " (name) "-hint" };
            (wrong(typed, name))
            (other(typed, name))
            p id={ (name) "-hint" } .hint { (field.hint) }
        }
    }
}

/// Few need it, so it is folded away while it is empty.
fn headers(typed: &Typed) -> Markup {
    html! {
        details .field open[!typed.headers.trim().is_empty() || typed.is_wrong(HEADERS) || typed.other(HEADERS).is_some()] {
            // No label: a click on it would go to the field and not open the fold.
            summary #{ (HEADERS) "-label" } { "Custom headers" }
            textarea #(HEADERS) name=(HEADERS) aria-labelledby={ (HEADERS) "-label" } rows="3" spellcheck="false" autocomplete="off"
                placeholder="X-Api-Key: …" aria-invalid=[typed.is_wrong(HEADERS).then_some("true")]
                autofocus[typed.is_first_error(HEADERS)]
                aria-describedby={ (HEADERS) "-error " (HEADERS) "-other " (HEADERS) "-hint" } { (typed.headers) }
            (wrong(typed, HEADERS))
            (other(typed, HEADERS))
            p id={ (HEADERS) "-hint" } .hint {
                "Sent with every request, one in a line. A value is never shown again: " code { "***" } " keeps it as it \
                 is, as long as the URL's scheme, host and port stay."
            }
        }
    }
}

/// What somebody else has saved in the field meanwhile, next to it.
fn other(typed: &Typed, field: &str) -> Markup {
    html! {
        @if let Some(now) = typed.other(field) {
            p .other id={ (field) "-other" } { "Saved now: " span .id { (now) } }
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
                    p .error {
                        @match part {
                            Some(name) => { (name) ": " (with_full_stop(&error.detail)) }
                            None => (sentence(&error.detail)),
                        }
                    }
                }
            }
        }
    }
}
