//! What the rest of the program ends in, as a problem; the cause goes to the log.

use std::error::Error;

use url::form_urlencoded;

use super::{Problem, ProblemKind};
use crate::journal::port::{PublishError, ReadError, RequeueError, StoreError, StoreTrouble, SubmitError};
use crate::message::{Invalid, InvalidWorkspaceId};

impl From<SubmitError> for Problem {
    fn from(error: SubmitError) -> Self {
        match &error {
            // Section 4 of src/docs/contract.md gives the text.
            SubmitError::OutcomeUnknown => {
                Self::new(ProblemKind::OutcomeUnknown, "stored; read the webhook to see whether it was applied")
            }
            SubmitError::Unanswered(cause) => {
                log_store(cause, "the answer to a command cannot be read");
                Self::new(ProblemKind::OutcomeUnknown, error.to_string())
            }
            SubmitError::MaybeStored => Self::new(ProblemKind::OutcomeUnknown, error.to_string()),
            SubmitError::TooMany => Self::new(ProblemKind::TooManyCommands, error.to_string()),
            SubmitError::Full => Self::new(ProblemKind::StoreFull, error.to_string()),
            SubmitError::Store(cause) => {
                log_store(cause, "a command could not be submitted");
                Self::of_store(
                    cause,
                    "the store refuses commands, nothing was stored; the operator's log says why",
                    Self::store_away(
                        "the store is away, the command may have been stored; read the webhook before you try again",
                    ),
                )
            }
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match &error {
            PublishError::Full => Self::new(ProblemKind::StoreFull, error.to_string()),
            PublishError::Store(cause) => {
                log_store(cause, "a message could not be published");
                Self::of_store(
                    cause,
                    "the store refuses messages, nothing was stored; the operator's log says why",
                    Self::publish_unknown(),
                )
            }
        }
    }
}

impl From<RequeueError> for Problem {
    fn from(error: RequeueError) -> Self {
        match &error {
            RequeueError::Gone { .. } => Self::new(ProblemKind::NotFound, error.to_string()),
            RequeueError::Invalid { .. } => Self::new(ProblemKind::StillInvalid, error.to_string()),
            RequeueError::Full => Self::new(ProblemKind::StoreFull, error.to_string()),
            RequeueError::Store(cause) => {
                log_store(cause, "a rejected entry could not be requeued");
                Self::of_store(
                    cause,
                    "the store refuses; list the rejected entries to see whether this one is still there, and the operator's log says why",
                    Self::requeue_unknown(),
                )
            }
        }
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match &error {
            ReadError::Load(cause) => {
                log(cause, "a workspace cannot be read");
                Self::new(
                    ProblemKind::WorkspaceUnavailable,
                    "this workspace cannot be loaded; the operator's log says why",
                )
            }
            ReadError::Store(cause) => {
                log_store(cause, "the store could not be read");
                Self::of_store(
                    cause,
                    "the store refuses to be read; the operator's log says why",
                    Self::store_away("the store is away, nothing was changed; try again in a few seconds"),
                )
            }
        }
    }
}

impl From<InvalidWorkspaceId> for Problem {
    fn from(error: InvalidWorkspaceId) -> Self {
        Self::new(ProblemKind::InvalidWorkspace, error.to_string())
    }
}

impl From<Invalid> for Problem {
    fn from(error: Invalid) -> Self {
        let kind = if matches!(error, Invalid::TooLarge { .. }) {
            ProblemKind::BodyTooLarge
        } else {
            ProblemKind::InvalidMessage
        };
        Self::new(kind, error.to_string())
    }
}

impl Problem {
    /// The store failed: it answered and refused, or it is away.
    fn of_store(cause: &StoreError, refused: &str, away: Self) -> Self {
        if cause.trouble == StoreTrouble::Refused { Self::new(ProblemKind::StoreRefuses, refused) } else { away }
    }

    /// The parameters behind the `?` cannot be read, of which a call takes these.
    pub(in crate::http) fn invalid_query(query: Option<&str>, takes: &[&str]) -> Self {
        let takes_all = takes.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let names: Vec<_> =
            form_urlencoded::parse(query.unwrap_or_default().as_bytes()).map(|(name, _)| name).collect();
        let shown = |name: &str| name.chars().take(PARAMETER_SHOWN_MAX).collect::<String>();
        let unknown = names.iter().find(|name| !takes.contains(&&***name));
        let repeated = names.iter().enumerate().find(|(n, name)| names[..*n].contains(name)).map(|(_, name)| name);
        let detail = match (unknown, repeated) {
            (Some(name), _) => format!("`{}` is not known; take it out. Known are {takes_all}", shown(name)),
            (None, Some(name)) => format!("`{}` stands more than once; send it once", shown(name)),
            (None, None) => format!("the parameters cannot be read; known are {takes_all}"),
        };
        Self::new(ProblemKind::InvalidQuery, detail)
    }
}

/// Characters of a parameter's name that are shown at most.
const PARAMETER_SHOWN_MAX: usize = 64;

/// The same of a store. That it is away or full is told once for the whole node.
fn log_store(cause: &StoreError, what: &'static str) {
    match cause.trouble {
        StoreTrouble::Refused => log(cause, what),
        StoreTrouble::Away | StoreTrouble::Full => tracing::debug!(error = cause as &dyn Error, "{what}"),
    }
}

/// Tells the operator the cause that the caller is not told.
fn log(cause: &(dyn Error + 'static), what: &'static str) {
    tracing::warn!(error = cause, "{what}");
}
