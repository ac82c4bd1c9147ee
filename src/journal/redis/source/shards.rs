//! Hands entries of a source over to all shards at a time, to each in batches that a full Redis can hold. A batch goes to a
//! shard once the one before it is there, so that it never passes over anything.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, Pipeline, RedisError, Value};
use tracing::warn;

use super::handed::Handed;
use super::unconfirmed::UnconfirmedEntries;
use crate::config::{HAND_OVER_BATCH_MAX, STORE_TIMEOUT};
use crate::journal::port::{COMMIT_BYTES_MAX, REJECTED_BYTES_RETAINED, REJECTED_RETAINED};
use crate::journal::redis::error::{is_away, unexpected};
use crate::journal::redis::group::identity::StreamFacts;
use crate::journal::redis::inner::RedisInner;
use crate::journal::redis::read_connection::ReadConnection;
use crate::journal::redis::reply;
use crate::journal::redis::resp::RawAnswer;
use crate::journal::redis::script::Script;
use crate::message::EntryId;

/// What one shard got: the entries that can be deleted, and what stopped it.
#[derive(Debug, Default)]
pub(in crate::journal::redis) struct HandedToShard {
    pub(in crate::journal::redis) shard: u16,
    pub(in crate::journal::redis) ids: Vec<EntryId>,
    /// Why some of them were set aside.
    pub(in crate::journal::redis) rejected: Vec<String>,
    pub(in crate::journal::redis) failed: Option<RedisError>,
    /// The source is another stream than the shard knew.
    pub(in crate::journal::redis) is_new: bool,
    /// The shard has lost what it had; nothing was handed over.
    pub(in crate::journal::redis) is_lost: bool,
}

/// Hands over, and sends `before` and `behind` on `own`, the connection to the source's server, which no other task uses. Answers
/// what the shards got, and the answers to these.
///
/// Without a cluster the shards are on that server, too: one write holds all of it, and of two servers that a fail-over left, a
/// script and the questions about its answer go to the same.
///
/// The second is an error where the source's server is away: then `own` must be dropped, what the shards got is told all the same,
/// and the rest of it they get another time.
pub(in crate::journal::redis) async fn hand_to_shards(
    inner: &RedisInner,
    own: &mut ReadConnection,
    source: &str,
    shards: &BTreeMap<u16, Vec<Handed>>,
    kept: &UnconfirmedEntries,
    ([before, behind], timeout): ([&Pipeline; 2], Duration),
) -> (Vec<HandedToShard>, Result<Vec<RawAnswer>, RedisError>) {
    let mut hand_overs: Vec<_> =
        shards.iter().map(|(shard, entries)| ShardHandOver::new(*shard, entries, kept.last_of(*shard))).collect();
    let (none, mut beside, mut told) = (Pipeline::new(), [before, behind], None);
    while told.is_none() || hand_overs.iter().any(|shard| !shard.left.is_empty()) {
        let open: Vec<&mut ShardHandOver<'_>> = hand_overs.iter_mut().filter(|shard| !shard.left.is_empty()).collect();
        let calls: Vec<Cmd> = open.iter().map(|shard| shard.command(inner, source)).collect();
        let (answers, mut answered) = send(inner, own, &open, calls, (beside, timeout)).await;
        beside = [&none; 2];
        for (shard, answer) in open.into_iter().zip(answers) {
            if let Err(error) = shard.judge(inner, own, source, answer).await {
                answered = Err(error);
            }
        }
        match answered {
            Ok(answers) => drop(told.get_or_insert(Ok(answers))),
            Err(error) => {
                told = Some(Err(error));
                break;
            }
        }
    }
    let handed = hand_overs.into_iter().map(|shard| shard.handed).collect();
    (handed, told.unwrap_or(Ok(Vec::new())))
}

/// The answers of the shards, as many as there are, and those to `before` and `behind`.
async fn send(
    inner: &RedisInner,
    own: &mut ReadConnection,
    open: &[&mut ShardHandOver<'_>],
    calls: Vec<Cmd>,
    ([before, behind], timeout): ([&Pipeline; 2], Duration),
) -> (Vec<Result<Value, RedisError>>, Result<Vec<RawAnswer>, RedisError>) {
    if inner.connector.is_cluster() {
        let to = |shard: &ShardHandOver<'_>| inner.keys.shard(shard.shard).owner();
        let calls = open.iter().zip(&calls).map(|(shard, cmd)| {
            let owner = to(shard);
            async move { inner.shared.call_repeatable(&owner, cmd).await }
        });
        let beside = together(before.cmd_iter().chain(behind.cmd_iter()).cloned());
        return tokio::join!(join_all(calls), own.ask(&beside, timeout));
    }
    let scripts = before.len()..before.len() + calls.len();
    let commands = together(before.cmd_iter().cloned().chain(calls).chain(behind.cmd_iter().cloned()));
    match own.ask(&commands, timeout).await {
        Ok(mut told) => {
            let scripts: Vec<RawAnswer> = told.drain(scripts).collect();
            (scripts.iter().map(RawAnswer::value).collect(), Ok(told))
        }
        Err(error) => (Vec::new(), Err(error)),
    }
}

fn together(commands: impl Iterator<Item = Cmd>) -> Pipeline {
    let mut all = Pipeline::new();
    commands.for_each(|command| {
        all.add_command(command);
    });
    all
}

/// How often a shard may have got on, by other nodes, while one batch was being judged.
const VERDICTS_MAX: usize = 8;

/// What one shard is to get, and how far that is.
struct ShardHandOver<'a> {
    /// Not handed over yet.
    left: &'a [Handed],
    /// How far the shard got at least, as far as is known.
    last: Option<EntryId>,
    /// The id that the shard asked about, and whether the source is another stream than the one it had that of.
    asked: Option<(String, bool)>,
    /// How often it has asked about this batch.
    verdicts: usize,
    shard: u16,
    handed: HandedToShard,
}

