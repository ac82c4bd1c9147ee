//! Tasks of a shard that panic: the shard goes on, and nothing is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::bench::Bench;
use crate::journal::port::{
    AcquireError, Acquired, GlancesReading, HandedOver, Holder, Journal, ListQuery, ListedWorkspace, NodeRecord,
    NodesReading, NotedKey, Owed, Poll, Polled, PublishError, RawEntry, ReadError, Reading, RequeueError, Requeued,
    ShardConnection, ShardConnectionError, ShardIntake, ShardRequest, ShardResponse, StoreError, SubmitError, WalkPage,
};
use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::command::{Answer, Command};
use crate::workspace::event::Event;
use crate::workspace::time::Time;
use crate::workspace::view::NodeGlance;
use support::process::until;

#[tokio::test]
async fn a_reader_that_panics_is_started_again() {
    survives(&[|faults| &faults.poll]).await;
}

#[tokio::test]
async fn an_acquisition_that_panics_is_made_again() {
    // Without another failure nothing is acquired again.
    survives(&[|faults| &faults.acquire, |faults| &faults.poll]).await;
}

#[tokio::test]
async fn a_request_to_the_store_that_panics_has_its_shard_acquired_again() {
    survives(&[|faults| &faults.send]).await;
}

#[tokio::test]
async fn a_hand_over_that_panics_is_made_again() {
    let faults = Arc::new(Faults::default());
    faults.hand_over.store(true, Ordering::Relaxed);
    let _bench = bench(&faults).await;
    until("it is handed over after the panic", async || faults.handed_over.load(Ordering::Relaxed)).await;
}

/// Given a running service, when the next calls of some kinds panic, then what is published is delivered.
async fn survives(kinds: &[fn(&Faults) -> &AtomicBool]) {
    let faults = Arc::new(Faults::default());
    let bench = bench(&faults).await;
    bench.save("acme").await;
    kinds.iter().for_each(|kind| kind(&faults).store(true, Ordering::Relaxed));
    for n in 0..20 {
        bench.publish("acme", "+2", &format!("m{n}")).await;
    }
    bench.until("acme", "all are logged", |reading| reading.attempts.len() == 20).await;
    assert!(kinds.iter().all(|kind| !kind(&faults).load(Ordering::Relaxed)), "nothing panicked");
    let mut ids = bench.message_ids("acme");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 20);
}

#[tokio::test]
async fn the_watches_of_a_node_that_panic_begin_again() {
    let faults = Arc::new(Faults::default());
    faults.ping.store(true, Ordering::Relaxed);
    faults.counts.store(true, Ordering::Relaxed);
    let _bench = bench(&faults).await;
    let went_on = async || faults.pinged.load(Ordering::Relaxed) && faults.counted.load(Ordering::Relaxed);
    until("the watches go on", went_on).await;
}

/// The node that takes the shard next must not wait until a lease of nobody ends.
#[tokio::test]
async fn a_lease_that_comes_while_its_shard_is_given_up_is_given_back() {
    let faults = Arc::new(Faults::default());
    faults.late.store(true, Ordering::Relaxed);
    let mut bench = bench(&faults).await;
    until("the leases are taken", async || faults.acquired.load(Ordering::Relaxed) == 2).await;
    let drain = bench.handle.take().unwrap().drain();
    let answer = async {
        until("the shards are given up", async || faults.asked_to_end.load(Ordering::Relaxed)).await;
        faults.late.store(false, Ordering::Relaxed);
    };
    tokio::join!(drain, answer);
    assert_eq!(faults.released.load(Ordering::Relaxed), 2);
}

async fn bench(faults: &Arc<Faults>) -> Bench {
    let faults = Arc::clone(faults);
    Bench::with(|options| {
        let inner = Arc::clone(&options.journal);
        options.journal = Arc::new(Panicking { inner, faults });
    })
    .await
}

/// Which call panics next, once.
#[derive(Debug, Default)]
struct Faults {
    acquire: AtomicBool,
    poll: AtomicBool,
    send: AtomicBool,
    hand_over: AtomicBool,
    ping: AtomicBool,
    counts: AtomicBool,
    /// One of each was asked for that did not panic.
    pinged: AtomicBool,
    counted: AtomicBool,
    /// A hand-over was asked for that did not panic.
    handed_over: AtomicBool,
    /// Acquisitions are answered only when this is over.
    late: AtomicBool,
    acquired: AtomicUsize,
    released: AtomicUsize,
    /// A node said that it ends.
    asked_to_end: AtomicBool,
}

fn strike(fault: &AtomicBool) {
    assert!(!fault.swap(false, Ordering::Relaxed), "as the test asked");
}

/// A journal of which single calls panic.
struct Panicking {
    inner: Arc<dyn Journal>,
    faults: Arc<Faults>,
}

#[async_trait]
impl Journal for Panicking {
    fn shards(&self) -> u16 {
        self.inner.shards()
    }

