//! A journal that answers what a test told it, and a caller of the facade's router.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use outbound::deliver::Guard;
use outbound::http::{Access, AdminToken, Facade, PublicOrigin, Readiness, SendTestMail, TokenKey, router};
use outbound::journal::port::{
    AcquireError, Acquired, GlancesReading, HandedOver, Holder, Journal, ListQuery, ListedWorkspace, NodeRecord,
    NodesReading, NotedKey, Owed, PublishError, RawEntry, ReadError, Reading, RequeueError, Requeued, SeenNode,
    ShardOwner, StoreError, StoreTrouble, SubmitError, Version, WalkPage,
};
use outbound::message::{EntryId, RawMessage, WorkspaceId};
use outbound::workspace::command::{Answer, Command, Refusal};
use outbound::workspace::event::Event;
use outbound::workspace::view::{NodeGlance, WebhookView};
use outbound::workspace::{Policy, State, Time};
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::ServiceExt;
use uuid::Uuid;

use description::Description;

mod description;

/// 2026-01-31T12:00:00.000Z.
pub(crate) const NOW: Time = Time::from_unix_ms(1_769_860_800_000);
/// What opens the facade under test.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// What signs its workspace tokens.
pub(crate) const TOKEN_KEY: [u8; 32] = [7; 32];
/// What every request names.
const HOST: &str = "localhost";
pub(crate) const ANSWER_WAIT: Duration = Duration::from_secs(15);
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

type Scripted<T, E> = Box<dyn Fn() -> Result<T, E> + Send + Sync>;

/// Answers as scripted and notes what it was asked.
pub(crate) struct FakeJournal {
    pub(crate) submit: Scripted<Answer, SubmitError>,
    pub(crate) publish: Scripted<EntryId, PublishError>,
    pub(crate) read: Scripted<Reading, ReadError>,
    /// What a watch compares; `None`: the journal cannot tell.
    pub(crate) version: Box<dyn Fn() -> Option<Version> + Send + Sync>,
    /// How often a workspace was read whole.
    pub(crate) reads: Mutex<usize>,
    pub(crate) history: Scripted<Vec<(u64, Event)>, ReadError>,
    pub(crate) requeue: Box<dyn Fn(u16, EntryId) -> Result<Requeued, RequeueError> + Send + Sync>,
    pub(crate) discard: Box<Discard>,
    /// Rejected entries by shard and id.
    pub(crate) rejected: Vec<(u16, RawEntry)>,
    pub(crate) nodes: NodesReading,
    pub(crate) owed: Vec<Owed>,
    /// What the nodes told of what they know.
    pub(crate) glances: GlancesReading,
    /// The workspaces that there are; without them there are as many as anybody asks for, and none can be read.
    pub(crate) workspaces: Option<Vec<ListedWorkspace>>,
    /// Never answers a read or a publish.
    pub(crate) hangs: bool,
    /// Answers nothing that the operators' screen asks.
    pub(crate) away: AtomicBool,
    /// Does not say whether a session was ended.
    pub(crate) vouches_for_none: AtomicBool,
    /// A submit takes one before it answers: a test that holds them back holds answers back.
    pub(crate) gate: Semaphore,
    pub(crate) submitted: Mutex<Vec<(WorkspaceId, Command, Duration)>>,
    pub(crate) published: Mutex<Vec<(WorkspaceId, Vec<u8>)>>,
    pub(crate) answered: Mutex<usize>,
    /// Lists of workspaces that were asked for.
    pub(crate) listed: Mutex<Vec<ListQuery>>,
    /// Sessions of the operator.
    pub(crate) ended_sessions: Mutex<Vec<String>>,
}

/// Deletes rejected entries of a shard.
pub(crate) type Discard = dyn Fn(u16, &[EntryId]) -> Result<u64, StoreError> + Send + Sync;

