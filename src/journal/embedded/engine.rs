//! Runs calls, in the order in which they were made, and answers them when they are durable. Tells the others of
//! new entries, and why it stopped.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use redb::ReadableDatabase as _;
use tokio::sync::{SetOnce, oneshot, watch};
use tokio::time::Instant;

use super::contained::{OpenFile, contained};
use super::held_file::HeldFile;
use super::lease::Leases;
use super::tables::EVENTS;
use super::transaction::{StorageResult, Transaction};
use crate::journal::port::{
    AcquireError, Batch, Bookmark, Holder, LoadError, OwedMail, PublishError, RequeueError, ShardConnectionError,
    ShardRequest, ShardResponse, StoreError, SubmitError,
};
use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::command::Answer;
use crate::workspace::time::Clock;

/// Where an answer goes. Dropped without one: the journal is closed, its file failed or too many calls wait.
pub(super) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// A call.
pub(super) enum Job {
    Publish {
        shard: u16,
        workspace: WorkspaceId,
        messages: Vec<RawMessage>,
        reply: Reply<Vec<EntryId>, PublishError>,
    },
    Submit {
        shard: u16,
        workspace: WorkspaceId,
        command: Bytes,
        reply: Reply<EntryId, SubmitError>,
        answer: oneshot::Sender<Answer>,
    },
    Requeue {
        shard: u16,
        id: EntryId,
        to: u16,
        fields: Vec<(Bytes, Bytes)>,
        reply: Reply<EntryId, RequeueError>,
    },
    Discard {
        shard: u16,
        ids: Vec<EntryId>,
        reply: Reply<u64, StoreError>,
    },
    NoteSealingKey {
        id: String,
        print: Option<u64>,
        reply: Reply<(), StoreError>,
    },
    EndSession {
        id: String,
        until_ms: u64,
        reply: Reply<(), StoreError>,
    },
    Acquire {
        shard: u16,
        holder: Holder,
        now: Instant,
        reply: Reply<(u64, Vec<OwedMail>, Option<Bookmark>), AcquireError>,
    },
    Shard {
        shard: u16,
        nonce: u64,
        /// Until when a commit renews the lease.
        lease_until: Instant,
        request: ShardRequest,
        reply: Reply<ShardResponse, ShardConnectionError>,
    },
}

impl Job {
    /// About how many bytes it adds to a transaction.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Publish { messages, .. } => messages.iter().map(|message| message.bytes().len()).sum(),
            Self::Submit { command, .. } => command.len(),
            Self::Requeue { fields, .. } => fields.iter().map(|(name, value)| name.len() + value.len()).sum(),
            Self::Shard { request: ShardRequest::Commit { batch, .. }, .. } => {
                batch.steps.iter().map(|step| step.bytes()).sum()
            }
            Self::Discard { .. }
            | Self::Acquire { .. }
            | Self::NoteSealingKey { .. }
            | Self::EndSession { .. }
            | Self::Shard { .. } => 0,
        }
    }
}

/// What a call answers once its transaction is durable.
type Deferred = Box<dyn FnOnce() + Send>;

/// The one writer. After an error of the file it is dropped: what is on disk is known only after the
/// file was opened again.
pub(super) struct Engine {
    db: Arc<OpenFile>,
    /// `None` in memory.
    file: Option<HeldFile>,
    clock: Clock,
    signals: Arc<Signals>,
    leases: Leases,
    /// Who waits for the answer to a command. Those that stopped waiting are dropped at the next submit.
    waiting: HashMap<(u16, EntryId), oneshot::Sender<Answer>>,
    next_event: u64,
}

impl Engine {
    pub(super) fn new(
        db: Arc<OpenFile>,
        file: Option<HeldFile>,
        clock: Clock,
        signals: Arc<Signals>,
    ) -> StorageResult<Self> {
        let events = db.begin_read()?.open_table(EVENTS)?;
        let next_event = redb::ReadableTable::last(&events)?.map_or(0, |(number, _)| number.value() + 1);
        let leases = Leases::new(signals.shards());
        Ok(Self { db, file, clock, signals, leases, waiting: HashMap::new(), next_event })
    }

