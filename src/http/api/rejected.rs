//! `/v1/rejected`: what the shards set aside; admin only, for an entry may name any workspace or none.
//!
//! | call | does |
//! |---|---|
//! | `GET /v1/rejected?shard=K&after=K/ID` | `{"rejected":[…],"next":"K/ID"\|null}`, by shard and oldest first, at most [`LISTED_MAX`]; both parameters may be left out, `next` is the next call's `after` |
//! | `GET /v1/rejected/{shard}/{id}` | one entry with its fields |
//! | `DELETE /v1/rejected/{shard}/{id}` | discards it for good → 204 |
//! | `DELETE /v1/rejected?reason=…&shard=K` · `?all=true` | discards those of a reason, or all, at most [`DISCARDED_MAX`] → 200 `{"discarded","more"}` |
//! | `POST /v1/rejected/{shard}/{id}/requeue` | checks it again and moves it to the stream of its workspace → 202 `{"workspace","shard","id"}` once durable |

use std::cmp::Ordering;
use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, Path, Query, RawQuery, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use futures_util::TryFutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use utoipa::ToSchema;
use utoipa::openapi::Schema;

use crate::config::STORE_ANSWER_MAX;
use crate::http::auth::caller::Admin;
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::problems::{ADMIN_ONLY, STORE, TOKEN};
use crate::http::openapi::schemas::{pattern, shard, text};
use crate::http::problem::{Problem, ProblemKind};
use crate::http::reader::in_time;
use crate::http::state::FacadeState;
use crate::journal::port::{RawEntry, ReadError, RequeueError, StoreError};
use crate::journal::rejected::{RetainedEntry, reason_kind};
use crate::message::{EntryId, WorkspaceId};

/// Entries in one answer at most.
const LISTED_MAX: usize = 100;
/// Entries read at a time: each may hold 512 KiB, of which only a line is listed.
pub(in crate::http) const READ_AT_ONCE: usize = 16;

/// Entries that one call discards at most: each of them is read for its reason.
const DISCARDED_MAX: u64 = 1_000;

/// Names an entry, written `<shard>/<id>`; without one, what is before the first of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::http) struct RejectedId {
    shard: u16,
    id: EntryId,
}

impl RejectedId {
    pub(in crate::http) fn parse(text: &str) -> Option<Self> {
        let (shard, id) = text.split_once('/')?;
        Some(Self { shard: shard_number(shard)?, id: id.parse().ok()? })
    }

    /// Where one who looks from it on begins in a shard; `None` in those before its own.
    pub(in crate::http) fn first_in(self, shard: u16) -> Option<EntryId> {
        match shard.cmp(&self.shard) {
            Ordering::Less => None,
            Ordering::Equal => Some(self.id),
            Ordering::Greater => Some(EntryId::ZERO),
        }
    }
}

/// How it is written, for whoever describes it.
const REJECTED_ID_PATTERN: &str = r"^\d{1,5}/\d{1,20}-\d{1,20}$";

/// The number of a shard, in digits only: the standard parser also takes a sign.
fn shard_number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Taken from the path; whoever may not look at it learns nothing.
pub(in crate::http) struct RejectedScope(RejectedId);

impl FromRequestParts<Arc<FacadeState>> for RejectedScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<FacadeState>) -> Result<Self, Problem> {
        let Admin = Admin::from_request_parts(parts, state).await?;
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let place = path.ok().and_then(|Path((shard, id))| RejectedId::parse(&format!("{shard}/{id}")));
        let shards = state.facade.journal.shards();
        place.filter(|place| place.shard < shards).map(Self).ok_or_else(|| {
            let last = shards - 1;
            let detail = format!("an entry is named /v1/rejected/<shard>/<id>, with a shard from 0 to {last}");
            Problem::new(ProblemKind::NotFound, detail)
        })
    }
}

/// Where a list begins and ends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RejectedQuery {
    shard: Option<String>,
    after: Option<String>,
}

/// One entry in a list.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RejectedLine {
    /// The shard that set it aside.
    pub(in crate::http) shard: u16,
    /// Its id among the rejected.
    pub(in crate::http) id: EntryId,
    /// Its id in the stream that it stood in.
    entry: String,
    /// When it was set aside.
    pub(in crate::http) at: String,
    /// Why, in one sentence.
    pub(in crate::http) reason: String,
    /// The workspace that it names, if it names one.
    pub(in crate::http) workspace: Option<String>,
    /// Bytes of all fields, before any was cut.
    bytes: u64,
}

