//! Answers that wait to be sent: bounded in bytes, a workspace and a node, until the caller has taken them, and
//! each of their parts in time.

use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::connections::ConnectionHandle;
use super::problem::{Problem, ProblemKind};
use super::shares::{Share, Shares};
use crate::config::{
    ANSWER_BYTES_FREE, ANSWER_BYTES_MAX, ANSWER_BYTES_PER_WORKSPACE_MAX, DOWNLOAD_BYTES_MAX,
    DOWNLOAD_BYTES_PER_WORKSPACE_MAX, DOWNLOAD_GRACE, DOWNLOAD_RATE_MIN, STORE_ANSWER_MAX,
};
use crate::message::WorkspaceId;

/// Bytes that one permit of the shares stands for.
const UNIT: usize = 1024;

/// What may wait.
pub(super) struct Sending {
    downloads: Shares,
    answers: Shares,
}

impl Sending {
    pub(super) fn new() -> Self {
        Self {
            downloads: Shares::new(DOWNLOAD_BYTES_MAX / UNIT, DOWNLOAD_BYTES_PER_WORKSPACE_MAX / UNIT),
            answers: Shares::new(ANSWER_BYTES_MAX / UNIT, ANSWER_BYTES_PER_WORKSPACE_MAX / UNIT),
        }
    }

    /// The right to download as much as one workspace may have waiting.
    pub(super) async fn download(&self, workspace: &WorkspaceId) -> Result<Download, Problem> {
        let all = units(DOWNLOAD_BYTES_PER_WORKSPACE_MAX);
        match timeout(STORE_ANSWER_MAX, self.downloads.take(Some(workspace), all)).await {
            Ok(Some(share)) => Ok(Download(share)),
            Ok(None) | Err(_) => Err(crowded("other downloads of this log")),
        }
    }

    /// The answer, with its bytes counted until they are sent. Small ones are not counted: the number of
    /// connections bounds them.
    pub(super) async fn hold(
        &self,
        answer: Response,
        workspace: Option<&WorkspaceId>,
        connection: Option<ConnectionHandle>,
    ) -> Response {
        let Some(size) = answer.body().size_hint().exact().and_then(|size| usize::try_from(size).ok()) else {
            return answer;
        };
        if size <= ANSWER_BYTES_FREE {
            return answer;
        }
        let count = units(size.min(ANSWER_BYTES_PER_WORKSPACE_MAX));
        let Ok(Some(share)) = timeout(STORE_ANSWER_MAX, self.answers.take(workspace, count)).await else {
            return crowded("other answers").into_response();
        };
        let (parts, body) = answer.into_parts();
        // It is there already: its size is known.
        match to_bytes(body, size).await {
            Ok(bytes) => Response::from_parts(parts, Body::from(SendingRate::new(connection).part(bytes, share))),
            Err(_) => crowded("other answers").into_response(),
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

fn crowded(by: &str) -> Problem {
    let detail =
        format!("{by} wait to be taken by their callers; read them to their end, or try again in a few seconds");
    Problem::new(ProblemKind::Overloaded, detail)
}

/// The right to one download.
pub(super) struct Download(Share);

impl Download {
    /// A JSON array of `items`, one a line, for editors and `grep`, written as the caller takes them. `weigh` tells how many bytes an
    /// item holds in memory: so many count until its part is sent.
    pub(super) fn array<T: Send + 'static>(
        self,
        items: Vec<T>,
        weigh: fn(&T) -> usize,
        write: fn(&T) -> Result<Vec<u8>, serde_json::Error>,
        connection: Option<ConnectionHandle>,
    ) -> Body {
        let Self(mut share) = self;
        share.shrink_to(items.iter().map(|item| weigh(item).div_ceil(UNIT)).sum());
        let mut rate = SendingRate::new(connection);
        let (mut items, mut before) = (items.into_iter(), Some("[\n"));
        let parts = std::iter::from_fn(move || {
            let opening = before.take()?;
            let Some(item) = items.next() else {
                // The empty array, or the end of one.
                let end = if opening == "[\n" { "[]\n" } else { "\n]\n" };
                return Some(Ok(Bytes::from_static(end.as_bytes())));
            };
            before = Some(",\n");
            let held = share.split(weigh(&item).div_ceil(UNIT));
            let written = write(&item).map(|json| [opening.as_bytes(), &json].concat());
            Some(written.map(|text| rate.part(text.into(), held)))
        });
        Body::from_stream(stream::iter(parts))
    }
}

/// How fast an answer must be taken: its parts together at [`DOWNLOAD_RATE_MIN`], after [`DOWNLOAD_GRACE`].
struct SendingRate {
    began: Instant,
    bytes: u64,
    connection: Option<ConnectionHandle>,
}

impl SendingRate {
    fn new(connection: Option<ConnectionHandle>) -> Self {
        Self { began: Instant::now(), bytes: 0, connection }
    }

    /// A part that holds its share until it is sent, and closes the connection when it is not in time.
    fn part(&mut self, bytes: Bytes, share: Share) -> Bytes {
        self.bytes += bytes.len() as u64;
        let until = self.began + DOWNLOAD_GRACE + Duration::from_secs(self.bytes / DOWNLOAD_RATE_MIN);
        let late = self.connection.clone().map(|connection| {
            tokio::spawn(async move {
                tokio::time::sleep_until(until).await;
                tracing::info!("a caller took an answer too slowly; the connection is closed");
                connection.close();
            })
        });
        Bytes::from_owner(HeldPart { bytes, _share: share, late })
    }
}

struct HeldPart {
    bytes: Bytes,
    _share: Share,
    late: Option<JoinHandle<()>>,
}

impl AsRef<[u8]> for HeldPart {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for HeldPart {
    fn drop(&mut self) {
        if let Some(late) = &self.late {
            late.abort();
        }
    }
}
