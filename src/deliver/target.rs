//! Where a webhook's requests go, and what is the same in all of them: made once, not for each.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue, InvalidHeaderName,
    InvalidHeaderValue, USER_AGENT,
};
use hyper::{Method, Request, Uri};
use url::{Position, Url};

use super::classify::EndpointName;
use super::clock_check::DateDue;
use super::echo::Echoes;
use super::guard::{Guard, InvalidUrl, parse_endpoint};
use super::pool::{OriginPool, Pool};
use crate::message::WorkspaceId;
use crate::sign::{self, InvalidSecret, Secret};
use crate::workspace::Confidential;
use crate::workspace::event::{AttemptError, ErrorKind, Header};
use crate::workspace::headers::{CustomHeaders, MASK};
use crate::workspace::state::Webhook;
use crate::workspace::time::Time;

/// What our requests call themselves.
pub(super) const AGENT: &str = concat!("outbound/", env!("CARGO_PKG_VERSION"));

/// The address that a workspace configured, with its secrets and headers.
#[derive(Debug)]
pub struct Target {
    workspace: WorkspaceId,
    url: Arc<str>,
    secrets: Vec<Confidential>,
    headers: CustomHeaders,
    template: OnceLock<Result<RequestTemplate, Unsendable>>,
}

/// What a request is made from.
#[derive(Debug)]
pub(super) struct RequestTemplate {
    /// Or why nothing may be sent there now: the operator's exceptions were narrowed since it was saved.
    pub(super) endpoint: Result<Endpoint, AttemptError>,
    secrets: Vec<Secret>,
    /// The webhook's own headers.
    custom: Vec<(HeaderName, HeaderValue)>,
    pub(super) echoes: Echoes,
}

/// The endpoint, in every form that a request needs.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// What a connection is made to: the whole of it, for the connector wants that.
    pub(super) uri: Uri,
    /// Path and query: what a request names.
    path: Uri,
    host: HeaderValue,
    pub(super) name: EndpointName,
    /// The idle connections of its scheme, host and port.
    pub(super) pool: Arc<OriginPool>,
    pub(super) date_due: DateDue,
}

