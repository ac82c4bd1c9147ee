//! One open stream: what its client is told, and when it ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::Instant;

use super::cursor::{Cursor, StreamEvent};
use super::watch::WatchedState;
use crate::config::LIVE_KEEP_ALIVE;
use crate::http::auth::caller::{Caller, Scope};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::reader::StoreReader;
use crate::http::server::Draining;
use crate::http::shares::Share;
use crate::http::state::FacadeState;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

impl FacadeState {
    /// Opens a stream for whoever `scope` proves.
    pub(in crate::http) async fn stream(
        &self,
        scope: Scope,
        draining: Option<Draining>,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let last = last_event_id(headers)?;
        let permit = self.live.permit(&scope.workspace)?;
        let watched = self.live.follow(&scope.workspace).await?;
        let mut state = watched.borrow().clone();
        if last.is_some_and(|last| last > state.seq) {
            // What was read for others is a moment older than what this caller has seen.
            state = self.live.read(&scope.workspace).await?.into();
        }
        let now = (self.facade.clock)().unix_seconds();
        let follower = Follower {
            cursor: Cursor { after: last.unwrap_or(state.seq), told: None },
            expires: expires_in(&scope.caller, now).map(|left| Instant::now() + left),
            caller: scope.caller,
            reader: Arc::clone(&self.reader),
            pending: VecDeque::new(),
            next: Some(state),
            watched,
            draining,
            _permit: permit,
        };
        let events = stream::unfold(follower, |mut follower| async move {
            let event = follower.next().await?;
            Some((Ok::<_, Infallible>(event.event()), follower))
        });
        let mut response = Sse::new(events).keep_alive(KeepAlive::new().interval(LIVE_KEEP_ALIVE)).into_response();
        // Asks a proxy in front of us not to collect events before it passes them on.
        response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
        Ok(response)
    }
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(LAST_EVENT_ID) else { return Ok(None) };
    match value.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(seq) => Ok(Some(seq)),
        None => Err(Problem::new(ProblemKind::InvalidQuery, "Last-Event-ID must be the id of an event of this stream")),
    }
}

/// One open stream.
struct Follower {
    caller: Caller,
    reader: Arc<StoreReader>,
    /// When its token does; `None`: never.
    expires: Option<Instant>,
    cursor: Cursor,
    pending: VecDeque<StreamEvent>,
    /// Read, and not yet compared with what the client knows.
    next: Option<Arc<WatchedState>>,
    watched: watch::Receiver<Arc<WatchedState>>,
    draining: Option<Draining>,
    _permit: Share,
}

impl Follower {
    /// What the client is told next; `None` at the end of the stream.
    async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if let Some(state) = self.next.take() {
                if has_ended(&self.caller, &state) || self.has_operators_ended().await {
                    return None;
                }
                self.pending = self.cursor.advance(&state);
                continue;
            }
            tokio::select! {
                changed = self.watched.changed() => {
                    changed.ok()?;
                    self.next = Some(self.watched.borrow_and_update().clone());
                }
                () = tokio::time::sleep(LIVE_KEEP_ALIVE), if self.is_operators() => {
                    if self.has_operators_ended().await {
                        return None;
                    }
                }
                () = at(self.expires) => return None,
                () = began(self.draining.as_mut()) => return None,
            }
        }
    }
}

impl Follower {
    fn is_operators(&self) -> bool {
        matches!(&self.caller, Caller::Workspace(claims) if claims.adm.is_some())
    }

    /// Whether the operator's session was ended that the stream was opened with: of it nothing is read with the workspace.
    /// Where that cannot be read it goes on, as all that is open does while the store is away.
    async fn has_operators_ended(&self) -> bool {
        match &self.caller {
            Caller::Workspace(claims) if claims.adm.is_some() => match &claims.jti {
                Some(id) => self.reader.has_operator_session_ended(id).await.unwrap_or(false),
                None => false,
            },
            Caller::Workspace(_) | Caller::Admin => false,
        }
    }
}

/// How long the caller's token is valid; `None` without an end.
fn expires_in(caller: &Caller, now: i64) -> Option<Duration> {
    match caller {
        Caller::Admin => None,
        Caller::Workspace(claims) => Some(Duration::from_secs(u64::try_from(claims.exp - now).unwrap_or(0))),
    }
}

/// Whether the token or session that it was opened with was ended. It may be newer than what was read last for all streams
/// of its workspace. The operator's session is none of the workspace's.
fn has_ended(caller: &Caller, state: &WatchedState) -> bool {
    match caller {
        Caller::Workspace(claims) if claims.adm.is_none() => {
            claims.generation < state.token_generation || claims.has_ended(&state.access)
        }
        Caller::Workspace(_) | Caller::Admin => false,
    }
}

async fn at(end: Option<Instant>) {
    match end {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

/// Waits for the service's end.
async fn began(draining: Option<&mut Draining>) {
    match draining {
        // The other end is dropped only with the connection.
        Some(Draining(draining)) => drop(draining.wait_for(|began| *began).await),
        None => std::future::pending().await,
    }
}
