//! What is asked for, and what follows: GET shows, POST does and sends the browser back to what it did
//! (303), or shows the form again with what was typed.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, RawQuery, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use url::form_urlencoded;

use super::model::{Model, Notice, SecretShown};
use super::page::{latest as latest_page, page};
use super::parts::{Tone, duration};
use super::session::Session;
use super::sign_in;
use super::submitted::Submitted;
use super::typed::Typed;
use crate::http::api::{attempts, save_body};
use crate::http::connections::ConnectionHandle;
use crate::http::problem::Problem;
use crate::http::server::Draining;
use crate::http::state::FacadeState;
use crate::journal::port::Reading;
use crate::message::WorkspaceId;
use crate::workspace::command::{Action, NoAttempt, Save};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::{Attempt, Trigger};
use crate::workspace::explain::explain;
use crate::workspace::history;
use crate::workspace::view::WebhookView;

/// What a form came to; stands behind the `?` of the address that the browser is sent to.
const SAVED: &str = "saved";
const TESTED: &str = "tested";
const ROTATED: &str = "rotated";
/// Shows the secret: `show=secret`.
const SHOW: &str = "show";
/// Tells what the page has: the seq of its newest attempt.
const AFTER: &str = "after";

/// The calls of the screen. What is sent is sent by a form of the session's own pages ([`Submitted`]).
pub(in crate::http) fn routes() -> Router<Arc<FacadeState>> {
    Router::new()
        .route("/workspaces/{workspace}/outbound", get(show))
        .route("/workspaces/{workspace}/outbound/latest", get(latest))
        .route("/workspaces/{workspace}/outbound/live", get(live))
        .route("/workspaces/{workspace}/outbound/log", get(log))
        .route("/workspaces/{workspace}/outbound/save", post(save))
        .route("/workspaces/{workspace}/outbound/test", post(save_and_test))
        .route("/workspaces/{workspace}/outbound/rotate", post(rotate))
        .route("/workspaces/{workspace}/outbound/session/end", post(sign_in::end))
}

/// The call that takes a token in a form, from whoever has none yet.
pub(in crate::http) fn sign_in() -> Router<Arc<FacadeState>> {
    Router::new().route("/workspaces/{workspace}/outbound/session", post(sign_in::begin))
}

/// The screen.
async fn show(State(state): State<Arc<FacadeState>>, session: Session, RawQuery(query): RawQuery) -> Response {
    let asked = ScreenQuery::of(query.as_deref());
    match state.screen(&session, &asked, None, None).await {
        Ok(page) => page.into_response(),
        Err(problem) => state.trouble(&problem),
    }
}

/// What is new on it, for the script.
async fn latest(State(state): State<Arc<FacadeState>>, session: Session, RawQuery(query): RawQuery) -> Response {
    let asked = ScreenQuery::of(query.as_deref());
    let after = asked.value(AFTER).and_then(|seq| seq.parse().ok()).unwrap_or(0);
    match state.latest(&session, after).await {
        Ok(page) => page.into_response(),
        Err(problem) => state.trouble(&problem),
    }
}

/// The live stream, for the script.
async fn live(
    State(state): State<Arc<FacadeState>>,
    session: Session,
    draining: Option<Extension<Draining>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    state.stream(session.scope, draining.map(|Extension(draining)| draining), &headers).await
}

/// Download log.
async fn log(
    state: State<Arc<FacadeState>>,
    session: Session,
    connection: Option<Extension<ConnectionHandle>>,
) -> Response {
    let State(of) = state.clone();
    attempts::log(state, session.scope, connection).await.unwrap_or_else(|problem| of.trouble(&problem))
}

/// Save.
async fn save(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    state.saved(submitted, Action::Save).await
}

/// Save and test.
async fn save_and_test(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    state.saved(submitted, |save| Action::Test { save: Some(save) }).await
}

/// A new signing secret.
async fn rotate(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    let session = submitted.session;
    match state
        .submit(&session.scope.workspace, session.scope.caller.subject(), Action::RotateSecret { overlap: None })
        .await
    {
        Ok(_) => state.see(&session.scope.workspace, &format!("?{ROTATED}#secret")),
        Err(problem) => state.again(&session, None, problem).await,
    }
}

impl FacadeState {
    async fn saved(&self, submitted: Submitted, action: impl FnOnce(Save) -> Action) -> Response {
        let Submitted { session, fields } = submitted;
        let typed = Typed::sent(|name| fields.get(name).to_owned());
        let save = match save_body::parse(typed.body().as_bytes(), &self.facade.guard) {
            Ok(save) => save,
            Err(problem) => return self.again(&session, Some(typed), problem).await,
        };
        let action = action(save);
        let tests = matches!(action, Action::Test { .. });
        match self.submit(&session.scope.workspace, session.scope.caller.subject(), action).await {
            Ok(applied) => {
                let came_of_it = match (tests, applied.attempt, applied.reason) {
                    (true, Some(attempt), _) => format!("?{TESTED}={}", attempt.id),
                    (true, None, Some(NoAttempt::NoMessage)) => format!("?{TESTED}=no_message"),
                    (true, None, Some(NoAttempt::Forgotten)) => format!("?{TESTED}=forgotten"),
                    (true, None, Some(NoAttempt::NoUrl | NoAttempt::Expired) | None) => format!("?{TESTED}=no_url"),
                    (false, ..) => format!("?{SAVED}"),
                };
                self.see(&session.scope.workspace, &came_of_it)
            }
            Err(problem) => self.again(&session, Some(typed), problem).await,
        }
    }

