//! What was set aside: looking at it, moving it back, and deleting it.

use bytes::Bytes;
use futures_util::future::try_join_all;
use redis::{Cmd, RedisError, Value};

use super::error::{ErrorClass, classify, store_error};
use super::group::form;
use super::inner::RedisInner;
use super::reply;
use super::script::Script;
use super::source::{Judged, ORIGIN};
use crate::config::REQUEUE_CLAIM;
use crate::journal::port::{RawEntry, RequeueError, Requeued, StoreError};
use crate::journal::rejected::{self, RequeuedFields};
use crate::message::EntryId;

impl RedisInner {
    pub(super) async fn rejected_entries(
        &self,
        shard: u16,
        from: EntryId,
        count: usize,
    ) -> Result<Vec<RawEntry>, StoreError> {
        let keys = self.keys.shard(shard);
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(keys.rejected()).arg(from.to_string()).arg("+").arg("COUNT").arg(count);
        let answer = self.shared.call_repeatable(&keys.owner(), &cmd).await.and_then(reply::entries);
        answer.map_err(|error| store_error("reading rejected entries", error))
    }

    pub(super) async fn count_rejected(&self) -> Result<Vec<u64>, StoreError> {
        let counts = (0..self.shards).map(async |shard| {
            let keys = self.keys.shard(shard);
            let mut cmd = redis::cmd("XLEN");
            cmd.arg(keys.rejected());
            self.shared.call_repeatable(&keys.owner(), &cmd).await.and_then(reply::number)
        });
        try_join_all(counts).await.map_err(|error| store_error("counting rejected entries", error))
    }

    pub(super) async fn measure_rejected(&self) -> Result<Vec<u64>, StoreError> {
        let sizes = (0..self.shards).map(async |shard| {
            let keys = self.keys.shard(shard);
            let mut cmd = redis::cmd("MEMORY");
            cmd.arg("USAGE").arg(keys.rejected()).arg("SAMPLES").arg(0);
            let size = self.shared.call_repeatable(&keys.owner(), &cmd).await?;
            if size == Value::Nil { Ok(0) } else { reply::number(size) }
        });
        try_join_all(sizes).await.map_err(|error| store_error("measuring rejected entries", error))
    }

    pub(super) async fn requeue_entry(&self, shard: u16, id: EntryId) -> Result<Requeued, RequeueError> {
        let found = self.rejected_entries(shard, id, 1).await?.pop().filter(|found| found.id == id);
        let found = found.ok_or(RequeueError::Gone { shard, id })?;
        let stream = self.keys.shard(shard).messages();
        let requeued = self.of_source(&found).unwrap_or_else(|| rejected::requeued(&found, &stream));
        let (workspace, fields) = requeued.map_err(|reason| RequeueError::Invalid { reason })?;
        let to = workspace.shard(self.shards);
        let moved = if to == shard || !self.connector.is_cluster() {
            self.move_at_once(shard, id, to, &fields).await?
        } else {
            self.move_by_claim(shard, id, to, &fields).await?
        };
        let entry = moved.ok_or(RequeueError::Gone { shard, id })?;
        Ok(Requeued { workspace, shard: to, entry })
    }

    /// The same of an entry that the hand-over of someone else's stream set aside, as it came: then its origin stands first. It
    /// is judged by the form that is configured now, since that may have been what was wrong.
    fn of_source(&self, found: &RawEntry) -> Option<Result<RequeuedFields, String>> {
        let (sources, form) = &self.sources;
        let origin = found.fields.first().filter(|(name, _)| name == ORIGIN)?;
        let (source, _) = std::str::from_utf8(&origin.1).ok()?.rsplit_once('/')?;
        if !sources.iter().any(|known| known == source) {
            return None;
        }
        Some(rejected::whole(found).and_then(|mut entry| {
            let origin = entry.fields.remove(0);
            let Judged { workspace, ours, .. } = form::judged(form, &entry, entry.bytes());
            let ours = ours.map_err(|(wrong, _)| wrong);
            let (mut fields, workspace) = (ours?, workspace.ok_or_else(|| rejected::missing(&form.workspace))?);
            fields.push(origin);
            Ok((workspace, fields))
        }))
    }

    pub(super) async fn discard_entries(&self, shard: u16, ids: &[EntryId]) -> Result<u64, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let keys = self.keys.shard(shard);
        let mut cmd = redis::cmd("XDEL");
        cmd.arg(keys.rejected());
        for id in ids {
            cmd.arg(id.to_string());
        }
        // Repeated after a lost answer it counts what the first one deleted as missing: fewer are told, none is left.
        let deleted = self.shared.call_repeatable(&keys.owner(), &cmd).await.and_then(reply::number);
        deleted.map_err(|error| store_error("discarding rejected entries", error))
    }

    /// Both streams lie on one server.
    async fn move_at_once(
        &self,
        shard: u16,
        id: EntryId,
        to: u16,
        fields: &[(Bytes, Bytes)],
    ) -> Result<Option<EntryId>, RequeueError> {
        let (from, to) = (self.keys.shard(shard), self.keys.shard(to));
        let mut cmd = self.connector.script(Script::Requeue, &[from.rejected(), to.messages()]);
        cmd.arg(id.to_string());
        add(&mut cmd, fields);
        let answer = self.shared.call(&from.owner(), &cmd).await.map_err(refused)?;
        Ok(if answer == Value::Nil { None } else { Some(reply::id(answer).map_err(refused)?) })
    }

    /// Two shards of a cluster: first the entry is claimed, so that it is appended once however many ask for that.
    async fn move_by_claim(
        &self,
        shard: u16,
        id: EntryId,
        to: u16,
        fields: &[(Bytes, Bytes)],
    ) -> Result<Option<EntryId>, RequeueError> {
        let (from, to) = (self.keys.shard(shard), self.keys.shard(to));
        let mut claim = self.connector.script(Script::RequeueClaim, &[from.rejected(), from.requeueing()]);
        claim.arg(id.to_string()).arg(REQUEUE_CLAIM.as_millis().to_string());
        let claimed = self.shared.call(&from.owner(), &claim).await.and_then(reply::number).map_err(refused)?;
        if claimed == 0 {
            return Ok(None);
        }
        let mut append = redis::cmd("XADD");
        append.arg(to.messages()).arg("*");
        add(&mut append, fields);
        let entry = self.shared.call(&to.owner(), &append).await.and_then(reply::id);
        if entry.is_ok() {
            let mut delete = redis::cmd("XDEL");
            delete.arg(from.rejected()).arg(id.to_string());
            let deleted = self.shared.call_repeatable(&from.owner(), &delete).await;
            deleted.map_err(|error| store_error("deleting a rejected entry, which is requeued by now", error))?;
        }
        let mut release = redis::cmd("HDEL");
        release.arg(from.requeueing()).arg(id.to_string());
        // If this fails, the claim ends by itself.
        drop(self.shared.call_repeatable(&from.owner(), &release).await);
        entry.map(Some).map_err(refused)
    }
}

fn add(cmd: &mut Cmd, fields: &[(Bytes, Bytes)]) {
    for (name, value) in fields {
        cmd.arg(name.as_ref()).arg(value.as_ref());
    }
}

fn refused(error: RedisError) -> RequeueError {
    match classify(&error) {
        ErrorClass::Full => RequeueError::Full,
        _ => RequeueError::Store(store_error("requeueing a rejected entry", error)),
    }
}
