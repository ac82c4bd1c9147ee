//! The facade: a thin HTTP front over the journal ([contract, section 4](crate::docs::contract#4-http)).
//!
//! Architecture invariants: this is the only room that names axum; it never talks to an actor. A
//! command is *submitted* to the journal and its answer waited for; what is shown is *read* from the
//! journal. So every node answers for every workspace. Every error is a [`problem`] document.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::config::{READS_AT_ONCE, REQUEST_BODY_MAX, REQUESTS_AT_ONCE, STORE_ANSWER_MAX};
use crate::deliver::Guard;
use crate::journal::port::{Journal, LoadError, ReadError, Reading};
use crate::message::WorkspaceId;
use crate::seal::{Keyring, OpenError};
use crate::workspace::Policy;
use crate::workspace::time::Clock;

pub use access::{Access, AdminToken, Front, TokenTooShort};
pub use attempts::write_log;
pub use failures::Peer;
pub use health::Readiness;
pub use jwt::{KeyTooShort, TokenKey};
pub use serve::serve;
pub use tokens::{InvalidTtl, Ttl};

mod access;
mod attempts;
mod auth;
mod body;
mod command;
mod docs;
mod failures;
mod form;
mod headers;
mod health;
mod history;
mod jwt;
mod limits;
mod live;
mod messages;
mod openapi;
mod problem;
pub mod receiver;
mod rejected;
mod save;
mod screen;
mod secret;
mod serve;
mod session;
mod test;
mod tokens;
mod webhook;
mod workspace;

use failures::Failures;
use health::RejectedTotal;
use live::Live;
use problem::Problem;

/// Says whether this node does its work.
pub type ReadReadiness = Arc<dyn Fn() -> Readiness + Send + Sync>;

/// What the facade is made of.
pub struct Facade {
    /// Takes commands and messages, and is read.
    pub journal: Arc<dyn Journal>,
    /// What opens it.
    pub access: Access,
    /// The rules' numbers, as far as they are shown.
    pub policy: Policy,
    /// Says which URLs may be saved. Names are checked at each attempt, by the courier.
    pub guard: Guard,
    /// How long a command's answer is waited for: [`crate::config::Config::answer_wait`].
    pub answer_wait: Duration,
    /// An attempt's deadline: a test's answer is waited for this much longer.
    pub timeout: Duration,
    /// Seals what is confidential in a command, and opens what is read.
    pub keyring: Arc<Keyring>,
    /// Reads the wall clock.
    pub clock: Clock,
    /// Makes a random id.
    pub fresh_id: fn() -> Uuid,
    /// Asked by `/readyz`.
    pub readiness: ReadReadiness,
}

/// The routes. Each file of this room that is named like a resource holds its handlers.
pub fn router(facade: Facade) -> Router {
    let front = facade.access.front.clone();
    let shared = Arc::new(Shared {
        facade,
        reads: Semaphore::new(READS_AT_ONCE),
        rejected: RejectedTotal::default(),
        failures: Failures::default(),
        live: Live::default(),
    });
    let gate = limits::Gate::new(REQUESTS_AT_ONCE);
    let resources = Router::new()
        .route("/v1/workspaces/{workspace}", axum::routing::delete(workspace::forget))
        .route("/v1/workspaces/{workspace}/webhook", get(webhook::show).put(webhook::save))
        .route("/v1/workspaces/{workspace}/webhook/test", post(test::run))
        .route("/v1/workspaces/{workspace}/webhook/secret", get(secret::show))
        .route("/v1/workspaces/{workspace}/webhook/secret/rotate", axum::routing::post(secret::rotate))
        .route("/v1/workspaces/{workspace}/attempts", get(attempts::list))
        .route("/v1/workspaces/{workspace}/attempts/log", get(attempts::log))
        .route("/v1/workspaces/{workspace}/attempts/live", get(live::live))
        .route("/v1/workspaces/{workspace}/history", get(history::list))
        .route("/v1/workspaces/{workspace}/messages", post(messages::publish))
        .route("/v1/workspaces/{workspace}/tokens", post(tokens::mint).delete(tokens::revoke))
        .route("/v1/rejected", get(rejected::list))
        .route("/v1/rejected/{shard}/{id}", get(rejected::show))
        .route("/v1/rejected/{shard}/{id}/requeue", post(rejected::requeue))
        .merge(screen::routes())
        .layer(DefaultBodyLimit::max(REQUEST_BODY_MAX))
        .layer(from_fn_with_state(gate, limits::admit));
    let open = Router::new()
        .route("/healthz", get(health::alive))
        .route("/readyz", get(health::ready))
        .route("/openapi.json", get(openapi::show))
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::file))
        .route("/assets/{name}", get(screen::asset));
    resources
        .merge(open)
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(from_fn_with_state(front, headers::harden))
        .with_state(shared)
}

/// What the handlers share.
struct Shared {
    facade: Facade,
    reads: Semaphore,
    rejected: RejectedTotal,
    failures: Failures,
    live: Live,
}

impl Shared {
    /// Reads what is durable of a workspace, within [`STORE_ANSWER_MAX`], and opens what is confidential.
    async fn read(&self, workspace: &WorkspaceId) -> Result<Reading, Problem> {
        let mut reading = self.within_reads(self.facade.journal.read(workspace)).await?;
        let opened = self.facade.keyring.open(workspace, &mut reading.state.webhook);
        let sealed = |error: OpenError| LoadError::Sealed { workspace: workspace.clone(), detail: error.to_string() };
        opened.map_err(|error| ReadError::from(sealed(error)))?;
        Ok(reading)
    }

    /// Reads from the store, one of [`READS_AT_ONCE`], within [`STORE_ANSWER_MAX`].
    async fn within_reads<T, E>(&self, read: impl Future<Output = Result<T, E>>) -> Result<T, Problem>
    where
        ReadError: From<E>,
    {
        let read = async {
            // The semaphore is never closed; without a permit the read would only be unbounded.
            let _permit = self.reads.acquire().await;
            read.await.map_err(ReadError::from)
        };
        match tokio::time::timeout(STORE_ANSWER_MAX, read).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(Problem::store_away("the store did not answer in time; try again in a few seconds")),
        }
    }
}
