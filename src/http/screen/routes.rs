//! What is asked for, and what follows: GET shows, POST does and sends the browser back to what it did
//! (303), or shows the form again with what was typed.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Extension, RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Uri};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use futures_util::FutureExt as _;

use super::after_sign_in::AfterSignIn;
use super::curl::curl;
use super::filter::AttemptFilter;
use super::model::{Model, SecretShown};
use super::notice::{Notice, late};
use super::page::{latest as latest_page, page};
use super::parts::Tone;
use super::query::{AFTER, ROTATED, SAVED, SENT, SHOW, ScreenQuery, TESTED};
use super::session::Session;
use super::sign_in;
use super::submitted::Submitted;
use super::typed::{Typed, URL};
use crate::http::api::attempts::{self, AttemptInPath};
use crate::http::api::save_body;
use crate::http::body::FormFields;
use crate::http::connections::ConnectionHandle;
use crate::http::problem::Problem;
use crate::http::server::Draining;
use crate::http::state::{Applied, FacadeState};
use crate::journal::port::Reading;
use crate::message::{EntryId, WorkspaceId};
use crate::workspace::command::{Action, NoAttempt, Refusal};
use crate::workspace::decide::{self, MailResult};
use crate::workspace::event::Attempt;
use crate::workspace::history::{self, ConfigurationChange};
use crate::workspace::view::WebhookView;

/// The calls of the screen. What is sent is sent by a form of the session's own pages ([`Submitted`]).
pub(in crate::http) fn routes() -> Router<Arc<FacadeState>> {
    Router::new()
        .route("/workspaces/{workspace}/outbound", get(show))
        .route("/workspaces/{workspace}/outbound/", get(show))
        .route("/workspaces/{workspace}/outbound/latest", get(latest))
        .route("/workspaces/{workspace}/outbound/live", get(live))
        .route("/workspaces/{workspace}/outbound/log", get(log))
        .route("/workspaces/{workspace}/outbound/save", post(save).get(back))
        .route("/workspaces/{workspace}/outbound/test", post(save_and_test).get(back))
        .route("/workspaces/{workspace}/outbound/try", post(test).get(back))
        .route("/workspaces/{workspace}/outbound/sample", post(sample).get(back))
        .route("/workspaces/{workspace}/outbound/again/{id}", post(again).get(back))
        .route("/workspaces/{workspace}/outbound/mail", post(test_mail).get(back))
        .route("/workspaces/{workspace}/outbound/curl/{id}", get(copy_as_curl))
        .route("/workspaces/{workspace}/outbound/rotate", post(rotate).get(back))
        .route("/workspaces/{workspace}/outbound/session/end", post(sign_in::end).get(back))
}

/// The call that takes a token in a form, from whoever has none yet.
pub(in crate::http) fn sign_in() -> Router<Arc<FacadeState>> {
    Router::new()
        .route("/workspaces/{workspace}/outbound/session", post(sign_in::begin).get(back))
        .route("/workspaces/{workspace}/outbound/session/save", post(sign_in::begin_and_save).get(back))
        .route("/workspaces/{workspace}/outbound/session/test", post(sign_in::begin_and_test).get(back))
}

/// Where forms lead there is nothing to see: whoever comes to such an address, as when a browser opens its tabs again, gets
/// the screen that the form stands on. Relatively, so that it works below a proxy's path too.
pub(super) async fn back(uri: Uri) -> Redirect {
    let path = uri.path();
    let up = |below: &str| "../".repeat(below.split('/').count());
    match path.rsplit_once("/outbound/") {
        Some((_, below)) => Redirect::to(&format!("{}outbound", up(below))),
        None => Redirect::to(&up(path.trim_start_matches("/operator/"))),
    }
}

/// The screen.
async fn show(State(state): State<Arc<FacadeState>>, session: Session, RawQuery(query): RawQuery) -> Response {
    let asked = ScreenQuery::of(query.as_deref());
    state.shown(state.screen(&session, &asked, None, None).await)
}

