//! Runs calls, in the order in which they were made, and answers them when they are durable.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use redb::{Database, ReadableDatabase as _};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::lease::Leases;
use super::store::Signals;
use super::tables::EVENTS;
use super::transaction::{Done, Transaction};
use crate::journal::port::{
    AcquireError, Batch, Holder, LineError, LoadError, Loaded, Newest, OwedMail, PublishError, RawEntry, RequeueError,
    SubmitError,
};
use crate::message::{EntryId, RawMessage, WorkspaceId};
use crate::workspace::command::Answer;
use crate::workspace::time::Clock;

/// Where an answer goes. Dropped without one: the journal is closed or its file failed.
pub(super) type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// A call.
pub(super) enum Job {
    Publish {
        shard: u16,
        workspace: WorkspaceId,
        message: RawMessage,
        reply: Reply<EntryId, PublishError>,
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
    Acquire {
        shard: u16,
        holder: Holder,
        now: Instant,
        reply: Reply<(u64, Vec<OwedMail>), AcquireError>,
    },
    Line {
        shard: u16,
        nonce: u64,
        call: Call,
    },
}

/// A call of a line.
pub(super) enum Call {
    Commit { batch: Batch, lease_until: Instant, reply: Reply<(), LineError> },
    Load { workspace: WorkspaceId, reply: Reply<Result<Loaded, LoadError>, LineError> },
    Newest { workspace: WorkspaceId, reply: Reply<Result<Option<Newest>, LoadError>, LineError> },
    Sweep { from: EntryId, to: EntryId, count: usize, reply: Reply<Vec<RawEntry>, LineError> },
    Present { entries: Vec<EntryId>, reply: Reply<Vec<EntryId>, LineError> },
    Release { reply: Reply<(), LineError> },
}

impl Job {
    /// About how many bytes it adds to a transaction.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Publish { message, .. } => message.bytes().len(),
            Self::Submit { command, .. } => command.len(),
            Self::Requeue { fields, .. } => fields.iter().map(|(name, value)| name.len() + value.len()).sum(),
            Self::Line { call: Call::Commit { batch, .. }, .. } => batch.steps.iter().map(|step| step.bytes()).sum(),
            Self::Acquire { .. } | Self::Line { .. } => 0,
        }
    }
}

/// What a call answers once its transaction is durable.
type Answered = Box<dyn FnOnce() + Send>;

/// The one writer. After an error of the file it is dropped: what is on disk is known only after the
/// file was opened again.
pub(super) struct Engine {
    db: Arc<Database>,
    clock: Clock,
    signals: Arc<Signals>,
    leases: Leases,
    /// Who waits for the answer to a command. Those that stopped waiting are dropped at the next submit.
    waiting: HashMap<(u16, EntryId), oneshot::Sender<Answer>>,
    next_event: u64,
}

impl Engine {
    pub(super) fn new(db: Arc<Database>, shards: u16, clock: Clock, signals: Arc<Signals>) -> Done<Self> {
        let events = db.begin_read()?.open_table(EVENTS)?;
        let next_event = redb::ReadableTable::last(&events)?.map_or(0, |(number, _)| number.value() + 1);
        Ok(Self { db, clock, signals, leases: Leases::new(shards), waiting: HashMap::new(), next_event })
    }

    /// Runs the calls in one transaction, and answers them when it is durable.
    ///
    /// # Errors
    /// The file failed: none of the calls is answered, and the engine must not be used again.
    pub(super) fn run(&mut self, jobs: Vec<Job>) -> Done<()> {
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
        self.next_event = finished.next_event;
        self.signals.rejected_deleted.fetch_add(finished.rejected_deleted, Ordering::Relaxed);
        answers.into_iter().for_each(|answer| answer());
        self.signals.appended(appended);
        Ok(())
    }

    fn apply(&mut self, tables: &mut Transaction<'_>, job: Job) -> Done<Answered> {
        match job {
            Job::Publish { shard, workspace, message, reply } => {
                let fields = [("workspace", workspace.as_str().as_bytes()), ("message", message.bytes())];
                let id = tables.publish(shard, &fields.map(|(name, value)| (name.as_bytes(), value)))?;
                Ok(answered(reply, Ok(id)))
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
            Job::Acquire { shard, holder, now, reply } => {
                let acquired = match self.leases.acquire(shard, &holder, now) {
                    Ok(nonce) => Ok((nonce, tables.outbox(shard)?)),
                    Err(error) => Err(error),
                };
                Ok(answered(reply, acquired))
            }
            Job::Line { shard, nonce, call } => match self.leases.check(shard, nonce) {
                Ok(()) => self.apply_call(tables, shard, call),
                Err(error) => Ok(call.refused(error)),
            },
        }
    }

    fn apply_call(&mut self, tables: &mut Transaction<'_>, shard: u16, call: Call) -> Done<Answered> {
        Ok(match call {
            Call::Commit { batch, lease_until, reply } => match tables.commit(shard, &batch)? {
                Ok(()) => {
                    self.leases.renew(shard, lease_until);
                    let waiting = self.take_waiting(shard, batch);
                    Box::new(move || {
                        drop(reply.send(Ok(())));
                        waiting.into_iter().for_each(|(waiting, answer)| drop(waiting.send(answer)));
                    })
                }
                Err(detail) => {
                    self.leases.fail(shard, &detail);
                    answered(reply, Err(LineError::Failed { shard, detail }))
                }
            },
            Call::Load { workspace, reply } => answered(reply, Ok(tables.load(&workspace)?)),
            Call::Newest { workspace, reply } => answered(reply, Ok(tables.newest(&workspace)?)),
            Call::Sweep { from, to, count, reply } => answered(reply, Ok(tables.sweep(shard, from, to, count)?)),
            Call::Present { entries, reply } => answered(reply, Ok(tables.present(shard, entries)?)),
            Call::Release { reply } => {
                self.leases.release(shard);
                answered(reply, Ok(()))
            }
        })
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

impl Call {
    fn refused(self, error: LineError) -> Answered {
        match self {
            Self::Commit { reply, .. } | Self::Release { reply } => answered(reply, Err(error)),
            Self::Load { reply, .. } => answered(reply, Err(error)),
            Self::Newest { reply, .. } => answered(reply, Err(error)),
            Self::Sweep { reply, .. } => answered(reply, Err(error)),
            Self::Present { reply, .. } => answered(reply, Err(error)),
        }
    }
}

/// Nobody may be waiting any more: then the answer is dropped.
fn answered<T: Send + 'static, E: Send + 'static>(reply: Reply<T, E>, answer: Result<T, E>) -> Answered {
    Box::new(move || drop(reply.send(answer)))
}
