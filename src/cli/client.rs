//! A client of the service's own HTTP facade, for the subcommands that talk to a running service.

mod error;

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Response, StatusCode, redirect};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::value::RawValue;
use url::Url;

use error::ANSWER_TIMEOUT;
pub use error::{ClientBuildError, InnermostCause, RequestError};

use super::credentials::TokenText;
use super::values::is_plain_http;
use crate::config::UNPACKED_BYTES_MAX;
use crate::http::is_outcome_unknown;
use crate::journal::port::ATTEMPTS_RETAINED;
use crate::message::{RawMessage, WorkspaceId};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read of a refusal.
const REFUSAL_MAX: usize = 16 * 1024;
/// Bytes read of any other answer: the longest is a log, in which no attempt takes more than unpacked in a journal.
const ANSWER_MAX: usize = ATTEMPTS_RETAINED * UNPACKED_BYTES_MAX;
/// What bodies are, where nothing else is said.
const JSON: &str = "application/json";

/// What this service says of a message that is durable. Any other server may answer 200 to whatever it is sent.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only its form is of interest")]
struct MessageReceipt {
    id: IgnoredAny,
}

/// The same of many.
#[derive(Deserialize)]
#[expect(dead_code, reason = "only its form is of interest")]
struct LineReceipts {
    ids: Vec<IgnoredAny>,
}

/// A service, or one workspace of it.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    root: Url,
    token: HeaderValue,
}

impl Client {
    /// A client for `workspace` at `base`.
    ///
    /// # Errors
    /// See [`ClientBuildError`].
    pub fn new(base: &Url, workspace: &WorkspaceId, token: &TokenText) -> Result<Self, ClientBuildError> {
        Self::below(base, &["workspaces", workspace.as_str()], token)
    }

    /// A client for what belongs to no workspace.
    ///
    /// # Errors
    /// See [`ClientBuildError`].
    pub fn of_service(base: &Url, token: &TokenText) -> Result<Self, ClientBuildError> {
        Self::below(base, &[], token)
    }

    fn below(base: &Url, path: &[&str], token: &TokenText) -> Result<Self, ClientBuildError> {
        crate::deliver::install_crypto();
        // The token goes to the server that was named and nowhere else.
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .build()
            .map_err(ClientBuildError::Http)?;
        let mut token =
            HeaderValue::from_str(&format!("Bearer {}", token.as_str())).map_err(|_| ClientBuildError::ServerUrl)?;
        token.set_sensitive(true);
        Ok(Self { http, root: api_url(base, path).ok_or(ClientBuildError::ServerUrl)?, token })
    }