/// What is new on it, for the script.
async fn latest(State(state): State<Arc<FacadeState>>, session: Session, RawQuery(query): RawQuery) -> Response {
    let asked = ScreenQuery::of(query.as_deref());
    let after = asked.value(AFTER).and_then(|seq| seq.parse().ok()).unwrap_or(0);
    state.shown(state.latest(&session, &asked, after).await)
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
    RawQuery(query): RawQuery,
) -> Response {
    let State(of) = state.clone();
    let filter = AttemptFilter::of(&ScreenQuery::of(query.as_deref()));
    let connection = connection.map(|Extension(connection)| connection);
    let shown = |attempt: &Attempt| filter.shows(attempt);
    of.shown(of.download_log(&session.scope.workspace, filter.word(), shown, connection).await)
}

/// Save.
async fn save(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    state.saved(submitted, AfterSignIn::Save).await
}

/// Save and test.
async fn save_and_test(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    state.saved(submitted, AfterSignIn::SaveAndTest).await
}

/// A test of what is saved; what is typed stays.
async fn test(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    state.asked_for(submitted, Action::Test { save: None }).await
}

/// A sample.
async fn sample(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    state.asked_for(submitted, Action::Sample).await
}

/// Send again.
async fn again(
    State(state): State<Arc<FacadeState>>,
    attempt: Result<AttemptInPath, Problem>,
    submitted: Submitted,
) -> Response {
    let Submitted { session, fields } = submitted;
    let applied = match attempt {
        Ok(AttemptInPath(seq)) => state.send_again(&session.scope, seq).await,
        Err(problem) => Err(problem),
    };
    state.came_of_it(&session, &fields, applied).await
}

/// A test mail to the owner that is saved.
async fn test_mail(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    let Submitted { session, fields } = submitted;
    let notice = match state.mailed(&session).await {
        Ok(notice) => notice,
        Err(problem) => return state.trouble(&problem),
    };
    let typed = fields.has(URL).then(|| typed(&fields));
    state.shown(state.screen(&session, &ScreenQuery::default(), typed, Some(notice)).await)
}

/// The request of an attempt for a terminal, signed now.
async fn copy_as_curl(
    State(state): State<Arc<FacadeState>>,
    session: Session,
    attempt: Result<AttemptInPath, Problem>,
) -> Response {
    let text = async {
        let AttemptInPath(seq) = attempt?;
        let reading = state.reader.workspace(&session.scope.workspace).await?;
        let named = reading.attempts.iter().find(|(of, _)| *of == seq);
        let (_, attempt) = named.ok_or(Refusal::NoSuchAttempt)?;
        curl(attempt, &reading.state.webhook, (state.facade.clock)()).ok_or_else(attempts::body_omitted)
    };
    state.shown(text.await.map(|text| ([(CONTENT_TYPE, "text/plain; charset=utf-8")], text)))
}

/// A new signing secret.
async fn rotate(State(state): State<Arc<FacadeState>>, submitted: Submitted) -> Response {
    let session = submitted.session;
    match state
        .submit(&session.scope.workspace, session.scope.caller.subject(), Action::RotateSecret { overlap: None })
        .await
    {
        Ok(_) => state.see(&session.scope.workspace, &format!("?{ROTATED}#secret")),
        Err(problem) => state.refused(&session, None, problem).await,
    }
}

impl FacadeState {
    /// Saves the form, and tests it.
    pub(super) async fn saved(&self, submitted: Submitted, then: AfterSignIn) -> Response {
        let Submitted { session, fields } = submitted;
        let typed = typed(&fields);
        let save = match save_body::parse(typed.body().as_bytes(), &self.facade.guard) {
            Ok(save) => save,
            Err(problem) => return self.refused(&session, Some(typed), problem).await,
        };
        let tests = then == AfterSignIn::SaveAndTest;
        let action = if tests { Action::Test { save: Some(save) } } else { Action::Save(save) };
        // A form that does not say what its reader saw has seen nothing that there is.
        let seen = Some(typed.seen.into_iter().collect());
        match self.submit_if(&session.scope.workspace, session.scope.caller.subject(), seen, action).await {
            Ok(applied) => {
                let came_of_it = if tests { format!("?{TESTED}={}", outcome(&applied)) } else { format!("?{SAVED}") };
                self.see(&session.scope.workspace, &came_of_it)
            }
            Err(problem) => self.refused(&session, Some(typed), problem).await,
        }
    }

