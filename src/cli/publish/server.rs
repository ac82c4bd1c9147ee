//! Publishing through a running service: `POST /v1/workspaces/{ws}/messages` (CONTRACT section 4).

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Response, StatusCode, redirect};
use serde::Deserialize;
use url::Url;

use super::{Error, SendError};
use crate::cli::admin_token::TokenText;
use crate::cli::is_plain_http;
use crate::message::{RawMessage, WorkspaceId};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an answer may take: longer than the service waits for its store.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes read of a refusal.
const REFUSAL_MAX: usize = 16 * 1024;

/// The messages of one workspace at one service.
#[derive(Debug, Clone)]
pub(super) struct Server {
    client: Client,
    url: Url,
    token: HeaderValue,
}

impl Server {
    /// A client for `workspace` at `base`.
    pub(super) fn new(base: &Url, workspace: &WorkspaceId, token: &TokenText) -> Result<Self, Error> {
        // Somebody may have installed the same provider before; then that one serves.
        rustls::crypto::ring::default_provider().install_default().ok();
        // The token goes to the server that was named and nowhere else.
        let client = Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(Error::Client)?;
        let mut token = HeaderValue::from_str(&format!("Bearer {}", token.as_str())).map_err(|_| Error::ServerUrl)?;
        token.set_sensitive(true);
        Ok(Self { client, url: messages(base, workspace).ok_or(Error::ServerUrl)?, token })
    }

    /// Publishes one message; `Ok` is durable.
    pub(super) async fn publish(&self, message: RawMessage) -> Result<(), SendError> {
        let request = self
            .client
            .post(self.url.clone())
            .header(AUTHORIZATION, self.token.clone())
            .header(CONTENT_TYPE, "application/json")
            .body(message.bytes().clone());
        let response = request.send().await.map_err(|error| {
            let error = error.without_url();
            if error.is_connect() { SendError::Unreachable(error) } else { SendError::NoAnswer(error) }
        })?;
        match response.status() {
            StatusCode::ACCEPTED => Ok(()),
            status => Err(SendError::Refused { status: status.as_u16(), detail: detail(response).await }),
        }
    }
}

fn messages(base: &Url, workspace: &WorkspaceId) -> Option<Url> {
    if !is_plain_http(base) {
        return None;
    }
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().extend(["v1", "workspaces", workspace.as_str(), "messages"]);
    Some(url)
}

/// The sentence of a problem document (RFC 9457), or what to make of an answer that has none.
async fn detail(mut response: Response) -> String {
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_MAX - body.len())]);
        if body.len() == REFUSAL_MAX {
            break;
        }
    }
    match serde_json::from_slice(&Bytes::from(body)) {
        Ok(Problem { detail }) => detail,
        Err(_) => "that is no answer of this service: is --server right?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_put_behind_a_base_with_and_without_a_slash() {
        let workspace = "eu:acme-1".parse().unwrap();
        for base in ["https://example.com/outbound", "https://example.com/outbound/"] {
            let url = messages(&base.parse().unwrap(), &workspace).unwrap();
            assert_eq!(url.as_str(), "https://example.com/outbound/v1/workspaces/eu:acme-1/messages");
        }
        for base in ["ftp://example.com", "http://u:p@example.com", "http://example.com?a=b", "mailto:a@example.com"] {
            assert_eq!(messages(&base.parse().unwrap(), &workspace), None, "{base}");
        }
    }
}