    /// The screen with what went wrong and, of a form, what was typed.
    async fn again(&self, session: &Session, typed: Option<Typed>, problem: Problem) -> Response {
        let (status, text, errors) = (problem.status(), problem.page_text(), problem.errors());
        let text = match errors.is_empty() {
            true => text,
            false => "Nothing was saved. Correct what is marked below and save again.".to_owned(),
        };
        let notice = Notice { tone: Tone::Bad, text, attempt: None };
        let typed = typed.map(|typed| typed.with_errors(errors));
        match self.screen(session, &ScreenQuery::default(), typed, Some(notice)).await {
            Ok(page) => (status, page).into_response(),
            Err(problem) => self.trouble(&problem),
        }
    }

    async fn screen(
        &self,
        session: &Session,
        asked: &ScreenQuery,
        typed: Option<Typed>,
        notice: Option<Notice>,
    ) -> Result<Html<String>, Problem> {
        let workspace = &session.scope.workspace;
        if asked.value(SHOW) == Some("secret") {
            self.note_view(&session.scope).await?;
        }
        let reading = self.reader.workspace(workspace).await?;
        let events = self.reader.history(workspace).await?;
        let changes = history::changes(&events);
        let view = WebhookView::new(workspace, &reading.state, &self.facade.policy);
        let notice = notice.or_else(|| asked.notice(&reading));
        let typed = typed.unwrap_or_else(|| Typed::saved(&view));
        let secret = match &reading.state.webhook.secret {
            None => SecretShown::None,
            Some(secret) if asked.value(SHOW) == Some("secret") => SecretShown::Shown(secret.expose()),
            Some(_) => SecretShown::Hidden,
        };
        let base = self.screen_path(workspace);
        let model = Model { changes: &changes, secret, typed, notice, ..self.model(session, &base, &view, &reading) };
        Ok(Html(page(&model)))
    }

    async fn latest(&self, session: &Session, after: u64) -> Result<Html<String>, Problem> {
        let workspace = &session.scope.workspace;
        let reading = self.reader.workspace(workspace).await?;
        let view = WebhookView::new(workspace, &reading.state, &self.facade.policy);
        let base = self.screen_path(workspace);
        Ok(Html(latest_page(&self.model(session, &base, &view, &reading), after).into_string()))
    }

    /// What every part of the screen shows.
    fn model<'a>(
        &'a self,
        session: &'a Session,
        base: &'a str,
        webhook: &'a WebhookView,
        reading: &'a Reading,
    ) -> Model<'a> {
        let now = (self.facade.clock)();
        let previous = reading.state.webhook.valid_previous_secret(now);
        Model {
            root: self.facade.access.origin.path(),
            base,
            csrf: &session.csrf,
            who: session.scope.caller.subject(),
            webhook,
            counting: self.facade.policy.counting,
            attempts: &reading.attempts,
            changes: &[],
            secret: SecretShown::None,
            previous_until: previous.map(|previous| previous.valid_until),
            typed: Typed::default(),
            notice: None,
        }
    }

    /// Sends the browser to the screen.
    fn see(&self, workspace: &WorkspaceId, rest: &str) -> Response {
        let mut response = StatusCode::SEE_OTHER.into_response();
        // A workspace id, a parsed URL's path and a seq hold no character that a header refuses.
        if let Ok(place) = HeaderValue::from_str(&format!("{}{rest}", self.screen_path(workspace))) {
            response.headers_mut().insert(LOCATION, place);
        }
        response
    }
}

/// What stands behind the `?`. Anybody may write anything there; what is not known says nothing.
#[derive(Default)]
struct ScreenQuery(Vec<(String, String)>);

impl ScreenQuery {
    fn of(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What came of the form before, as far as it is durable.
    fn notice(&self, reading: &Reading) -> Option<Notice> {
        let plain = |tone, text: &str| Some(Notice { tone, text: text.to_owned(), attempt: None });
        if self.value(ROTATED).is_some() {
            let text = "A new signing secret was made. Put it into your endpoint within 24 hours.";
            return plain(Tone::Good, text);
        }
        match self.value(TESTED) {
            Some("no_message") => {
                let text = "Saved. There is nothing to test with yet: the workspace has no message.";
                return plain(Tone::Warning, text);
            }
            Some("forgotten") => {
                let text = "The workspace was forgotten meanwhile. Whether the test was sent is not known any more.";
                return plain(Tone::Warning, text);
            }
            Some("no_url") => return plain(Tone::Warning, "Saved. There is nothing to test without a webhook URL."),
            Some(id) => return tested(reading, id),
            None => {}
        }
        self.value(SAVED)?;
        match reading.state.status() {
            WebhookStatus::Enabled => plain(Tone::Good, "Saved. The webhook is on."),
            WebhookStatus::Disabled | WebhookStatus::DisabledByErrors => {
                plain(Tone::Good, "Saved. The webhook is off.")
            }
            WebhookStatus::NotConfigured => plain(Tone::Good, "Saved. The webhook is cleared: there is no URL."),
        }
    }
}

/// How a test went, if it is still among the retained attempts.
fn tested(reading: &Reading, id: &str) -> Option<Notice> {
    let seq: u64 = id.parse().ok()?;
    let named = |(of, attempt): &&(u64, Attempt)| *of == seq && attempt.trigger == Trigger::Test;
    let (_, attempt) = reading.attempts.iter().find(named)?;
    let response = attempt.response.as_deref();
    let (tone, text) = match &attempt.error {
        Some(error) => {
            let cause = explain(error, &attempt.request.url, response);
            (Tone::Bad, format!("Saved, but the test failed. {cause}"))
        }
        None => {
            let status = response.map(|response| format!("HTTP {} ", response.status)).unwrap_or_default();
            (Tone::Good, format!("Saved, and the test was delivered: {status}in {}.", duration(attempt.duration_ms)))
        }
    };
    Some(Notice { tone, text, attempt: Some(seq) })
}