impl RejectedLine {
    pub(in crate::http) fn new(shard: u16, id: EntryId, retained: &RetainedEntry<'_>) -> Self {
        Self {
            shard,
            id,
            entry: retained.entry.to_string(),
            at: retained.at.to_string(),
            reason: retained.reason.to_string(),
            workspace: retained.workspace.as_ref().map(ToString::to_string),
            bytes: retained.bytes,
        }
    }
}

/// What was set aside.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RejectedList {
    /// By shard and oldest first, at most 100.
    rejected: Vec<RejectedLine>,
    /// Where the next list begins; null at the end.
    next: Option<String>,
}

pub(in crate::http) async fn list(
    State(state): State<Arc<FacadeState>>,
    _: Admin,
    RawQuery(query): RawQuery,
    wanted: Result<Query<RejectedQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<RejectedList>, Problem> {
    let wrong = |detail: String| Problem::new(ProblemKind::InvalidQuery, detail);
    let Query(wanted) = wanted.map_err(|_| Problem::invalid_query(query.as_deref(), &["shard", "after"]))?;
    let shards = state.facade.journal.shards();
    let after = wanted.after.as_deref().map(|text| {
        let place = RejectedId::parse(text).filter(|place| place.shard < shards);
        place.ok_or_else(|| wrong("`after` must be the `next` of an earlier answer".to_owned()))
    });
    let (shard, after) = (known_shard(wanted.shard.as_deref(), shards)?, after.transpose()?);
    let listed = state.reader.small(None, state.list_rejected(shard, after)).await?;
    Ok(Json(listed))
}

/// The shard that a parameter names.
fn known_shard(text: Option<&str>, shards: u16) -> Result<Option<u16>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let shard = shard_number(text).filter(|shard| *shard < shards);
    let wrong = || format!("`shard` must be a shard: a number from 0 to {}", shards - 1);
    shard.map(Some).ok_or_else(|| Problem::new(ProblemKind::InvalidQuery, wrong()))
}

impl FacadeState {
    async fn list_rejected(&self, only: Option<u16>, after: Option<RejectedId>) -> Result<RejectedList, StoreError> {
        let journal = &self.facade.journal;
        let first = after.map_or(0, |after| after.shard);
        let mut rejected = Vec::new();
        for (shard, count) in (0_u16..).zip(journal.rejected_counts().await?) {
            if shard < first || count == 0 || only.is_some_and(|only| only != shard) {
                continue;
            }
            let mut from = after.filter(|after| after.shard == shard).map_or(EntryId::ZERO, |after| after.id.next());
            loop {
                let entries = journal.rejected(shard, from, READ_AT_ONCE).await?;
                for entry in &entries {
                    if rejected.len() == LISTED_MAX {
                        let next = rejected.last().map(|line: &RejectedLine| format!("{}/{}", line.shard, line.id));
                        return Ok(RejectedList { rejected, next });
                    }
                    rejected.push(RejectedLine::new(shard, entry.id, &RetainedEntry::of(entry)));
                }
                match entries.last() {
                    Some(last) if entries.len() == READ_AT_ONCE => from = last.id.next(),
                    _ => break,
                }
            }
        }
        Ok(RejectedList { rejected, next: None })
    }
}

/// One entry, whole. Bytes that are no UTF-8 are replaced.
#[derive(Serialize, ToSchema)]
#[schema(as = RejectedEntry)]
pub(in crate::http) struct RejectedDetail {
    #[serde(flatten)]
    line: RejectedLine,
    /// Whether a field was longer than what is kept.
    truncated: bool,
    /// The fields as they came, in their order.
    fields: Vec<EntryField>,
}

/// A field of an entry.
#[derive(Serialize, ToSchema)]
#[schema(as = Field)]
struct EntryField {
    /// Its name.
    name: String,
    /// Its value.
    value: String,
}

