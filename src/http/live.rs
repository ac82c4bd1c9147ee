//! `/v1/workspaces/{ws}/attempts/live`: server-sent events, one for each new attempt and each change of
//! the webhook's state. The screen listens to the same stream.
//!
//! A stream begins with the present state. Every event's `id` is a seq, so a client that lost its
//! connection and comes back with `Last-Event-ID` gets the attempts since then; of what is no longer
//! among the last 100 a `gap` tells. A stream ends when the service does, and when the token that it was
//! opened with expires or is revoked.
//!
//! Nothing waits in a queue: what is new follows from the seq that a client has and from what is durable
//! now, and is made when the client takes it. One task reads for all streams of a workspace. Who takes
//! nothing is cut by `serve`.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;

use super::Shared;
use super::auth::{Caller, Scope};
use super::problem::{Kind, Problem};
use super::serve::Draining;
use crate::config::{LIVE_KEEP_ALIVE, LIVE_POLL, LIVE_RETRY, LIVE_STREAMS_MAX, LIVE_STREAMS_PER_WORKSPACE_MAX};
use crate::journal::port::{ATTEMPTS_KEPT, Reading};
use crate::message::WorkspaceId;
use crate::workspace::Policy;
use crate::workspace::state::Summary;
use crate::workspace::view::WebhookView;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub(super) async fn live(
    State(shared): State<Arc<Shared>>,
    scope: Scope,
    draining: Option<Extension<Draining>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    shared.stream(scope, draining.map(|Extension(draining)| draining), &headers).await
}

impl Shared {
    /// Opens a stream for whoever `scope` proves.
    pub(super) async fn stream(
        self: Arc<Self>,
        scope: Scope,
        draining: Option<Draining>,
        headers: &HeaderMap,
    ) -> Result<Response, Problem> {
        let last = last_event_id(headers)?;
        let place = self.live.place()?;
        let watched = match self.live.join(&scope.workspace)? {
            Some(watched) => watched,
            None => {
                let reading = self.read(&scope.workspace).await?;
                let seen = Seen::of(&scope.workspace, &reading, &self.facade.policy);
                self.live.begin(&self, &scope.workspace, seen)?
            }
        };
        let mut seen = watched.borrow().clone();
        if last.is_some_and(|last| last > seen.seq) {
            // What was read for others is a moment older than what this caller has seen.
            let reading = self.read(&scope.workspace).await?;
            seen = Seen::of(&scope.workspace, &reading, &self.facade.policy).into();
        }
        let now = (self.facade.clock)().unix_seconds();
        let follower = Follower {
            cursor: Cursor { after: last.unwrap_or(seen.seq), told: None },
            expires: expires_in(&scope.caller, now).map(|left| Instant::now() + left),
            caller: scope.caller,
            pending: VecDeque::new(),
            next: Some(seen),
            watched,
            draining,
            _place: place,
        };
        let events = stream::unfold(follower, |mut follower| async move {
            let news = follower.next().await?;
            Some((Ok::<_, Infallible>(news.event()), follower))
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
        None => Err(Problem::new(Kind::InvalidQuery, "Last-Event-ID must be the id of an event of this stream")),
    }
}

/// Every open stream of this node, and what is read for them.
pub(super) struct Live {
    places: Arc<Semaphore>,
    watched: Mutex<HashMap<WorkspaceId, Arc<watch::Sender<Arc<Seen>>>>>,
}

impl Default for Live {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(LIVE_STREAMS_MAX)), watched: Mutex::default() }
    }
}

impl Live {
    fn place(&self) -> Result<OwnedSemaphorePermit, Problem> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let detail = format!("this node has {LIVE_STREAMS_MAX} live streams open already; try again in a while");
            Problem::new(Kind::TooManyStreams, detail)
        })
    }

    /// What is known of a workspace that is watched already.
    fn join(&self, workspace: &WorkspaceId) -> Result<Option<watch::Receiver<Arc<Seen>>>, Problem> {
        let watched = self.watched.lock();
        watched.get(workspace).map(|sender| subscribe(sender)).transpose()
    }

    /// The same, and watches it from now on if nobody does yet.
    fn begin(
        &self,
        shared: &Arc<Shared>,
        workspace: &WorkspaceId,
        seen: Seen,
    ) -> Result<watch::Receiver<Arc<Seen>>, Problem> {
        let mut watched = self.watched.lock();
        if let Some(sender) = watched.get(workspace) {
            return subscribe(sender);
        }
        let (sender, receiver) = watch::channel(Arc::new(seen));
        let sender = Arc::new(sender);
        watched.insert(workspace.clone(), Arc::clone(&sender));
        let watch = Watch { shared: Arc::clone(shared), workspace: workspace.clone(), sender };
        tokio::spawn(watch.run());
        Ok(receiver)
    }
}