    /// Runs the calls in one transaction, and answers them when it is durable.
    ///
    /// # Errors
    /// The file failed: none of the calls is answered, and the engine must not be used again.
    pub(super) fn run(&mut self, jobs: Vec<Job>) -> StorageResult<()> {
        #[cfg(test)]
        if self.db.was_written_aside() {
            self.file.as_mut().map_or(Ok(()), HeldFile::check_written)?;
        }
        self.file.as_ref().map_or(Ok(()), HeldFile::check).inspect_err(|_| self.db.abandon())?;
        let db = Arc::clone(&self.db);
        let mut txn = db.begin_write()?;
        // Opening a file after a crash takes a moment instead of reading all of it.
        txn.set_quick_repair(true);
        let now_ms = u64::try_from((self.clock)().unix_ms()).unwrap_or(0);
        let mut tables = Transaction::open(&txn, self.next_event, now_ms)?;
        let mut answers = Vec::with_capacity(jobs.len());
        let mut appended = Vec::new();
        for job in jobs {
            if let Job::Publish { shard, .. } | Job::Submit { shard, .. } | Job::Requeue { to: shard, .. } = &job {
                appended.push(*shard);
            }
            answers.push(self.apply(&mut tables, job)?);
        }
        let finished = tables.finish()?;
        if finished.changed {
            txn.commit()?;
        } else {
            txn.abort()?;
        }
        self.file.as_mut().map_or(Ok(()), HeldFile::check_written).inspect_err(|_| self.db.abandon())?;
        self.next_event = finished.next_event;
        self.signals.rejected_deleted.fetch_add(finished.rejected_deleted, Ordering::Relaxed);
        answers.into_iter().for_each(|answer| answer());
        self.signals.appended(appended);
        Ok(())
    }

    fn apply(&mut self, tables: &mut Transaction<'_>, job: Job) -> StorageResult<Deferred> {
        match job {
            Job::Publish { shard, workspace, messages, reply } => {
                let mut ids = Vec::with_capacity(messages.len());
                for message in &messages {
                    let fields = [("workspace", workspace.as_str().as_bytes()), ("message", message.bytes())];
                    ids.push(tables.publish(shard, &fields.map(|(name, value)| (name.as_bytes(), value)))?);
                }
                Ok(answered(reply, Ok(ids)))
            }
            Job::Submit { shard, workspace, command, reply, answer } => {
                let fields = [("workspace", workspace.as_str().as_bytes()), ("command", command.as_ref())];
                let id = tables.submit(shard, &fields.map(|(name, value)| (name.as_bytes(), value)))?;
                if let Some(id) = id {
                    self.waiting.retain(|_, waiting| !waiting.is_closed());
                    self.waiting.insert((shard, id), answer);
                }
                Ok(answered(reply, id.ok_or(SubmitError::TooMany)))
            }
            Job::Requeue { shard, id, to, fields, reply } => {
                let moved = tables.requeue(shard, id, to, &fields)?;
                Ok(answered(reply, moved.ok_or(RequeueError::Gone { shard, id })))
            }
            Job::Discard { shard, ids, reply } => Ok(answered(reply, Ok(tables.discard(shard, &ids)?))),
            Job::NoteSealingKey { id, print, reply } => {
                tables.note_sealing_key(&id, print)?;
                Ok(answered(reply, Ok(())))
            }
            Job::EndSession { id, until_ms, reply } => {
                let stored = tables.end_session(&id, until_ms)?;
                Ok(answered(reply, stored.then_some(()).ok_or_else(StoreError::too_many_sessions_ended)))
            }
            Job::Acquire { shard, holder, now, reply } => {
                let acquired = match self.leases.acquire(shard, &holder, now) {
                    Ok(nonce) => Ok((nonce, tables.outbox(shard)?, tables.bookmark(shard)?)),
                    Err(error) => Err(error),
                };
                Ok(answered(reply, acquired))
            }
            Job::Shard { shard, nonce, lease_until, request, reply } => match self.leases.check(shard, nonce) {
                Ok(()) => self.serve(tables, shard, lease_until, request, reply),
                Err(error) => Ok(answered(reply, Err(error))),
            },
        }
    }