pub(in crate::http) async fn show(
    State(state): State<Arc<FacadeState>>,
    RejectedScope(place): RejectedScope,
) -> Result<Json<RejectedDetail>, Problem> {
    let RejectedId { shard, id } = place;
    let entries = state.reader.small(None, state.facade.journal.rejected(shard, id, 1));
    let found = entries.await?.pop().filter(|entry: &RawEntry| entry.id == id);
    let found = found.ok_or_else(|| Problem::from(RequeueError::Gone { shard, id }))?;
    let retained = RetainedEntry::of(&found);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields =
        retained.fields.iter().map(|(name, value)| EntryField { name: text(name), value: text(value) }).collect();
    Ok(Json(RejectedDetail { line: RejectedLine::new(shard, id, &retained), truncated: retained.cut, fields }))
}

/// A requeued entry's new place.
#[derive(Serialize, ToSchema)]
#[schema(as = Requeued)]
pub(in crate::http) struct RequeuedMessage {
    /// The workspace that the message belongs to.
    workspace: WorkspaceId,
    /// The shard of the workspace.
    shard: u16,
    /// The message's entry there.
    id: EntryId,
}

pub(in crate::http) async fn requeue(
    State(state): State<Arc<FacadeState>>,
    RejectedScope(RejectedId { shard, id }): RejectedScope,
) -> Result<(StatusCode, Json<RequeuedMessage>), Problem> {
    let requeue = state.facade.journal.requeue(shard, id);
    let requeued = in_time(Instant::now() + STORE_ANSWER_MAX, requeue, Problem::requeue_unknown).await?;
    let moved = RequeuedMessage { workspace: requeued.workspace, shard: requeued.shard, id: requeued.entry };
    tracing::info!(from = shard, %id, workspace = %moved.workspace, to = moved.shard, entry = %moved.id, "requeued");
    Ok((StatusCode::ACCEPTED, Json(moved)))
}

pub(in crate::http) async fn discard(
    State(state): State<Arc<FacadeState>>,
    RejectedScope(RejectedId { shard, id }): RejectedScope,
) -> Result<StatusCode, Problem> {
    let discarded = discarding(state.facade.journal.discard(shard, &[id])).await?;
    if discarded == 0 {
        return Err(RequeueError::Gone { shard, id }.into());
    }
    tracing::info!(shard, %id, "a rejected entry was discarded");
    Ok(StatusCode::NO_CONTENT)
}

/// Which entries are discarded.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct DiscardQuery {
    all: Option<String>,
    reason: Option<String>,
    shard: Option<String>,
}

/// What was discarded.
#[derive(Serialize, ToSchema)]
#[schema(as = Discarded)]
pub(in crate::http) struct DiscardedEntries {
    /// How many entries this call deleted.
    pub(in crate::http) discarded: u64,
    /// Whether there may be more: call again.
    pub(in crate::http) more: bool,
}