impl Default for FakeJournal {
    fn default() -> Self {
        Self {
            submit: Box::new(|| Ok(Answer::Refused { refusal: Refusal::Internal })),
            publish: Box::new(|| Ok(EntryId { ms: 1_769_860_800_000, n: 3 })),
            read: Box::new(|| Ok(Reading { state: State::default(), attempts: Vec::new() })),
            version: Box::new(|| None),
            reads: Mutex::default(),
            history: Box::new(|| Ok(Vec::new())),
            requeue: Box::new(|shard, id| Err(RequeueError::Gone { shard, id })),
            discard: Box::new(|_, _| Ok(0)),
            rejected: Vec::new(),
            nodes: NodesReading::default(),
            owed: Vec::new(),
            glances: GlancesReading::default(),
            workspaces: None,
            hangs: false,
            away: AtomicBool::default(),
            vouches_for_none: AtomicBool::new(false),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
            submitted: Mutex::default(),
            published: Mutex::default(),
            answered: Mutex::default(),
            listed: Mutex::default(),
            ended_sessions: Mutex::default(),
        }
    }
}

impl FakeJournal {
    fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    fn unless_away<T>(&self, answer: T) -> Result<T, StoreError> {
        if self.is_away() { Err(away()) } else { Ok(answer) }
    }
}

#[async_trait]
impl Journal for FakeJournal {
    fn shards(&self) -> u16 {
        3
    }

    async fn acquire(&self, _shard: u16, _holder: &Holder) -> Result<Acquired, AcquireError> {
        Err(AcquireError::Store(away()))
    }

    async fn submit(&self, workspace: &WorkspaceId, command: &Command, wait: Duration) -> Result<Answer, SubmitError> {
        self.submitted.lock().unwrap().push((workspace.clone(), command.clone(), wait));
        self.gate.acquire().await.unwrap().forget();
        *self.answered.lock().unwrap() += 1;
        (self.submit)()
    }

    async fn publish(&self, workspace: &WorkspaceId, message: &RawMessage) -> Result<EntryId, PublishError> {
        self.published.lock().unwrap().push((workspace.clone(), message.bytes().to_vec()));
        if self.hangs { std::future::pending().await } else { (self.publish)() }
    }

    async fn publish_all(
        &self,
        workspace: &WorkspaceId,
        messages: &[RawMessage],
    ) -> Result<Vec<EntryId>, PublishError> {
        let mut ids = Vec::new();
        for message in messages {
            ids.push(self.publish(workspace, message).await?);
        }
        Ok(ids)
    }

    async fn version(&self, _workspace: &WorkspaceId) -> Result<Option<Version>, ReadError> {
        Ok((self.version)())
    }

    async fn read(&self, _workspace: &WorkspaceId) -> Result<Reading, ReadError> {
        *self.reads.lock().unwrap() += 1;
        if self.hangs { std::future::pending().await } else { (self.read)() }
    }

    async fn history(&self, _workspace: &WorkspaceId) -> Result<Vec<(u64, Event)>, ReadError> {
        if self.hangs { std::future::pending().await } else { (self.history)() }
    }

    async fn workspaces(&self, query: &ListQuery) -> Result<Vec<ListedWorkspace>, StoreError> {
        self.listed.lock().unwrap().push(query.clone());
        let listed = |n: usize| ListedWorkspace { workspace: format!("w{n:03}").parse().unwrap(), state: None };
        let listed = match &self.workspaces {
            None => (0..query.count).map(listed).collect(),
            Some(there) => {
                let is_asked_for = |listed: &&ListedWorkspace| {
                    let status = listed.state.as_ref().map(State::status);
                    query.after.as_ref().is_none_or(|after| listed.workspace > *after)
                        && query.status.is_none_or(|wanted| status.is_none_or(|status| status == wanted))
                };
                there.iter().filter(is_asked_for).take(query.count).cloned().collect()
            }
        };
        if self.hangs { std::future::pending().await } else { self.unless_away(listed) }
    }

    async fn workspace_counts(&self) -> Result<[u64; 4], StoreError> {
        if self.hangs { std::future::pending().await } else { self.unless_away([1, 20, 3, 4_000]) }
    }

    async fn walk(&self, _place: Option<&str>) -> Result<WalkPage, StoreError> {
        Ok(WalkPage::default())
    }

    async fn sealing_keys(&self) -> Result<Vec<NotedKey>, StoreError> {
        Ok(Vec::new())
    }

    async fn note_sealing_key(&self, _id: &str, _print: Option<u64>) -> Result<(), StoreError> {
        Ok(())
    }

    async fn end_operator_session(&self, id: &str, _until: Time) -> Result<(), StoreError> {
        let ended = self.unless_away(())?;
        self.ended_sessions.lock().unwrap().push(id.to_owned());
        Ok(ended)
    }

