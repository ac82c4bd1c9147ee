//! `/workspaces/{ws}/outbound`: the screen of a workspace.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Html;

use super::Shared;
use super::form::CSRF_FIELD;
use super::problem::Problem;
use super::session::Session;
use crate::message::WorkspaceId;
use crate::workspace::view::Status;

/// The screen, for whoever has a session.
pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    session: Session,
) -> Result<Html<String>, axum::response::Response> {
    let Session { scope, csrf } = session;
    let reading = shared.read(&scope.workspace).await.map_err(Problem::into_page)?;
    let status = match reading.state.status() {
        Status::NotConfigured => "The webhook has no URL yet.",
        Status::Enabled => "The webhook is enabled.",
        Status::Disabled => "The webhook is disabled.",
        Status::DisabledByErrors => "The webhook was switched off by too many errors.",
    };
    let path = shared.screen_path(&scope.workspace);
    let (workspace, subject) = (&scope.workspace, escaped(scope.caller.subject()));
    let main = format!(
        "<h1>Integration / Outbound</h1>\n<p>Workspace {workspace}. {status}</p>\n\
         <form method=\"post\" action=\"{path}/session/end\">\n\
         <p>Signed in as {subject}. <input type=\"hidden\" name=\"{CSRF_FIELD}\" value=\"{csrf}\">\
         <button>Sign out</button></p>\n</form>"
    );
    Ok(page("Integration / Outbound", &main))
}

/// The page to sign in with. `path` is the screen's; `error` is shown next to the field.
pub(super) fn sign_in(path: &str, workspace: &WorkspaceId, error: Option<&str>) -> Html<String> {
    let (invalid, told) = match error {
        Some(error) => (
            " aria-invalid=\"true\" aria-describedby=\"token-error\"",
            format!("\n<p id=\"token-error\" role=\"alert\">{}</p>", escaped(error)),
        ),
        None => ("", String::new()),
    };
    let main = format!(
        "<h1>Sign in</h1>\n<p>Workspace {workspace}</p>\n\
         <form method=\"post\" action=\"{path}/session\">\n<p><label for=\"token\">Token</label>\n\
         <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus{invalid}></p>\
         {told}\n<p><button>Sign in</button></p>\n</form>"
    );
    page("Sign in", &main)
}

/// What went wrong, where no page of the workspace can be shown.
pub(super) fn trouble(title: &str, detail: &str) -> Html<String> {
    page(title, &format!("<h1>{}</h1>\n<p>{}</p>", escaped(title), escaped(detail)))
}

fn page(title: &str, main: &str) -> Html<String> {
    Html(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n</head>\n\
         <body>\n<main>\n{main}\n</main>\n</body>\n</html>\n",
        escaped(title)
    ))
}

/// Text as it may stand in an element or in a quoted attribute.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            other => html.push(other),
        }
    }
    html
}