    /// Sends what was asked for and saves nothing.
    async fn asked_for(&self, submitted: Submitted, action: Action) -> Response {
        let Submitted { session, fields } = submitted;
        let applied = self.submit(&session.scope.workspace, session.scope.caller.subject(), action).await;
        self.came_of_it(&session, &fields, applied).await
    }

    /// What came of what was sent. What was typed meanwhile, if the form brings it, stays.
    async fn came_of_it(&self, session: &Session, fields: &FormFields, applied: Result<Applied, Problem>) -> Response {
        let typed = fields.has(URL).then(|| typed(fields));
        let applied = match applied {
            Ok(applied) => applied,
            Err(problem) => return self.refused(session, typed, problem).await,
        };
        let came_of_it = format!("{SENT}={}", outcome(&applied));
        let asked = ScreenQuery::of(Some(&came_of_it));
        match self.screen(session, &asked, typed, None).await {
            Ok(page) if fields.has(URL) => page.into_response(),
            Ok(_) => self.see(&session.scope.workspace, &format!("?{came_of_it}")),
            Err(problem) => self.trouble(&problem),
        }
    }

    /// Sends a test mail, if there may be one, and says what came of it. One that the mail server is not ready for takes none
    /// of the day's.
    async fn mailed(&self, session: &Session) -> Result<Notice, Problem> {
        let workspace = &session.scope.workspace;
        let by = session.scope.caller.subject();
        let state = self.reader.workspace(workspace).await?.into_state();
        let (Some(send), Some(to)) = (&self.facade.test_mail, &state.webhook.owner_email) else {
            return Ok(Notice::new(Tone::Warning, "There is nobody to send a mail to: save an owner email first."));
        };
        let refused = |problem: Problem| Ok(Notice::new(Tone::Warning, problem.page_text()));
        if let Err(refusal) = decide::take_test_mail(&state, by, (self.facade.clock)()) {
            return refused(refusal.into());
        }
        let mut taken = Ok(());
        let permit = async {
            taken = self.submit(workspace, by, Action::TakeTestMail).await.map(drop);
            taken.is_ok()
        };
        let url = state.webhook.url.as_deref().map(str::to_owned);
        let result = send(workspace.clone(), to.clone(), url, permit.boxed()).await;
        if let Err(problem) = taken {
            return refused(problem);
        }
        Ok(test_mail_notice(to, result))
    }

    /// The screen with what went wrong and, of a form, what was typed.
    async fn refused(&self, session: &Session, typed: Option<Typed>, problem: Problem) -> Response {
        let is_late = problem.is_changed_meanwhile();
        let (status, text, errors) = (problem.status(), problem.page_text(), problem.errors());
        let text = match errors.is_empty() {
            true => text,
            false => "Nothing was saved. Correct what is marked below and save again.".to_owned(),
        };
        let notice = Notice { is_late, ..Notice::new(Tone::Bad, text) };
        let typed = typed.map(|typed| typed.with_errors(errors));
        let page = self.screen(session, &ScreenQuery::default(), typed, Some(notice)).await;
        self.shown(page.map(|page| (status, page)))
    }

