//! Why a request of the command line did not succeed, and what helps.

use std::io;
use std::time::Duration;

use crate::cli::failure::{CommandError, EXIT_FAILED, EXIT_USAGE};
use crate::deliver::causes;
use crate::journal::port::{PublishError, StoreTrouble};

/// How long an answer may take: longer than the service waits for a command.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientBuildError {
    /// The server's URL cannot be used.
    #[error("--server must be http://HOST:PORT or https://HOST:PORT, without user info, query or fragment")]
    ServerUrl,
    /// The HTTP library refuses.
    #[error("the HTTP client cannot be built")]
    Http(#[source] reqwest::Error),
}

impl CommandError for ClientBuildError {
    fn exit_code(&self) -> u8 {
        match self {
            Self::ServerUrl => EXIT_USAGE,
            Self::Http(_) => EXIT_FAILED,
        }
    }
}

/// Why a request did not succeed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum RequestError {
    /// The journal refused, or is away.
    #[error(transparent)]
    Store(PublishError),
    /// The service refused.
    #[error("the service answered {status}: {detail}")]
    Refused {
        status: u16,
        detail: String,
        /// It says itself that it does not know whether the request was carried out.
        is_unknown: bool,
    },
    /// Nobody is there, or somebody else.
    #[error("the service at {server} cannot be reached: {mend}")]
    Unreachable {
        server: String,
        mend: &'static str,
        #[source]
        source: InnermostCause,
    },
    /// What answers is no HTTP server.
    #[error(
        "what listens at {server} answered as no HTTP server does: check host and port of --server, and write https:// if \
         it speaks TLS; whether the request was carried out is unknown"
    )]
    NotHttp {
        server: String,
        #[source]
        source: InnermostCause,
    },
    /// No answer came.
    #[error(
        "the service gave no answer{how_long}; whether the request was carried out is unknown: look before you ask again{hint}"
    )]
    NoAnswer {
        how_long: String,
        hint: &'static str,
        #[source]
        source: InnermostCause,
    },
    /// The answer broke off.
    #[error("the answer broke off; whether the request was carried out is unknown: look before you ask again")]
    BrokenOff(#[source] InnermostCause),
    /// The answer is longer than any of this service.
    #[error("the answer has more than {max} bytes: is --server right?")]
    TooLong { max: usize },
    /// The answer is not what was asked for.
    #[error("the answer cannot be read: is --server right?")]
    Unreadable(#[source] InnermostCause),
    /// A part of the answer is not what was asked for.
    #[error("the answer cannot be read: is the service of another version?")]
    Strange(#[source] serde_json::Error),
}

impl CommandError for RequestError {}

impl RequestError {
    /// Whether the request may have been carried out all the same.
    pub(in crate::cli) fn is_outcome_unknown(&self) -> bool {
        match self {
            // A proxy that gave up waiting.
            Self::Refused { status, is_unknown, .. } => *is_unknown || matches!(status, 502 | 504),
            Self::Store(PublishError::Store(error)) => error.trouble == StoreTrouble::Away,
            Self::Store(PublishError::Full) | Self::Unreachable { .. } => false,
            Self::NotHttp { .. }
            | Self::NoAnswer { .. }
            | Self::BrokenOff(_)
            | Self::TooLong { .. }
            | Self::Unreadable(_)
            | Self::Strange(_) => true,
        }
    }
}

/// What lies behind an error of the HTTP library, which itself only says that a request failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct InnermostCause(String);

impl InnermostCause {
    fn of(error: &reqwest::Error) -> Self {
        Self(causes(error).last().map(ToString::to_string).unwrap_or_default())
    }
}

impl RequestError {
    /// What an error of the library means, for a request to `server`.
    pub(super) fn unanswered(server: String, error: &reqwest::Error) -> Self {
        let source = InnermostCause::of(error);
        if error.is_connect() {
            return Self::Unreachable { server, mend: mend(error), source };
        }
        let is_parse =
            causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>()).any(hyper::Error::is_parse);
        if is_parse {
            return Self::NotHttp { server, source };
        }
        // A server that waits for TLS may just reset what it does not understand, as a service does that is killed.
        let is_reset = causes(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| cause.kind() == io::ErrorKind::ConnectionReset);
        let hint = match is_reset && server.starts_with("http:") {
            true => ", and write https:// in --server if it speaks TLS",
            false => "",
        };
        let how_long = if error.is_timeout() { format!(" within {ANSWER_TIMEOUT:?}") } else { String::new() };
        Self::NoAnswer { how_long, hint, source }
    }

    /// What an error of the library means that came with the body of an answer.
    pub(super) fn broken_off(error: &reqwest::Error) -> Self {
        Self::BrokenOff(InnermostCause::of(error))
    }

    /// The body came whole and has another form.
    pub(super) fn unreadable(error: &serde_json::Error) -> Self {
        Self::Unreadable(InnermostCause(error.to_string()))
    }
}

/// What helps where no connection came about.
fn mend(error: &reqwest::Error) -> &'static str {
    let tls = causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidMessage(_)) => "what listens there does not speak TLS; write http:// in --server",
        Some(rustls::Error::InvalidCertificate(_)) => {
            "its certificate is not trusted; the system must trust who issued it, for the host in --server"
        }
        Some(_) => "it refused the TLS session; the cause says why",
        None if causes(error).any(|cause| cause.to_string().starts_with("dns error")) => {
            "its name cannot be resolved; check the host in --server"
        }
        None if causes(error).any(|cause| cause.to_string().contains("handshake")) => {
            "it broke off the TLS handshake; write http:// in --server if it speaks none"
        }
        None if error.is_timeout() => "nothing answers there; check --server, and what stands in the way",
        None => "is `outbound serve` running, and is --server right?",
    }
}