    /// Publishes one message; `Ok` is durable.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn publish(&self, message: RawMessage) -> Result<(), RequestError> {
        let MessageReceipt { id: _ } = self.post_with(&["messages"], message.bytes().clone()).await?;
        Ok(())
    }

    /// Publishes messages, one a line: all of them or none; `Ok` is durable.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn publish_lines(&self, lines: Bytes) -> Result<(), RequestError> {
        let sent = self.send(Method::POST, self.url(&["messages"]), Some(("application/x-ndjson", lines))).await?;
        let LineReceipts { ids: _ } = read(sent, ANSWER_MAX).await?;
        Ok(())
    }

    /// Reads `path` below the service or workspace.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, RequestError> {
        self.get_with(path, []).await
    }

    /// The same with parameters behind the `?`.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn get_with<'a, T: DeserializeOwned>(
        &self,
        path: &[&str],
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<T, RequestError> {
        self.call(Method::GET, self.url_with(path, parameters), None).await
    }

    /// Hands every line of a list of the service to `take`, one page in memory at a time. Parameters without a value are
    /// left out.
    ///
    /// # Errors
    /// See [`RequestError`]; also those of `take`.
    pub async fn each_line<E: From<RequestError>>(
        &self,
        list: &str,
        parameters: &[(&str, Option<&str>)],
        mut take: impl FnMut(&RawValue) -> Result<(), E>,
    ) -> Result<(), E> {
        #[derive(Deserialize)]
        struct ListPage {
            #[serde(rename = "rejected", alias = "workspaces")]
            lines: Vec<Box<RawValue>>,
            next: Option<String>,
        }
        let mut after = None;
        loop {
            let parameters = parameters.iter().copied().chain([("after", after.as_deref())]);
            let given = parameters.filter_map(|(name, value)| Some((name, value?)));
            let page: ListPage = self.get_with(&[list], given).await?;
            page.lines.iter().try_for_each(|line| take(line))?;
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Does what `path` below the service or workspace names.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn post<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, RequestError> {
        self.call(Method::POST, self.url(path), None).await
    }

    /// Writes `path` below the service or workspace.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn put(&self, path: &[&str], body: Bytes) -> Result<(), RequestError> {
        self.send(Method::PUT, self.url(path), Some((JSON, body))).await.map(drop)
    }

    /// Sends `body` to `path` below the service or workspace, and reads what came of it.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn post_with<T: DeserializeOwned>(&self, path: &[&str], body: Bytes) -> Result<T, RequestError> {
        self.call(Method::POST, self.url(path), Some(body)).await
    }

    /// Deletes `path` below the service or workspace.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn delete(&self, path: &[&str]) -> Result<(), RequestError> {
        self.send(Method::DELETE, self.url(path), None).await.map(drop)
    }

    /// The same with parameters behind the `?`, and reads what came of it.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub async fn delete_with<'a, T: DeserializeOwned>(
        &self,
        path: &[&str],
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<T, RequestError> {
        self.call(Method::DELETE, self.url_with(path, parameters), None).await
    }

    fn url_with<'a>(&self, path: &[&str], parameters: impl IntoIterator<Item = (&'a str, &'a str)>) -> Url {
        let mut url = self.url(path);
        for (name, value) in parameters {
            url.query_pairs_mut().append_pair(name, value);
        }
        url
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.root.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        url
    }

    /// Sends a request with a body of JSON, if any, and reads what came of it.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        body: Option<Bytes>,
    ) -> Result<T, RequestError> {
        read(self.send(method, url, body.map(|body| (JSON, body))).await?, ANSWER_MAX).await
    }

    /// Sends a request with a body of a media type.
    async fn send(
        &self,
        method: Method,
        url: Url,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Response, RequestError> {
        let mut request = self.http.request(method, url).header(AUTHORIZATION, self.token.clone());
        if let Some((media, body)) = body {
            request = request.header(CONTENT_TYPE, media).body(body);
        }
        let server = || self.root.origin().ascii_serialization();
        let response = request.send().await.map_err(|error| RequestError::unanswered(server(), &error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let (detail, is_unknown) = refusal(response).await;
        Err(RequestError::Refused { status: status.as_u16(), detail, is_unknown })
    }
}

fn api_url(base: &Url, path: &[&str]) -> Option<Url> {
    if !is_plain_http(base) {
        return None;
    }
    let mut url = base.clone();
    url.path_segments_mut().ok()?.pop_if_empty().push("v1").extend(path);
    Some(url)
}

/// Reads an answer of at most `max` bytes.
async fn read<T: DeserializeOwned>(mut response: Response, max: usize) -> Result<T, RequestError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| RequestError::broken_off(&error))? {
        if body.len() + chunk.len() > max {
            return Err(RequestError::TooLong { max });
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|error| RequestError::unreadable(&error))
}

/// The sentence of a problem document (RFC 9457) with what is wrong with each member, or what to make
/// of an answer that has none; and whether it says that the outcome is not known.
async fn refusal(mut response: Response) -> (String, bool) {
    let (status, location) = (response.status(), response.headers().get(LOCATION).cloned());
    #[derive(Deserialize)]
    struct ProblemDetails {
        #[serde(default, rename = "type")]
        kind: String,
        detail: String,
        #[serde(default)]
        errors: Vec<InvalidMember>,
    }
    #[derive(Deserialize)]
    struct InvalidMember {
        member: String,
        detail: String,
    }
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(REFUSAL_MAX - body.len())]);
        if body.len() == REFUSAL_MAX {
            break;
        }
    }
    match serde_json::from_slice(&body) {
        Ok(ProblemDetails { kind, detail, errors }) => {
            let told = errors
                .iter()
                .fold(detail, |told, InvalidMember { member, detail }| format!("{told}; {member} {detail}"));
            (told, is_outcome_unknown(&kind))
        }
        Err(_) => (not_ours(status, location.as_ref()), false),
    }
}

/// What to make of an answer that is none of this service's.
fn not_ours(status: StatusCode, location: Option<&HeaderValue>) -> String {
    let elsewhere = location.and_then(|place| Url::parse(place.to_str().ok()?).ok()).map(|place| place.origin());
    match (status.as_u16(), elsewhere) {
        (300..=399, Some(origin)) if origin.is_tuple() => {
            format!("it sends elsewhere: name {} with --server", origin.ascii_serialization())
        }
        (502..=504, _) => "a proxy before the service says so: is the service behind it running?".to_owned(),
        _ => "that is no answer of this service: is --server right?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_bound() {
        let answered = |body: &'static str| Response::from(axum::http::Response::new(body));
        assert_eq!(read::<u64>(answered("12345"), 5).await.unwrap(), 12_345);
        let refused = read::<u64>(answered("123456"), 5).await.unwrap_err();
        assert!(matches!(refused, RequestError::TooLong { max: 5 }), "{refused}");
    }

    #[test]
    fn the_path_is_put_behind_a_base_with_and_without_a_slash() {
        let path = ["workspaces", "eu:acme-1"];
        for base in ["https://example.com/outbound", "https://example.com/outbound/"] {
            let url = api_url(&base.parse().unwrap(), &path).unwrap();
            assert_eq!(url.as_str(), "https://example.com/outbound/v1/workspaces/eu:acme-1");
        }
        for base in ["ftp://example.com", "http://u:p@example.com", "http://example.com?a=b", "mailto:a@example.com"] {
            assert_eq!(api_url(&base.parse().unwrap(), &path), None, "{base}");
        }
    }
}