pub(in crate::http) async fn discard_many(
    State(state): State<Arc<FacadeState>>,
    _: Admin,
    RawQuery(query): RawQuery,
    wanted: Result<Query<DiscardQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<DiscardedEntries>, Problem> {
    let wrong = |detail: String| Problem::new(ProblemKind::InvalidQuery, detail);
    let takes = ["all", "reason", "shard"];
    let Query(wanted) = wanted.map_err(|_| Problem::invalid_query(query.as_deref(), &takes))?;
    let shard = known_shard(wanted.shard.as_deref(), state.facade.journal.shards())?;
    let reason = match (wanted.all.as_deref(), wanted.reason) {
        (Some("true"), None) => None,
        (None, Some(reason)) => Some(reason),
        _ => return Err(wrong("say which: `?all=true`, or `?reason=` and a reason as the list tells it".to_owned())),
    };
    let done = discarding(state.discard_rejected(shard, reason.as_deref(), RejectedId::default())).await?;
    tracing::info!(shard, reason, discarded = done.discarded, "rejected entries were discarded");
    Ok(Json(done))
}

/// Discarding is bounded in time; what is deleted by then stays deleted, and asking again does no harm.
pub(in crate::http) fn discarding<T>(
    work: impl Future<Output = Result<T, StoreError>>,
) -> impl Future<Output = Result<T, Problem>> {
    let unknown = || Problem::store_away("the store is away, some entries may be discarded; call again");
    in_time(Instant::now() + STORE_ANSWER_MAX, work.err_into::<ReadError>(), unknown)
}

impl FacadeState {
    /// Deletes, from `oldest` on, the entries of a reason (as it is written, or its kind as readyz counts them), or all. A
    /// reason that is written out means no other of its kind: nobody gets back what is deleted here.
    pub(in crate::http) async fn discard_rejected(
        &self,
        only: Option<u16>,
        reason: Option<&str>,
        oldest: RejectedId,
    ) -> Result<DiscardedEntries, StoreError> {
        let journal = &self.facade.journal;
        let is_meant = |told: &str| reason.is_none_or(|reason| told == reason || reason_kind(told) == reason);
        let mut discarded = 0;
        for (shard, count) in (0_u16..).zip(journal.rejected_counts().await?) {
            let Some(mut from) = oldest.first_in(shard) else { continue };
            // What is set aside meanwhile waits for the next call.
            let mut left = if only.is_some_and(|only| only != shard) { 0 } else { count };
            while left > 0 {
                let entries = journal.rejected(shard, from, READ_AT_ONCE).await?;
                let meant = entries.iter().filter(|entry| is_meant(&RetainedEntry::of(entry).reason));
                discarded += journal.discard(shard, &meant.map(|entry| entry.id).collect::<Vec<_>>()).await?;
                if discarded >= DISCARDED_MAX {
                    return Ok(DiscardedEntries { discarded, more: true });
                }
                let Some(last) = entries.last() else { break };
                from = last.id.next();
                left = left.saturating_sub(entries.len() as u64);
            }
        }
        Ok(DiscardedEntries { discarded, more: false })
    }
}

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    let entry = sample!("rejected-entry", "A message that is not JSON");
    let moved = sample!("requeued", "It stood in the wrong stream");
    vec![
        ApiCall::get("/v1/rejected", list)
            .named("listRejected", "What was set aside")
            .says("By shard and oldest first, at most 100.")
            .query("shard", "Only those of this shard", shard())
            .query("after", "Only those behind this one: the `next` of an earlier answer", place())
            .answers::<RejectedList>(
                200,
                "The entries; `next` is null at the end",
                &[sample!("rejected", "Two entries")],
            )
            .refuses(&[TOKEN, ADMIN_ONLY, STORE, &[ProblemKind::InvalidQuery]]),
        ApiCall::get("/v1/rejected/{shard}/{id}", show)
            .named("showRejected", "One entry with its fields")
            .answers::<RejectedDetail>(200, "The entry", &[entry])
            .refuses(&[TOKEN, ADMIN_ONLY, STORE, &[ProblemKind::NotFound]]),
        ApiCall::delete("/v1/rejected/{shard}/{id}", discard)
            .named("discardRejected", "Delete it for good")
            .answers_nothing(204, "It is deleted")
            .refuses(&[TOKEN, ADMIN_ONLY, STORE, &[ProblemKind::NotFound]]),
        ApiCall::delete("/v1/rejected", discard_many)
            .named("discardManyRejected", "Delete those of a reason, or all, for good")
            .says("At most 1,000 a call; `more` tells that there may be others. Send `all` or `reason`.")
            .query("all", "`true`: every entry", Schema::Object(pattern("Nothing but `true`", "^true$").build()))
            .query("reason", "Those of this reason, as the list or `rejected_reasons` tells it", text())
            .query("shard", "Only those of this shard", shard())
            .answers::<DiscardedEntries>(200, "What was deleted", &[sample!("discarded", "Two entries")])
            .refuses(&[TOKEN, ADMIN_ONLY, STORE, &[ProblemKind::InvalidQuery]]),
        ApiCall::post("/v1/rejected/{shard}/{id}/requeue", requeue)
            .named("requeueRejected", "Check it again and send it on")
            .says(
                "A valid message goes behind everything that waits for its workspace; what is still not valid stays \
                 where it is.",
            )
            .answers::<RequeuedMessage>(202, "Durable in the stream of its workspace", &[moved])
            .refuses(&[
                TOKEN,
                ADMIN_ONLY,
                STORE,
                &[ProblemKind::NotFound, ProblemKind::StillInvalid, ProblemKind::StoreFull],
            ]),
    ]
}

fn place() -> Schema {
    Schema::Object(pattern("A rejected entry's place, `<shard>/<id>`", REJECTED_ID_PATTERN).build())
}
