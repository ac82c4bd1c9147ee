//! Brings calls to the engine: through a bounded queue to its thread, or right away.

use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::contained::contained;
use super::engine::{Engine, Failure, Job};
use super::file::{RESERVE_BYTES, why_it_failed};

/// Calls that wait for the writer at most. Publishers and submitters wait for a place before; the
/// shard connections of 1,024 shards that keep to their bounds do not come near it.
pub(super) const QUEUE_MAX: usize = 65_536;
/// Calls of one transaction at most.
const MERGED_MAX: usize = 4_096;
/// Bytes of one transaction, beyond which no further call joins it.
const MERGED_BYTES_MAX: usize = RESERVE_BYTES;

/// The way to the engine.
pub(super) enum Writer {
    /// Its own thread; `None` only while it is being closed.
    Thread(Option<(mpsc::Sender<Job>, JoinHandle<()>)>),
    /// The caller's thread; `None` after an error of the storage.
    InCall(Mutex<Option<Engine>>),
}

impl Writer {
    pub(super) fn on_thread(engine: Engine, failure: Failure) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let thread =
            std::thread::Builder::new().name("journal".into()).spawn(move || write(engine, receiver, &failure))?;
        Ok(Self::Thread(Some((sender, thread))))
    }

    pub(super) fn in_call(engine: Engine) -> Self {
        Self::InCall(Mutex::new(Some(engine)))
    }

    /// Takes the next place in the order. Does not wait. A call that cannot be taken is dropped, and
    /// whoever waits for its answer learns from `failure` why.
    pub(super) fn call(&self, job: Job, failure: &Failure) {
        match self {
            Self::Thread(Some((queue, _))) => {
                if let Err(mpsc::error::TrySendError::Full(_)) = queue.try_send(job) {
                    tracing::error!("more than {QUEUE_MAX} calls wait for the journal; one was refused");
                }
            }
            Self::Thread(None) => {}
            Self::InCall(engine) => {
                let mut engine = engine.lock();
                run(&mut engine, vec![job], failure);
            }
        }
    }
}

impl Drop for Writer {
    /// Waits until everything that was called is durable.
    fn drop(&mut self) {
        if let Self::Thread(thread) = self
            && let Some((queue, thread)) = thread.take()
        {
            drop(queue);
            if thread.join().is_err() {
                tracing::error!("the journal's writer panicked");
            }
        }
    }
}

/// The thread: as long as there is a call or a sender. What waits while a transaction is made
/// durable goes into the next one together; nobody lingers for company.
fn write(engine: Engine, mut queue: mpsc::Receiver<Job>, failure: &Failure) {
    let mut engine = Some(engine);
    while let Some(first) = queue.blocking_recv() {
        let mut bytes = first.bytes();
        let mut jobs = vec![first];
        while jobs.len() < MERGED_MAX
            && bytes < MERGED_BYTES_MAX
            && let Ok(job) = queue.try_recv()
        {
            bytes += job.bytes();
            jobs.push(job);
        }
        run(&mut engine, jobs, failure);
    }
}

fn run(slot: &mut Option<Engine>, jobs: Vec<Job>, failure: &Failure) {
    let Some(engine) = slot else { return };
    // Whoever waits for a call that is dropped here asks for the cause, and is to find it.
    let _running = failure.while_running();
    if let Err(error) = contained(|| engine.run(jobs)) {
        tracing::error!(%error, "the journal's file failed; nothing is written until it is opened again");
        failure.set(why_it_failed(&error));
        *slot = None;
    }
}