    /// What was asked for, or the page that says what is wrong.
    fn shown(&self, asked_for: Result<impl IntoResponse, Problem>) -> Response {
        asked_for.map_or_else(|problem| self.trouble(&problem), IntoResponse::into_response)
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
        let view = self.view(workspace, &reading.state);
        let notice = notice.or_else(|| Notice::of(asked, &reading));
        let is_typed = typed.is_some();
        let saved = Typed::saved(&view, reading.state.webhook.revision());
        let is_late = notice.as_ref().is_some_and(|notice| notice.is_late);
        let (typed, notice) = match typed {
            Some(typed) if is_late => {
                let text = late(history::meanwhile(&changes, typed.seen.unwrap_or(0)).as_ref());
                (typed.above(&saved), Some(Notice::new(Tone::Bad, text)))
            }
            Some(typed) => (typed, notice),
            None => (saved, notice),
        };
        let secret = match &reading.state.webhook.secret {
            None => SecretShown::None,
            Some(secret) if asked.value(SHOW) == Some("secret") => SecretShown::Shown(secret.expose()),
            Some(_) => SecretShown::Hidden,
        };
        let base = self.screen_path(workspace);
        let filter = AttemptFilter::of(asked);
        let model = self.model(session, &base, &view, &reading, &changes, &filter);
        let model = Model { secret, typed, is_typed, notice, ..model };
        Ok(Html(page(&model)))
    }

    async fn latest(&self, session: &Session, asked: &ScreenQuery, after: u64) -> Result<Html<String>, Problem> {
        let workspace = &session.scope.workspace;
        let reading = self.reader.workspace(workspace).await?;
        let changes = history::changes(&self.reader.history(workspace).await?);
        let filter = AttemptFilter::of(asked);
        let view = self.view(workspace, &reading.state);
        let base = self.screen_path(workspace);
        Ok(Html(latest_page(&self.model(session, &base, &view, &reading, &changes, &filter), after).into_string()))
    }

    /// What every part of the screen shows.
    fn model<'a>(
        &'a self,
        session: &'a Session,
        base: &'a str,
        webhook: &'a WebhookView,
        reading: &'a Reading,
        changes: &'a [ConfigurationChange],
        filter: &'a AttemptFilter,
    ) -> Model<'a> {
        let now = (self.facade.clock)();
        let previous = reading.state.webhook.valid_previous_secret(now);
        Model {
            root: self.facade.access.origin.path(),
            base,
            csrf: &session.csrf,
            who: session.scope.caller.subject(),
            is_operators: session.is_operators,
            webhook,
            policy: &self.facade.policy,
            now,
            attempts: &reading.attempts,
            filter,
            has_message: reading.state.skipped.newest.is_some()
                || reading.attempts.iter().any(|(_, attempt)| attempt.entry > EntryId::ZERO),
            changes,
            deeds: reading.state.access.deeds(),
            secret: SecretShown::None,
            previous_until: previous.map(|previous| previous.valid_until),
            typed: Typed::saved(webhook, reading.state.webhook.revision()),
            is_typed: false,
            notice: None,
            clock: (self.facade.readiness)().clock,
        }
    }

    /// Sends the browser to the screen.
    fn see(&self, workspace: &WorkspaceId, rest: &str) -> Response {
        self.to(&format!("{}{rest}", self.screen_path(workspace)), None)
    }
}

/// What the form brings of the webhook.
fn typed(fields: &FormFields) -> Typed {
    Typed::sent(|name| fields.get(name).to_owned())
}

/// What came of a test, as the address of the page tells it: the id of the attempt, or why there is none.
fn outcome(applied: &Applied) -> &str {
    match (&applied.attempt, applied.reason) {
        (Some(attempt), _) => &attempt.id,
        (None, Some(NoAttempt::NoMessage)) => "no_message",
        (None, Some(NoAttempt::Forgotten)) => "forgotten",
        (None, Some(NoAttempt::NoUrl | NoAttempt::Expired) | None) => "no_url",
    }
}

/// What is said of a test mail that was tried.
fn test_mail_notice(to: &str, result: MailResult) -> Notice {
    let not_sent = |why: &str| Notice::new(Tone::Bad, format!("The test mail to {to} was not sent. {why}"));
    match result {
        MailResult::Sent => {
            Notice::new(Tone::Good, format!("The mail server took a test mail to {to}. Look there whether it arrives."))
        }
        MailResult::Unknown(why) => {
            Notice::new(Tone::Warning, format!("The test mail to {to} may have been sent: look there. {why}"))
        }
        MailResult::Refused(why) | MailResult::Later(why) => not_sent(&why),
        MailResult::NotBegun => {
            not_sent("The mail server is busy with other mails, or takes none now. Try again in a minute.")
        }
    }
}
