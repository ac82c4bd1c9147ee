//! What stands around every page, and the pages that show nothing of a workspace: to sign in, and what went
//! wrong.

use axum::response::Html;
use maud::{DOCTYPE, Markup, html};

use super::after_sign_in::AfterSignIn;
use super::assets::{ICON, SCRIPT, STYLE};
use super::typed::{FIELDS, SEEN, URL};
use crate::http::body::FormFields;
use crate::message::WorkspaceId;

/// A whole document. `root` is what stands before our paths in a browser.
pub(super) fn document(root: &str, title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" type="image/svg+xml" href=(ICON.href(root));
                link rel="stylesheet" href=(STYLE.href(root));
                script src=(SCRIPT.href(root)) defer {}
            }
            body {
                a .skip href="#main" { "Skip to content" }
                (body)
            }
        }
    };
    page.into_string()
}

/// The page to sign in with. `root` is what stands before our paths in a browser, `path` the screen's
/// path; without a workspace it is the operators' screen. `error` is shown next to the field. `kept` is what was typed
/// before, to be saved after the sign-in.
pub(super) fn sign_in(
    root: &str,
    path: &str,
    workspace: Option<&WorkspaceId>,
    error: Option<&str>,
    kept: Option<(AfterSignIn, &FormFields)>,
) -> Html<String> {
    let then = kept.map(|(then, _)| format!("/{}", then.word())).unwrap_or_default();
    let body = html! {
        main #main .narrow {
            h1 { @if workspace.is_some() { "Integration / Outbound" } @else { "Outbound" } }
            section .panel {
                h2 { "Sign in" }
                @if let Some(workspace) = workspace { p { "Workspace " strong .id { (workspace) } } }
                form method="post" action={ (path) "/session" (then) } {
                    @if let Some((_, fields)) = kept {
                        // Whoever signs in sees what that saves.
                        p { "URL: " span .id { (fields.get(URL)) } }
                        @for name in FIELDS.into_iter().chain([SEEN]).filter(|name| fields.has(name)) {
                            input type="hidden" name=(name) value=(fields.get(name));
                        }
                    }
                    div .field {
                        label for="token" { "Token" }
                        input #token name="token" type="password" autocomplete="current-password" required autofocus
                            spellcheck="false" aria-invalid=[error.map(|_| "true")]
                            aria-describedby=[error.map(|_| "token-error")];
                        @if let Some(error) = error {
                            p #token-error .error role="alert" { (error) }
                        }
                    }
                    div .actions { button .primary { "Sign in" } }
                }
                @if let Some(workspace) = workspace {
                    p .hint .command { "The operator of the service makes a token: " code { "outbound token --workspace " (workspace) } }
                } @else {
                    p .hint {
                        "The admin token opens the overview. " code { "serve" } " prints the name of its file when it starts, unless it
                        was given one. A workspace's token opens the screen of that workspace."
                    }
                }
            }
        }
    };
    Html(document(root, "Sign in · Outbound", &body))
}

/// What went wrong, where no page of the workspace can be shown.
pub(super) fn trouble(root: &str, title: &str, detail: &str) -> Html<String> {
    let body = html! {
        main #main .narrow {
            h1 { (title) }
            section .panel { p role="alert" { (detail) } }
        }
    };
    Html(document(root, &format!("{title} · Outbound"), &body))
}

/// Where an address leads nowhere: where its reader may have wanted to go.
pub(super) fn nothing_here(root: &str) -> Html<String> {
    let body = html! {
        main #main .narrow {
            h1 { "Nothing here" }
            section .panel {
                p { "This address leads nowhere. There is:" }
                ul {
                    li { a href={ (root) "/" } { "All workspaces" } ", for the operator" }
                    li { code { (root) "/workspaces/ID/outbound" } ", the screen of a workspace" }
                    li { a href={ (root) "/docs" } { "The API" } ", for programs" }
                }
            }
        }
    };
    Html(document(root, "Nothing here · Outbound", &body))
}
