//! The path of a message: what the cores of a shard and its workspaces do, with a store that answers at once and
//! remembers nothing, and an endpoint that answers without being asked.

use std::time::Duration;

use bytes::Bytes;
use outbound::actor::bench::{ShardDriver, StoreRequest};
use outbound::config::LEASE_MIN;
use outbound::config::network::EgressRules;
use outbound::deliver::{AttemptOutcome, Courier, CourierOptions, Egress};
use outbound::journal::port::{Batch, Loaded, Poll, Polled, RawEntry, ShardRequest, ShardResponse};
use outbound::message::EntryId;
use tokio::time::Instant;

use super::sample::{self, NOW, URL};

/// The size of a message in src/docs/performance.md.
const MESSAGE_BYTES: usize = 700;
/// The messages of a read, one of each chat of each workspace.
const WORKSPACES: usize = 4;
const CHATS: usize = 8;

/// Walks the path until so many messages are settled.
pub(crate) fn walk(messages: u64) {
    outbound::deliver::install_crypto();
    // Time stands still, so the same happens in every run.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let (reach, egress) = (EgressRules::default(), Egress::default());
        let options = CourierOptions { timeout: Duration::from_secs(5), reach, clock: || NOW, egress };
        let courier = Courier::new(&options).expect("a courier");
        let mut shard = ShardDriver::new(courier, || NOW, delivered);
        let mut store = Store::new();
        while store.settled < messages {
            for request in shard.work().await {
                match request {
                    StoreRequest::Read(poll) => shard.polled(store.read(&poll)),
                    StoreRequest::Send(request) => shard.answered(store.answer(request)),
                }
            }
        }
    });
}

/// The courier makes and signs the headers, and the egress guard lets nothing out: what would have come back is put
/// in its place.
fn delivered(done: AttemptOutcome) -> AttemptOutcome {
    assert!(done.headers.iter().any(|(name, _)| name == "webhook-signature"), "nothing was signed: {done:?}");
    assert!(done.response.is_none() && done.error.is_some(), "{URL} was reached");
    AttemptOutcome {
        error: None,
        response: Some(sample::response().into()),
        duration: Duration::from_millis(12),
        ..done
    }
}

/// A stream without end, of which every read finds all that it asks for.
struct Store {
    /// The fields of the entries, which repeat.
    entries: Vec<Vec<(Bytes, Bytes)>>,
    next: u64,
    settled: u64,
}

impl Store {
    fn new() -> Self {
        let text = String::from_utf8(sample::message(MESSAGE_BYTES).into()).expect("JSON");
        let chats = (0..CHATS).flat_map(|chat| (0..WORKSPACES).map(move |workspace| (chat, workspace)));
        let entries = chats.map(|(chat, workspace)| {
            let message = text.replace("+972550000000", &format!("+97255000000{chat}"));
            vec![
                (Bytes::from_static(b"workspace"), format!("acme-{workspace}").into()),
                (Bytes::from_static(b"message"), message.into()),
            ]
        });
        Self { entries: entries.collect(), next: 0, settled: 0 }
    }

    fn read(&mut self, poll: &Poll) -> Polled {
        let count = poll.messages.map_or(0, |(_, count)| count);
        assert_eq!(count, self.entries.len(), "a read of all chats");
        let first = NOW.unix_ms().unsigned_abs() + self.next;
        self.next += self.entries.len() as u64;
        let entry = |(ms, fields): (u64, &Vec<_>)| RawEntry { id: EntryId { ms, n: 0 }, fields: fields.clone() };
        Polled { messages: (first..).zip(&self.entries).map(entry).collect(), ..Polled::default() }
    }

    fn answer(&mut self, request: ShardRequest) -> ShardResponse {
        match request {
            ShardRequest::Commit { number, batch } => {
                self.commit(std::hint::black_box(batch));
                ShardResponse::Committed { number, lease_until: Instant::now() + LEASE_MIN }
            }
            ShardRequest::Load(workspace) => {
                let loaded = Loaded { state: sample::state(), since_snapshot: 0, attempted: Vec::new() };
                ShardResponse::Loaded(workspace, Ok(Box::new(loaded)))
            }
            other => panic!("no message leads to {other:?}"),
        }
    }

    fn commit(&mut self, batch: Batch) {
        for step in batch.steps {
            assert_eq!(step.attempts.len(), step.settled.len(), "every message is attempted once: {step:?}");
            self.settled += step.settled.len() as u64;
        }
    }
}