    async fn has_operator_session_ended(&self, id: &str) -> Result<bool, StoreError> {
        let has_ended = self.ended_sessions.lock().unwrap().iter().any(|ended| ended == id);
        let hangs = self.hangs || self.vouches_for_none.load(Ordering::Relaxed);
        if hangs { std::future::pending().await } else { self.unless_away(has_ended) }
    }

    async fn hand_over(&self, _max: usize, _block: Duration) -> Result<HandedOver, StoreError> {
        Ok(HandedOver::default())
    }

    async fn rejected(&self, shard: u16, from: EntryId, count: usize) -> Result<Vec<RawEntry>, StoreError> {
        let from = self.rejected.iter().filter(|(of, entry)| *of == shard && entry.id >= from);
        Ok(from.map(|(_, entry)| entry.clone()).take(count).collect())
    }

    async fn rejected_bytes(&self) -> Result<Vec<u64>, StoreError> {
        Ok(Vec::new())
    }

    async fn rejected_counts(&self) -> Result<Vec<u64>, StoreError> {
        if self.hangs {
            std::future::pending().await
        }
        let count = |shard| self.rejected.iter().filter(|(of, _)| *of == shard).count() as u64;
        self.unless_away((0..self.shards()).map(count).collect())
    }

    async fn requeue(&self, shard: u16, id: EntryId) -> Result<Requeued, RequeueError> {
        (self.requeue)(shard, id)
    }

    async fn discard(&self, shard: u16, ids: &[EntryId]) -> Result<u64, StoreError> {
        (self.discard)(shard, ids)
    }

    async fn register(&self, _node: &NodeRecord) -> Result<NodesReading, StoreError> {
        Err(away())
    }

    async fn withdraw(&self, _node: &NodeRecord) -> Result<(), StoreError> {
        Err(away())
    }

    async fn nodes(&self) -> Result<NodesReading, StoreError> {
        if self.hangs { std::future::pending().await } else { self.unless_away(self.nodes.clone()) }
    }

    async fn tell_glance(&self, _glance: &NodeGlance) -> Result<(), StoreError> {
        Ok(())
    }

    async fn glances(&self) -> Result<GlancesReading, StoreError> {
        if self.hangs { std::future::pending().await } else { self.unless_away(self.glances.clone()) }
    }