fn subscribe(sender: &watch::Sender<Arc<Seen>>) -> Result<watch::Receiver<Arc<Seen>>, Problem> {
    if sender.receiver_count() < LIVE_STREAMS_PER_WORKSPACE_MAX {
        return Ok(sender.subscribe());
    }
    let most = LIVE_STREAMS_PER_WORKSPACE_MAX;
    let detail = format!("this workspace has {most} live streams open already; close one of them");
    Err(Problem::new(Kind::TooManyStreams, detail))
}

/// Reads one workspace for its streams, until the last of them has ended.
struct Watch {
    shared: Arc<Shared>,
    workspace: WorkspaceId,
    sender: Arc<watch::Sender<Arc<Seen>>>,
}

impl Watch {
    async fn run(self) {
        let mut failures = 0;
        loop {
            let pause = if failures == 0 { LIVE_POLL } else { LIVE_RETRY.after(failures - 1) };
            tokio::time::sleep(pause).await;
            if self.is_over() {
                return;
            }
            let Ok(reading) = self.shared.read(&self.workspace).await else {
                failures += 1;
                continue;
            };
            failures = 0;
            let seen = Seen::of(&self.workspace, &reading, &self.shared.facade.policy);
            self.sender.send_if_modified(|present| {
                let news = **present != seen;
                if news {
                    *present = Arc::new(seen);
                }
                news
            });
        }
    }

    /// Nobody listens any more; who comes now gets a watch of his own.
    fn is_over(&self) -> bool {
        let mut watched = self.shared.live.watched.lock();
        let over = self.sender.receiver_count() == 0;
        if over {
            watched.remove(&self.workspace);
        }
        over
    }
}

/// What the streams of a workspace need of a reading: small, so that it may be kept for them.
#[derive(Debug, PartialEq)]
struct Seen {
    /// The seq of the last event.
    seq: u64,
    /// Oldest first.
    attempts: Vec<(u64, Summary)>,
    webhook: WebhookView,
    /// Tokens of an earlier generation are revoked.
    token_generation: u64,
}

impl Seen {
    fn of(workspace: &WorkspaceId, reading: &Reading, policy: &Policy) -> Self {
        let attempts = reading.attempts.iter().rev();
        Self {
            seq: reading.state.seq,
            attempts: attempts.map(|(seq, attempt)| (*seq, Summary::new(*seq, attempt))).collect(),
            webhook: WebhookView::new(workspace, &reading.state, policy),
            token_generation: reading.state.token_generation,
        }
    }
}

/// How far a client is.
#[derive(Debug)]
struct Cursor {
    /// The seq up to which it knows everything.
    after: u64,
    /// The state that it knows.
    told: Option<WebhookView>,
}

/// One event of a stream.
#[derive(Debug, PartialEq)]
enum News {
    /// Attempts after this seq and before that one are no longer known; there may have been some.
    Gap { after: u64, before: u64 },
    /// A new attempt.
    Attempt { seq: u64, attempt: Box<Summary> },
    /// The webhook's state, after everything up to this seq.
    State { seq: u64, webhook: Box<WebhookView> },
}

impl Cursor {
    /// What the client does not know yet, oldest first: at most the attempts that are kept, and two more.
    fn news(&mut self, seen: &Seen) -> VecDeque<News> {
        let mut news = VecDeque::new();
        // A seq from the future: the store has forgotten what it had acknowledged.
        self.after = self.after.min(seen.seq);
        if let Some((oldest, _)) = seen.attempts.first()
            && seen.attempts.len() >= ATTEMPTS_KEPT
            && *oldest > self.after.saturating_add(1)
        {
            news.push_back(News::Gap { after: self.after, before: *oldest });
        }
        let new = seen.attempts.iter().filter(|(seq, _)| *seq > self.after);
        news.extend(new.map(|(seq, attempt)| News::Attempt { seq: *seq, attempt: Box::new(attempt.clone()) }));
        self.after = seen.seq;
        if self.told.as_ref() != Some(&seen.webhook) {
            self.told = Some(seen.webhook.clone());
            news.push_back(News::State { seq: seen.seq, webhook: Box::new(seen.webhook.clone()) });
        }
        news
    }
}