/// A header that cannot be made: nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("the request cannot be signed: {0}")]
    Secret(#[from] InvalidSecret),
    #[error("the request's headers cannot be written: {0}")]
    Header(#[from] InvalidHeaderValue),
    #[error("the request's headers cannot be written: {0}")]
    Name(#[from] InvalidHeaderName),
}

impl Target {
    /// `secrets` sign each request: the present one first, during a rotation the old one too. `headers` are the
    /// webhook's own.
    #[must_use]
    pub fn new(workspace: WorkspaceId, url: Arc<str>, secrets: Vec<Confidential>, headers: CustomHeaders) -> Self {
        Self { workspace, url, secrets, headers, template: OnceLock::new() }
    }

    /// That of the workspace's webhook at `now`, none without a URL. `known` is returned if it is still the same.
    #[must_use]
    pub fn of(workspace: &WorkspaceId, webhook: &Webhook, now: Time, known: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let url = webhook.url.as_ref()?;
        let same = |known: &&Arc<Self>| {
            known.url == *url && known.secrets.iter().eq(webhook.secrets(now)) && known.headers == webhook.headers
        };
        let secrets = || webhook.secrets(now).cloned().collect();
        let new = || Self::new(workspace.clone(), Arc::clone(url), secrets(), webhook.headers.clone());
        Some(known.filter(same).map_or_else(|| Arc::new(new()), Arc::clone))
    }

    /// Whose it is.
    #[must_use]
    pub fn workspace(&self) -> &WorkspaceId {
        &self.workspace
    }

    /// The URL as configured.
    #[must_use]
    pub fn url(&self) -> &Arc<str> {
        &self.url
    }

    /// What requests are made from. The first call decides, so all must come from one courier.
    pub(super) fn template(&self, guard: &Guard, pool: &Arc<Pool>) -> Result<&RequestTemplate, &Unsendable> {
        self.template.get_or_init(|| RequestTemplate::new(self, guard, pool)).as_ref()
    }
}

impl Endpoint {
    fn new(url: &Url, pool: &Arc<Pool>) -> Result<Self, InvalidUrl> {
        // `parse_endpoint` took only what parses here, and a host's bytes are then a header's too.
        let uri: Uri = url.as_str().parse().map_err(|_| InvalidUrl::HostCharacter)?;
        let host = &url[Position::BeforeHost..Position::AfterPort];
        Ok(Self {
            path: uri.path_and_query().cloned().map(Uri::from).unwrap_or_default(),
            host: HeaderValue::from_str(host).map_err(|_| InvalidUrl::HostCharacter)?,
            name: EndpointName::of(url),
            pool: pool.origin(url[..Position::AfterPort].into()),
            date_due: DateDue::default(),
            uri,
        })
    }

    /// A POST to it.
    pub(super) fn post(&self, headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = headers;
        request
    }
}

impl RequestTemplate {
    fn new(target: &Target, guard: &Guard, pool: &Arc<Pool>) -> Result<Self, Unsendable> {
        let secrets = target.secrets.iter().map(|secret| secret.expose().parse()).collect::<Result<_, _>>()?;
        let custom = target.headers.iter().map(|(name, value)| {
            let mut value = HeaderValue::from_str(value.expose())?;
            value.set_sensitive(true);
            Ok((HeaderName::from_bytes(name.as_str().as_bytes())?, value))
        });
        let custom = custom.collect::<Result<Vec<_>, Unsendable>>()?;
        let echoes = Echoes::of(&custom);
        let endpoint = parse_endpoint(&target.url, guard).and_then(|url| Endpoint::new(&url, pool));
        Ok(Self { endpoint: endpoint.map_err(|invalid| refused(&invalid)), secrets, custom, echoes })
    }

    /// The headers of one request, and how they are logged: what is confidential is masked before any event
    /// is made of it.
    ///
    /// # Errors
    /// The `webhook-id` cannot stand in a header.
    pub(super) fn headers(
        &self,
        webhook_id: &str,
        timestamp: i64,
        body: &[u8],
    ) -> Result<(HeaderMap, Arc<[Header]>), Unsendable> {
        let signature = sign::sign(&self.secrets, webhook_id, timestamp, body);
        let set = FIXED.len() + OWN.len() + self.custom.len();
        let mut headers = HeaderMap::with_capacity(set + IMPLIED);
        // Servers exist that look for it in the first line only.
        if let Ok(endpoint) = &self.endpoint {
            headers.insert(HOST, endpoint.host.clone());
        }
        // What came encoded could not be read in the log.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        for (name, _, value) in FIXED {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let own = [HeaderValue::from_str(webhook_id)?, timestamp.into(), HeaderValue::from_str(&signature)?];
        for (name, value) in OWN.into_iter().zip(own) {
            headers.insert(name, value);
        }
        let fixed = |(_, name, value): (_, &'static str, &'static str)| (Cow::Borrowed(name), Cow::Borrowed(value));
        let own = |name, value| (Cow::Borrowed(name), Cow::Owned(value));
        let [content_type, accept, user_agent] = FIXED.map(fixed);
        let logged = [
            content_type,
            accept,
            user_agent,
            own(sign::ID_HEADER, webhook_id.to_owned()),
            own(sign::TIMESTAMP_HEADER, itoa::Buffer::new().format(timestamp).to_owned()),
            own(sign::SIGNATURE_HEADER, signature),
        ];
        if self.custom.is_empty() {
            return Ok((headers, Arc::new(logged)));
        }
        let mut logged = Vec::from(logged);
        for (name, value) in &self.custom {
            headers.insert(name, value.clone());
            match logged.iter_mut().find(|(known, _)| *known == name.as_str()) {
                Some((_, value)) => *value = Cow::Borrowed(MASK),
                None => logged.push((Cow::Owned(name.as_str().to_owned()), Cow::Borrowed(MASK))),
            }
        }
        Ok((headers, logged.into()))
    }
}

/// `host`, `accept-encoding` and `content-length`, which are set without being logged.
const IMPLIED: usize = 3;
/// The headers that are the same in every request, each with its name as text.
const FIXED: [(HeaderName, &str, &str); 3] =
    [(CONTENT_TYPE, "content-type", "application/json"), (ACCEPT, "accept", "*/*"), (USER_AGENT, "user-agent", AGENT)];
/// Those that are of one request.
const OWN: [HeaderName; 3] = [
    HeaderName::from_static(sign::ID_HEADER),
    HeaderName::from_static(sign::TIMESTAMP_HEADER),
    HeaderName::from_static(sign::SIGNATURE_HEADER),
];

fn refused(invalid: &InvalidUrl) -> AttemptError {
    let kind = match invalid {
        InvalidUrl::Forbidden(_) | InvalidUrl::HttpsRequired => ErrorKind::ForbiddenAddress,
        _ => ErrorKind::Connect,
    };
    AttemptError { kind, detail: invalid.to_string() }
}