    /// Serves the holder of a shard.
    fn serve(
        &mut self,
        tables: &mut Transaction<'_>,
        shard: u16,
        lease_until: Instant,
        request: ShardRequest,
        reply: Reply<ShardResponse, ShardConnectionError>,
    ) -> StorageResult<Deferred> {
        let response = match request {
            ShardRequest::Commit { number, batch } => {
                if let Err(detail) = tables.commit(shard, &batch)? {
                    self.leases.fail(shard, &detail);
                    return Ok(answered(reply, Err(ShardConnectionError::Failed { shard, detail })));
                }
                self.leases.renew(shard, lease_until);
                let waiting = self.take_waiting(shard, batch);
                return Ok(Box::new(move || {
                    drop(reply.send(Ok(ShardResponse::Committed { number, lease_until })));
                    waiting.into_iter().for_each(|(waiting, answer)| drop(waiting.send(answer)));
                }));
            }
            ShardRequest::Load(workspace) => {
                let loaded = of_workspace(&workspace, || tables.load(&workspace))?.map(Box::new);
                ShardResponse::Loaded(workspace, loaded)
            }
            ShardRequest::Salvage(workspace) => {
                let salvage = Box::new(tables.salvage(&workspace)?);
                ShardResponse::Salvaged(workspace, salvage)
            }
            ShardRequest::Newest { workspace, command } => {
                let newest = of_workspace(&workspace, || tables.newest(&workspace))?;
                ShardResponse::Newest { workspace, command, newest }
            }
            ShardRequest::CatchUp { from, to, count } => {
                ShardResponse::CaughtUp(tables.catch_up(shard, from, to, count)?)
            }
            ShardRequest::Present(entries) => ShardResponse::Present(tables.present(shard, entries)?),
            ShardRequest::Release => {
                self.leases.release(shard);
                ShardResponse::Released
            }
        };
        Ok(answered(reply, Ok(response)))
    }

    /// Who waits for the batch's answers, with the answers. A command may be settled before it is
    /// answered (a test), so only its answer ends the wait.
    fn take_waiting(&mut self, shard: u16, batch: Batch) -> Vec<(oneshot::Sender<Answer>, Answer)> {
        let mut waiting = Vec::new();
        for step in batch.steps {
            let answers = step.answers.into_iter();
            waiting.extend(answers.filter_map(|(id, answer)| Some((self.waiting.remove(&(shard, id))?, answer))));
        }
        waiting
    }
}

/// What is read of a workspace. That it stands on a damaged page is this workspace's trouble, as that it contradicts itself.
fn of_workspace<T>(
    workspace: &WorkspaceId,
    read: impl FnOnce() -> StorageResult<Result<T, LoadError>>,
) -> StorageResult<Result<T, LoadError>> {
    match contained(read) {
        Err(redb::Error::Corrupted(detail)) => Ok(Err(LoadError::Corrupt { workspace: workspace.clone(), detail })),
        read => read,
    }
}

/// Nobody may be waiting any more: then the answer is dropped.
fn answered<T: Send + 'static, E: Send + 'static>(reply: Reply<T, E>, answer: Result<T, E>) -> Deferred {
    Box::new(move || drop(reply.send(answer)))
}

/// Why the journal does not work any more.
#[derive(Default)]
pub(super) struct FailureCause {
    /// Set once.
    why: SetOnce<String>,
    /// Held while calls run. Those that fail are dropped before the error that dropped them is known outside.
    running: Mutex<()>,
}

pub(super) type Failure = Arc<FailureCause>;

impl FailureCause {
    /// To be held while calls run, and until it is said why they failed.
    pub(super) fn while_running(&self) -> MutexGuard<'_, ()> {
        self.running.lock()
    }

    pub(super) fn set(&self, why: String) {
        // The first one is the cause of what follows.
        self.why.set(why).ok();
    }

    pub(super) fn get(&self) -> Option<&String> {
        self.why.get()
    }

    pub(super) async fn wait(&self) -> &String {
        self.why.wait().await
    }
}

/// Why a call got no answer. Waits for the calls that run now, at most one transaction: one of them may be it.
pub(super) fn reason(failure: &Failure) -> String {
    if failure.get().is_none() {
        drop(failure.while_running());
    }
    let refused = "the journal is closed, or too many calls wait for it, as the log says then";
    failure.get().cloned().unwrap_or_else(|| refused.to_owned())
}

/// What the engine tells the others.
pub(super) struct Signals {
    /// By shard: something was appended.
    shards: Vec<watch::Sender<()>>,
    pub(super) rejected_deleted: AtomicU64,
}

impl Signals {
    pub(super) fn new(shards: u16) -> Arc<Self> {
        let shards = (0..shards).map(|_| watch::Sender::new(())).collect();
        Arc::new(Self { shards, rejected_deleted: AtomicU64::new(0) })
    }

    /// Something was appended to these shards.
    pub(super) fn appended(&self, mut shards: Vec<u16>) {
        shards.sort_unstable();
        shards.dedup();
        for shard in shards {
            self.shards[usize::from(shard)].send_replace(());
        }
    }

    pub(super) fn shards(&self) -> u16 {
        u16::try_from(self.shards.len()).unwrap_or(u16::MAX)
    }

    /// Wakes when something was appended to the shard.
    pub(super) fn subscribe(&self, shard: u16) -> watch::Receiver<()> {
        self.shards[usize::from(shard)].subscribe()
    }
}
