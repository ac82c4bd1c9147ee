//! `GET /v1/workspaces`: which there are, a page at a time; admin only.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, RawQuery, State};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::openapi::Schema;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::http::auth::caller::Admin;
use crate::http::openapi::call::{ApiCall, sample};
use crate::http::openapi::problems::{ADMIN_ONLY, STORE, TOKEN};
use crate::http::openapi::schemas::pattern;
use crate::http::problem::{Problem, ProblemKind};
use crate::http::state::FacadeState;
use crate::journal::port::{ListQuery, ListedWorkspace};
use crate::message::{WORKSPACE_ID_MAX, WorkspaceId};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::state::Summary;
use crate::workspace::view::SkippedView;

/// Workspaces in one answer at most, and when nothing else is said.
const LISTED_MAX: usize = 100;

/// Where a list begins and ends. All as text, so that what is wrong can be said.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct WorkspacesQuery {
    pub(in crate::http) limit: Option<String>,
    pub(in crate::http) status: Option<String>,
    pub(in crate::http) prefix: Option<String>,
    pub(in crate::http) after: Option<String>,
}

/// One workspace in a list. What cannot be read of it is null.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WorkspaceLine {
    /// Its id.
    pub(in crate::http) workspace: WorkspaceId,
    /// In one word.
    pub(in crate::http) status: Option<WebhookStatus>,
    /// The host of its URL.
    pub(in crate::http) host: Option<String>,
    /// Errors in a row.
    pub(in crate::http) consecutive_errors: Option<u32>,
    /// Messages that were not sent while it was off.
    pub(in crate::http) skipped: Option<SkippedView>,
    /// The newest attempt.
    pub(in crate::http) last_attempt: Option<Summary>,
}

/// A page of workspaces.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct WorkspaceList {
    /// In order of their ids.
    pub(in crate::http) workspaces: Vec<WorkspaceLine>,
    /// Where the next page begins; null at the end.
    pub(in crate::http) next: Option<WorkspaceId>,
}

impl From<ListedWorkspace> for WorkspaceLine {
    fn from(ListedWorkspace { workspace, state }: ListedWorkspace) -> Self {
        let Some(state) = state else {
            let (status, host, consecutive_errors, skipped, last_attempt) = Default::default();
            return Self { workspace, status, host, consecutive_errors, skipped, last_attempt };
        };
        let url = state.webhook.url.as_deref().and_then(|url| Url::parse(url).ok());
        Self {
            workspace,
            status: Some(state.status()),
            host: url.and_then(|url| url.host_str().map(str::to_owned)),
            consecutive_errors: Some(state.errors),
            skipped: Some(SkippedView::new(&state)),
            last_attempt: state.last_attempt,
        }
    }
}

impl WorkspacesQuery {
    /// What is asked for, with one more than fits on the page, which tells whether there is a next one.
    pub(in crate::http) fn read(self) -> Result<ListQuery, Problem> {
        let wrong = |detail: String| Problem::new(ProblemKind::InvalidQuery, detail);
        let limit = match self.limit.as_deref() {
            None => LISTED_MAX,
            Some(text) => {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                let limit = text.parse().ok().filter(|limit| digits && (1..=LISTED_MAX).contains(limit));
                limit.ok_or_else(|| wrong(format!("`limit` must be a number from 1 to {LISTED_MAX}")))?
            }
        };
        let status = self.status.map(|text| {
            let named = WebhookStatus::ALL.into_iter().find(|status| status.as_str() == text);
            let all = WebhookStatus::ALL.map(WebhookStatus::as_str).join(", ");
            named.ok_or_else(|| wrong(format!("`status` must be one of {all}")))
        });
        let after = self.after.map(|text| {
            text.parse()
                .map_err(|_| wrong("`after` must be a workspace's id: the `next` of an earlier answer".to_owned()))
        });
        let prefix = self.prefix.unwrap_or_default();
        // Any id begins with a dot that may.
        if !prefix.is_empty()
            && format!("{prefix}_").parse::<WorkspaceId>().is_err()
            && prefix.parse::<WorkspaceId>().is_err()
        {
            let detail = "`prefix` must be the beginning of a workspace's id: of A-Z a-z 0-9 _ . : -, at most";
            return Err(wrong(format!("{detail} {WORKSPACE_ID_MAX} characters")));
        }
        Ok(ListQuery { after: after.transpose()?, prefix, status: status.transpose()?, count: limit + 1 })
    }
}

pub(in crate::http) async fn list(
    State(state): State<Arc<FacadeState>>,
    _: Admin,
    RawQuery(query): RawQuery,
    wanted: Result<Query<WorkspacesQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<WorkspaceList>, Problem> {
    let takes = ["limit", "status", "prefix", "after"];
    let Query(wanted) = wanted.map_err(|_| Problem::invalid_query(query.as_deref(), &takes))?;
    state.list_workspaces(wanted).await.map(Json)
}

impl FacadeState {
    /// A page of the list.
    pub(in crate::http) async fn list_workspaces(&self, wanted: WorkspacesQuery) -> Result<WorkspaceList, Problem> {
        let query = wanted.read()?;
        let mut listed = self.reader.small(None, self.facade.journal.workspaces(&query)).await?;
        let more = listed.len() == query.count;
        listed.truncate(query.count - 1);
        let next = listed.last().filter(|_| more).map(|last| last.workspace.clone());
        Ok(WorkspaceList { workspaces: listed.into_iter().map(WorkspaceLine::from).collect(), next })
    }
}

/// The calls of this resource.
pub(in crate::http) fn calls() -> Vec<ApiCall> {
    let limit = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1.0)).maximum(Some(LISTED_MAX as f64));
    let prefix = pattern("The beginning of an id", r"^[A-Za-z0-9_.:-]{0,128}$").build();
    vec![
        ApiCall::get("/v1/workspaces", list)
            .named("listWorkspaces", "Which workspaces there are")
            .says(
                "Admin token only. Those of which something is remembered, in order of their ids. What cannot be read of \
                 one is null.",
            )
            .query("limit", "At most so many", Schema::Object(limit.build()))
            .query("status", "Only those with this status", WebhookStatus::schema())
            .query("prefix", "Only those whose ids begin so", Schema::Object(prefix))
            .query("after", "Only those behind this one: the `next` of an earlier answer", WorkspaceId::schema())
            .answers::<WorkspaceList>(
                200,
                "The workspaces; `next` is null at the end",
                &[sample!("workspaces", "One that errors switched off")],
            )
            .refuses(&[TOKEN, ADMIN_ONLY, STORE, &[ProblemKind::InvalidQuery]]),
    ]
}