impl News {
    fn event(&self) -> Event {
        #[derive(Serialize)]
        struct Gap {
            after: String,
            before: String,
        }
        match self {
            Self::Gap { after, before } => {
                let gap = Gap { after: after.to_string(), before: before.to_string() };
                Self::encoded("gap", before.saturating_sub(1), &gap)
            }
            Self::Attempt { seq, attempt } => Self::encoded("attempt", *seq, attempt),
            Self::State { seq, webhook } => Self::encoded("state", *seq, webhook),
        }
    }

    #[expect(clippy::expect_used, reason = "names are strings and numbers finite, so all of it can be JSON")]
    fn encoded(kind: &str, seq: u64, data: &impl Serialize) -> Event {
        let event = Event::default().event(kind).id(seq.to_string());
        event.json_data(data).expect("an event is written as JSON")
    }
}

/// One open stream.
struct Follower {
    caller: Caller,
    /// When its token does; `None`: never.
    expires: Option<Instant>,
    cursor: Cursor,
    pending: VecDeque<News>,
    /// Seen, and not yet compared with what the client knows.
    next: Option<Arc<Seen>>,
    watched: watch::Receiver<Arc<Seen>>,
    draining: Option<Draining>,
    _place: OwnedSemaphorePermit,
}

impl Follower {
    /// What the client is told next; `None` at the end of the stream.
    async fn next(&mut self) -> Option<News> {
        loop {
            if let Some(news) = self.pending.pop_front() {
                return Some(news);
            }
            if let Some(seen) = self.next.take() {
                if is_revoked(&self.caller, seen.token_generation) {
                    return None;
                }
                self.pending = self.cursor.news(&seen);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::State;
    use crate::workspace::time::Time;

    fn seen(seq: u64, attempts: impl IntoIterator<Item = u64>) -> Seen {
        let workspace = "acme".parse().unwrap();
        let reading = Reading { state: State { seq, ..State::default() }, attempts: Vec::new() };
        let summary = |seq: u64| {
            let summary = serde_json::json!({
                "id": seq.to_string(), "at": Time::default(), "trigger": "message", "message_id": "m",
                "webhook_id": "w", "outcome": "delivered", "status": 200, "error": null, "duration_ms": 1,
            });
            (seq, serde_json::from_value(summary).unwrap())
        };
        let attempts = attempts.into_iter().map(summary).collect();
        Seen { attempts, ..Seen::of(&workspace, &reading, &Policy::default()) }
    }

    fn told(cursor: &mut Cursor, seen: &Seen) -> Vec<String> {
        let word = |news: News| match news {
            News::Gap { after, before } => format!("gap {after}..{before}"),
            News::Attempt { seq, .. } => seq.to_string(),
            News::State { seq, .. } => format!("state {seq}"),
        };
        cursor.news(seen).into_iter().map(word).collect()
    }

    #[test]
    fn a_stream_begins_with_the_present_state_and_goes_on_with_what_is_new() {
        let mut cursor = Cursor { after: 2, told: None };
        assert_eq!(told(&mut cursor, &seen(2, [1, 2])), ["state 2"]);
        assert_eq!(told(&mut cursor, &seen(2, [1, 2])), [""; 0]);
        assert_eq!(told(&mut cursor, &seen(5, [1, 2, 4, 5])), ["4", "5"]);
    }

    #[test]
    fn who_comes_back_gets_what_he_missed_and_is_told_of_what_is_gone() {
        let mut cursor = Cursor { after: 3, told: None };
        assert_eq!(told(&mut cursor, &seen(6, [2, 4, 6])), ["4", "6", "state 6"]);
        let mut cursor = Cursor { after: 3, told: None };
        let news = told(&mut cursor, &seen(150, 51..=150));
        assert_eq!((news.len(), news[0].as_str(), news[1].as_str()), (102, "gap 3..51", "51"));
        // Nothing is missing where the oldest that is kept is the next one.
        let mut cursor = Cursor { after: 50, told: None };
        assert_eq!(told(&mut cursor, &seen(150, 51..=150))[0], "51");
    }

    #[test]
    fn a_seq_that_the_store_has_forgotten_counts_as_the_present_one() {
        let mut cursor = Cursor { after: 9, told: None };
        assert_eq!(told(&mut cursor, &seen(5, [4, 5])), ["state 5"]);
        assert_eq!(told(&mut cursor, &seen(6, [4, 5, 6])), ["6"]);
    }
}