    async fn acquire(&self, shard: u16, holder: &Holder) -> Result<Acquired, AcquireError> {
        strike(&self.faults.acquire);
        let acquired = self.inner.acquire(shard, holder).await?;
        self.faults.acquired.fetch_add(1, Ordering::Relaxed);
        while self.faults.late.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(1)).await; // Until the test says so.
        }
        let faults = Arc::clone(&self.faults);
        let connection = Box::new(PanickingConnection { inner: acquired.connection, faults: Arc::clone(&faults) });
        let intake = Box::new(PanickingIntake { inner: acquired.intake, faults });
        Ok(Acquired { connection, intake, ..acquired })
    }

    async fn submit(&self, workspace: &WorkspaceId, command: &Command, wait: Duration) -> Result<Answer, SubmitError> {
        self.inner.submit(workspace, command, wait).await
    }

    async fn publish(&self, workspace: &WorkspaceId, message: &RawMessage) -> Result<EntryId, PublishError> {
        self.inner.publish(workspace, message).await
    }

    async fn publish_all(
        &self,
        workspace: &WorkspaceId,
        messages: &[RawMessage],
    ) -> Result<Vec<EntryId>, PublishError> {
        self.inner.publish_all(workspace, messages).await
    }

    async fn read(&self, workspace: &WorkspaceId) -> Result<Reading, ReadError> {
        self.inner.read(workspace).await
    }

    async fn walk(&self, place: Option<&str>) -> Result<WalkPage, StoreError> {
        self.inner.walk(place).await
    }

    async fn sealing_keys(&self) -> Result<Vec<NotedKey>, StoreError> {
        self.inner.sealing_keys().await
    }

    async fn note_sealing_key(&self, id: &str, print: Option<u64>) -> Result<(), StoreError> {
        self.inner.note_sealing_key(id, print).await
    }

    async fn end_operator_session(&self, id: &str, until: Time) -> Result<(), StoreError> {
        self.inner.end_operator_session(id, until).await
    }

    async fn has_operator_session_ended(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.has_operator_session_ended(id).await
    }

    async fn workspace_counts(&self) -> Result<[u64; 4], StoreError> {
        self.inner.workspace_counts().await
    }

    async fn history(&self, workspace: &WorkspaceId) -> Result<Vec<(u64, Event)>, ReadError> {
        self.inner.history(workspace).await
    }

    async fn workspaces(&self, query: &ListQuery) -> Result<Vec<ListedWorkspace>, StoreError> {
        self.inner.workspaces(query).await
    }

    async fn hand_over(&self, max: usize, block: Duration) -> Result<HandedOver, StoreError> {
        strike(&self.faults.hand_over);
        self.faults.handed_over.store(true, Ordering::Relaxed);
        self.inner.hand_over(max, block).await
    }

    async fn rejected(&self, shard: u16, from: EntryId, count: usize) -> Result<Vec<RawEntry>, StoreError> {
        self.inner.rejected(shard, from, count).await
    }

    async fn rejected_counts(&self) -> Result<Vec<u64>, StoreError> {
        strike(&self.faults.counts);
        self.faults.counted.store(true, Ordering::Relaxed);
        self.inner.rejected_counts().await
    }

    async fn rejected_bytes(&self) -> Result<Vec<u64>, StoreError> {
        self.inner.rejected_bytes().await
    }

    async fn requeue(&self, shard: u16, id: EntryId) -> Result<Requeued, RequeueError> {
        self.inner.requeue(shard, id).await
    }

    async fn discard(&self, shard: u16, ids: &[EntryId]) -> Result<u64, StoreError> {
        self.inner.discard(shard, ids).await
    }

    async fn register(&self, node: &NodeRecord) -> Result<NodesReading, StoreError> {
        self.faults.asked_to_end.fetch_or(node.leaving, Ordering::Relaxed);
        self.inner.register(node).await
    }

    async fn withdraw(&self, node: &NodeRecord) -> Result<(), StoreError> {
        self.inner.withdraw(node).await
    }

    async fn nodes(&self) -> Result<NodesReading, StoreError> {
        self.inner.nodes().await
    }

    async fn tell_glance(&self, glance: &NodeGlance) -> Result<(), StoreError> {
        self.inner.tell_glance(glance).await
    }

    async fn glances(&self) -> Result<GlancesReading, StoreError> {
        self.inner.glances().await
    }

    async fn owed(&self) -> Result<Vec<Owed>, StoreError> {
        self.inner.owed().await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        strike(&self.faults.ping);
        self.faults.pinged.store(true, Ordering::Relaxed);
        self.inner.ping().await
    }
}

struct PanickingIntake {
    inner: Box<dyn ShardIntake>,
    faults: Arc<Faults>,
}

#[async_trait]
impl ShardIntake for PanickingIntake {
    async fn poll(&mut self, request: &Poll) -> Result<Polled, StoreError> {
        strike(&self.faults.poll);
        self.inner.poll(request).await
    }
}

struct PanickingConnection {
    inner: Box<dyn ShardConnection>,
    faults: Arc<Faults>,
}

impl ShardConnection for PanickingConnection {
    fn send(&self, request: ShardRequest) -> BoxFuture<'static, Result<ShardResponse, ShardConnectionError>> {
        if matches!(request, ShardRequest::Release) {
            self.faults.released.fetch_add(1, Ordering::Relaxed);
        }
        let (faults, response) = (Arc::clone(&self.faults), self.inner.send(request));
        async move {
            strike(&faults.send);
            response.await
        }
        .boxed()
    }
}