    async fn owed(&self) -> Result<Vec<Owed>, StoreError> {
        Ok(self.owed.clone())
    }

    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Two nodes that share three shards; one of them is gone.
pub(crate) fn two_nodes() -> FakeJournal {
    let node = |id: &str, address: &str, last_ms: i64| SeenNode {
        record: NodeRecord {
            id: id.to_owned(),
            process: "p".to_owned(),
            address: address.to_owned(),
            version: "0.1.0".to_owned(),
            runs: "0-1".parse().unwrap(),
            ..NodeRecord::default()
        },
        began: Time::from_unix_ms(NOW.unix_ms() - 3_600_000),
        seen: Time::from_unix_ms(NOW.unix_ms() - last_ms),
    };
    let mut gone = node("c7a1d1de-2f0b-4a55-8a39-6f1f5a1b9e7d", "10.0.0.2:8080", 8_000);
    gone.record.static_shards = Some("2".parse().unwrap());
    let nodes = vec![node("5f0f3fd0-7f4c-4b5c-9d5e-0b8f5e1d2c3b", "10.0.0.1:8080", 500), gone];
    let owner = |n: usize| Some(ShardOwner { node: nodes[n].record.id.clone(), remaining: Duration::from_secs(3) });
    let owners = vec![owner(0), owner(0), owner(1)];
    let oldest = EntryId { ms: u64::try_from(NOW.unix_ms() - 7_000).unwrap(), n: 0 };
    FakeJournal {
        nodes: NodesReading { at: NOW, nodes, owners, ..NodesReading::default() },
        owed: vec![Owed::default(), Owed::default(), Owed { messages: 12, oldest: Some(oldest) }],
        ..FakeJournal::default()
    }
}

/// A journal that says of every command that it was applied.
pub(crate) fn applying() -> Arc<FakeJournal> {
    let done = || {
        let webhook = WebhookView::new(&"acme".parse().unwrap(), &State::default(), &Policy::default());
        Ok(Answer::Done { webhook: webhook.into(), attempt: None, reason: None })
    };
    Arc::new(FakeJournal { submit: Box::new(done), ..FakeJournal::default() })
}

/// A store that is away, with a cause that no caller may see.
pub(crate) fn away() -> StoreError {
    StoreError {
        trouble: StoreTrouble::Away,
        what: "reading at redis://user:hunter2@10.0.0.1 failed".to_owned(),
        source: None,
    }
}

pub(crate) fn refusing() -> StoreError {
    StoreError { trouble: StoreTrouble::Refused, ..away() }
}

pub(crate) fn facade(journal: Arc<FakeJournal>, readiness: Readiness) -> Router {
    facade_at(journal, readiness, PublicOrigin::Loopback)
}

pub(crate) fn facade_at(journal: Arc<FakeJournal>, readiness: Readiness, origin: PublicOrigin) -> Router {
    router(parts(journal, readiness, origin))
}

/// A facade that sends test mails so.
pub(crate) fn facade_with_mail(journal: Arc<FakeJournal>, test_mail: SendTestMail) -> Router {
    let parts = parts(journal, working(), PublicOrigin::Loopback);
    router(Facade { test_mail: Some(test_mail), ..parts })
}

/// A facade whose every new id is this one.
pub(crate) fn facade_with_id(journal: Arc<FakeJournal>, fresh_id: fn() -> Uuid) -> Router {
    let parts = parts(journal, working(), PublicOrigin::Loopback);
    router(Facade { fresh_id, ..parts })
}

fn parts(journal: Arc<FakeJournal>, readiness: Readiness, origin: PublicOrigin) -> Facade {
    Facade {
        journal,
        access: Access { admin: AdminToken::new(TOKEN).unwrap(), key: TokenKey::new(&TOKEN_KEY).unwrap(), origin },
        policy: Policy::default(),
        guard: Guard::default(),
        answer_wait: ANSWER_WAIT,
        timeout: TIMEOUT,
        keyring: Arc::default(),
        clock: || NOW,
        fresh_id: Uuid::new_v4,
        readiness: Arc::new(move || readiness.clone()),
        waiting: Arc::new(|_| None),
        glance: Arc::new(NodeGlance::default),
        test_mail: None,
    }
}

pub(crate) fn working() -> Readiness {
    Readiness { ready: true, ..Readiness::default() }
}

/// What came back.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The pair of the cookie that a browser would send from now on.
    #[track_caller]
    pub(crate) fn cookie(&self) -> String {
        assert_eq!(self.status, 303, "{}", self.text);
        self.header("set-cookie").split(';').next().unwrap().to_owned()
    }

    /// What stands in every form of a page of the session.
    #[track_caller]
    pub(crate) fn csrf(&self) -> String {
        let (_, rest) = self.text.split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("{}", self.text));
        rest.split('"').next().unwrap().to_owned()
    }

    /// The last part of the problem's `type`; checks what holds for every problem.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let document = self.json();
        assert_eq!(document["status"], self.status.as_u16(), "{document}");
        for member in ["title", "detail"] {
            assert!(document[member].as_str().is_some_and(|text| text.len() > 5), "{document}");
        }
        document["type"].as_str().unwrap().strip_prefix("urn:outbound:problem:").unwrap().to_owned()
    }
}

/// A request with the admin token and, if it has a body, the JSON content type.
pub(crate) fn request(method: &str, path: &str, body: &str) -> Request<Body> {
    let builder = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {TOKEN}"));
    let builder = builder.header(header::HOST, HOST);
    let builder = if body.is_empty() { builder } else { builder.header(header::CONTENT_TYPE, "application/json") };
    builder.body(Body::from(body.to_owned())).unwrap()
}

/// Calls it, and holds the answer against the description: so every answer of every test is described.
pub(crate) async fn call(router: &Router, request: Request<Body>) -> Reply {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let reply = send(router, request).await;
    description().await.check(&method, &path, &reply);
    reply
}

/// What `/openapi.json` says.
pub(crate) async fn description() -> &'static Description {
    static DESCRIPTION: OnceLock<Description> = OnceLock::new();
    if let Some(description) = DESCRIPTION.get() {
        return description;
    }
    let request = Request::get("/openapi.json").body(Body::empty()).unwrap();
    let reply = send(&facade(Arc::default(), working()), request).await;
    DESCRIPTION.get_or_init(|| Description(reply.json()))
}

async fn send(router: &Router, mut request: Request<Body>) -> Reply {
    request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static(HOST));
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Reply { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}