impl<'a> ShardHandOver<'a> {
    fn new(shard: u16, left: &'a [Handed], last: Option<EntryId>) -> Self {
        let handed = HandedToShard { shard, ..HandedToShard::default() };
        Self { left, last, asked: None, verdicts: 0, shard, handed }
    }

    /// What is handed over next.
    fn batch(&self) -> &'a [Handed] {
        let mut bytes = 0;
        let fits = self.left.iter().take(HAND_OVER_BATCH_MAX).take_while(|entry| {
            bytes += entry.bytes();
            bytes <= COMMIT_BYTES_MAX
        });
        &self.left[..fits.count().max(1).min(self.left.len())]
    }

    fn command(&self, inner: &RedisInner, source: &str) -> Cmd {
        let keys = inner.keys.shard(self.shard);
        let mut cmd = inner.connector.script(Script::Handover, &[keys.sources(), keys.messages(), keys.rejected()]);
        let (asked, is_new) = self.asked.as_ref().map_or(("", false), |(asked, is_new)| (asked, *is_new));
        cmd.arg(source).arg(REJECTED_RETAINED).arg(asked).arg(if is_new { "new" } else { "same" });
        cmd.arg(REJECTED_BYTES_RETAINED).arg(self.last.map(|last| last.to_string()).unwrap_or_default());
        self.batch().iter().for_each(|entry| entry.add_to(&mut cmd));
        cmd
    }

    /// Takes the answer to it.
    ///
    /// # Errors
    /// The source's server is away.
    async fn judge(
        &mut self,
        inner: &RedisInner,
        own: &mut ReadConnection,
        source: &str,
        answer: Result<Value, RedisError>,
    ) -> Result<(), RedisError> {
        let asked = match answer {
            Ok(answer @ Value::Array(_)) => {
                self.took(inner, answer);
                return Ok(());
            }
            Ok(answer) => reply::text(answer),
            // All shards are there.
            Err(error) if !inner.connector.is_cluster() && is_away(&error) => return Err(error),
            Err(error) => Err(error),
        };
        match asked {
            Ok(asked) if asked == "LOST" => {
                let failed = Some(unexpected("a shard that has lost what it had"));
                self.handed = HandedToShard { shard: self.shard, failed, is_lost: true, ..HandedToShard::default() };
                self.left = &[];
            }
            Ok(_) if self.verdicts == VERDICTS_MAX => {
                self.fail(unexpected("a shard that always knows more of its source"));
            }
            Ok(asked) => {
                self.verdicts += 1;
                match has_had(own, source, &asked).await {
                    Ok(has_had) => self.asked = Some((asked, !has_had)),
                    Err(error) if is_away(&error) => return Err(error),
                    Err(error) => self.fail(error),
                }
            }
            Err(error) => self.fail(error),
        }
        Ok(())
    }

    /// The shard has the batch, or had it before.
    fn took(&mut self, inner: &RedisInner, answer: Value) {
        let told = reply::tuple(answer)
            .and_then(|[_, rejected, dropped]| Ok((reply::number(rejected)?, reply::number(dropped)?)));
        let (rejected, dropped) = match told {
            Ok(told) => told,
            Err(error) => return self.fail(error),
        };
        inner.losses.add(0, dropped);
        tell(self.shard, rejected, dropped);
        let batch = self.batch();
        self.left = &self.left[batch.len()..];
        self.handed.rejected.extend(reasons(batch, rejected));
        self.handed.is_new |= self.asked.take().is_some_and(|(_, is_new)| is_new);
        self.handed.ids.extend(batch.iter().map(|entry| entry.id));
        self.verdicts = 0;
        if inner.connector.is_cluster() {
            self.last = self.handed.ids.last().copied();
        }
    }

    fn fail(&mut self, error: RedisError) {
        self.handed.failed = Some(error);
        self.left = &[];
    }
}

/// Why so many entries of a batch were set aside now: the last ones, for what a shard had before comes first.
fn reasons(batch: &[Handed], rejected: u64) -> Vec<String> {
    let newest = batch.iter().rev().filter_map(|entry| entry.wrong.clone());
    newest.take(usize::try_from(rejected).unwrap_or(usize::MAX)).collect()
}

/// Whether the source holds the entry, or has held one with its id or a greater one.
async fn has_had(own: &mut ReadConnection, source: &str, id: &str) -> Result<bool, RedisError> {
    // In this order: what is deleted in between has become a greatest deleted id.
    let mut ask = redis::pipe();
    ask.cmd("XRANGE").arg(source).arg(id).arg(id).cmd("XINFO").arg("STREAM").arg(source);
    let answers = own.ask(&ask, STORE_TIMEOUT).await?;
    let mut answers = answers.iter().map(RawAnswer::value);
    if !reply::list(answers.next().unwrap_or(Ok(Value::Nil))?)?.is_empty() {
        return Ok(true);
    }
    let facts = StreamFacts::read(answers.next().unwrap_or(Ok(Value::Nil))?)?;
    Ok(facts.max_deleted >= id.parse().map_err(|_| unexpected("not an entry id"))?)
}

fn tell(shard: u16, rejected: u64, dropped: u64) {
    if rejected > 0 {
        warn!(shard, rejected, "entries of a source were set aside; their reasons say what is wrong");
    }
    if dropped > 0 {
        warn!(shard, dropped, "the rejected stream is full: its oldest entries were deleted");
    }
}
