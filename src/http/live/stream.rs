//! One open stream: what its client is told, and when it ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::Instant;

use super::cursor::{Cursor, StreamEvent};
use super::watch::WatchedState;
use crate::config::LIVE_KEEP_ALIVE;
use crate::http::auth::caller::{Caller, Scope};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::server::Draining;
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
        let permit = self.live.permit()?;
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
    /// When its token does; `None`: never.
    expires: Option<Instant>,
    cursor: Cursor,
    pending: VecDeque<StreamEvent>,
    /// Read, and not yet compared with what the client knows.
    next: Option<Arc<WatchedState>>,
    watched: watch::Receiver<Arc<WatchedState>>,
    draining: Option<Draining>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// What the client is told next; `None` at the end of the stream.
    async fn next(&mut self) -> Option<StreamEvent> {
        loop {
            if let Some(event) = self.pending.pop_front() {
                return Some(event);
            }
            if let Some(state) = self.next.take() {
                if is_revoked(&self.caller, state.token_generation) {
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
                () = at(self.expires) => return None,
                () = began(self.draining.as_mut()) => return None,
            }
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

/// A token may be newer than what was read last for all streams of its workspace.
fn is_revoked(caller: &Caller, generation: u64) -> bool {
    match caller {
        Caller::Admin => false,
        Caller::Workspace(claims) => claims.generation < generation,
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
