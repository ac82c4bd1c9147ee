//! The signing secret, hidden until it is asked for, and how an endpoint verifies a signature with it.

use maud::{Markup, html};

use super::model::{Model, SecretShown};
use super::parts::time;

/// The samples, each the text of a file that is tested against what we sign. README shows the same.
pub(super) const SAMPLES: [(&str, &str); 3] = [
    ("Python", include_str!("samples/verify.py")),
    ("Node", include_str!("samples/verify.mjs")),
    ("PHP", include_str!("samples/verify.php")),
];

pub(super) fn section(model: &Model<'_>) -> Markup {
    html! {
        section #secret .panel aria-labelledby="secret-title" {
            h2 #secret-title { "Signing secret" }
            @match model.secret {
                SecretShown::None => p .empty { "It is made when you save for the first time." },
                SecretShown::Hidden => {
                    (purpose())
                    div .actions { a .button href={ (model.base) "?show=secret#secret" } { "Show the secret" } }
                },
                SecretShown::Shown(secret) => {
                    (purpose())
                    p { code #secret-text .secret tabindex="0" { (secret) } }
                    div .actions {
                        a .button href={ (model.base) "#secret" } { "Hide it" }
                        button .quiet type="button" data-copy="secret-text" hidden { "Copy" }
                    }
                },
            }
            @if model.secret != SecretShown::None {
                (rotation(model))
                p .hint {
                    "A request whose " code { "webhook-id" } " begins " code { "test_" } " is a test from this page: answer it \
                     with 200 and store nothing."
                }
                @for (language, text) in SAMPLES {
                    details .sample {
                        summary { "Verify a signature in " (language) }
                        pre tabindex="0" role="group" aria-label={ (language) " sample" } {
                            code id={ "sample-" (language) } { (text) }
                        }
                        button .quiet type="button" data-copy={ "sample-" (language) } hidden { "Copy" }
                    }
                }
            }
        }
    }
}

fn purpose() -> Markup {
    html! {
        p .hint {
            "Every request is signed with it, so that your endpoint can tell our requests from anybody else's ("
            a href="https://www.standardwebhooks.com" rel="noreferrer" { "Standard Webhooks" } ")."
        }
    }
}

fn rotation(model: &Model<'_>) -> Markup {
    html! {
        @if let Some(until) = model.previous_until {
            p #previous { "The secret before this one is still signed with, until " (time(until)) "." }
        }
        details .rotate {
            summary { "Rotate the secret…" }
            p .hint {
                "A new secret is made. For 24 hours every request carries two signatures, by the new secret and by the \
                 present one; put the new one into your endpoint until then."
                @if model.previous_until.is_some() {
                    " " strong { "The secret before the present one ends at once." }
                    " Rotate only if your endpoint has the present one already."
                }
            }
            form method="post" action={ (model.base) "/rotate" } {
                (model.csrf_field())
                div .actions { button data-busy="Rotating…" { "Rotate now" } }
            }
        }
    }
}
