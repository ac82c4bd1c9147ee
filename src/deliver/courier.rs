//! Makes attempts: one request each, and no more. `tests/delivery` holds this.
//!
//! Nothing is sent twice. A connection from the pool may turn out closed, and then hyper hands the request
//! back if it never took it up: only that goes out again, over another connection. From the moment a request
//! is taken up to be written, its outcome is what becomes of its connection.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response as HttpResponse};
use ipnet::IpNet;
use rustls::RootCertStore;
use tokio::time::{Instant, timeout_at};

use super::classify::{self, AttemptPhase, Fault};
use super::connection::{EndpointConnection, EndpointConnector, ExchangeError, platform_roots};
use super::guard::Guard;
use super::head::RawHead;
use super::pool::Pool;
use super::resolve::Resolver;
use super::response::ResponseReader;
use super::target::{Endpoint, Target};
use crate::config::DELIVERED_BODY_MAX;
use crate::workspace::event::{AttemptError, ErrorKind, Header, Response};
use crate::workspace::time::Clock;

/// Makes attempts. One for each arbiter: connections of a thread are 1.5 times as fast as shared
/// ones ([performance](crate::docs::performance#the-physical-limits)), and belong to its runtime.
#[derive(Debug)]
pub struct Courier {
    connector: EndpointConnector,
    pool: Arc<Pool>,
    guard: Guard,
    timeout: Duration,
    clock: Clock,
}

/// How a courier works.
#[derive(Debug, Clone)]
pub struct CourierOptions {
    /// One deadline, from DNS to the last byte of the response.
    pub timeout: Duration,
    /// Addresses that the egress guard lets through although they are special.
    pub allow: Vec<IpNet>,
    /// Reads the wall clock, for `webhook-timestamp`.
    pub clock: Clock,
}

/// One POST to make.
#[derive(Debug, Clone)]
pub struct Post {
    /// Where to, signed with what.
    pub to: Arc<Target>,
    /// The `webhook-id`.
    pub webhook_id: Arc<str>,
    /// The body.
    pub body: Bytes,
}

/// What became of a POST.
#[derive(Debug, Clone, PartialEq)]
pub enum PostResult {
    /// It was attempted; the outcome is final.
    Done(AttemptOutcome),
    /// Our own system could not make it (no file descriptor, no free port): nothing was attempted.
    Unable(String),
}

/// A final outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptOutcome {
    /// Every header that we set, in order; custom ones are masked. `host`,
    /// `accept-encoding` and `content-length` follow from the URL and the body.
    pub headers: Arc<[Header]>,
    /// Why it failed; `None` is delivered.
    pub error: Option<AttemptError>,
    /// What came back.
    pub response: Option<Arc<Response>>,
    /// From the start to the last byte that was read.
    pub duration: Duration,
}

/// A courier cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct CourierError(#[source] Box<dyn Error + Send + Sync>);

impl Courier {
    /// A courier for the calling thread's runtime, which trusts the system's certificate authorities.
    ///
    /// # Errors
    /// The TLS client cannot be set up.
    pub fn new(options: &CourierOptions) -> Result<Self, CourierError> {
        Self::with_roots(options, platform_roots())
    }

    /// A courier that trusts the certificate authorities in `roots` and no others.
    ///
    /// # Errors
    /// The TLS client cannot be set up.
    pub fn with_roots(options: &CourierOptions, roots: RootCertStore) -> Result<Self, CourierError> {
        let guard = Guard::new(options.allow.clone());
        let resolver = Resolver::new(guard.clone(), options.timeout / 2);
        let connector =
            EndpointConnector::new(resolver, roots, options.timeout).map_err(|error| CourierError(error.into()))?;
        Ok(Self { connector, pool: Arc::default(), guard, timeout: options.timeout, clock: options.clock })
    }

    /// Makes the POST and waits for its end, at most [`CourierOptions::timeout`].
    pub async fn attempt(&self, post: &Post) -> PostResult {
        let started = Instant::now();
        let timestamp = (self.clock)().unix_seconds();
        let template = match post.to.template(&self.guard, &self.pool) {
            Ok(template) => template,
            Err(unsendable) => return PostResult::Unable(unsendable.to_string()),
        };
        let (headers, logged) = match template.headers(&post.webhook_id, timestamp, &post.body) {
            Ok(headers) => headers,
            Err(unsendable) => return PostResult::Unable(unsendable.to_string()),
        };
        let done = |error, response: Option<ResponseReader>| {
            let response = response.map(|response| Arc::new(response.finish()));
            PostResult::Done(AttemptOutcome { headers: logged, error, response, duration: started.elapsed() })
        };
        let endpoint = match &template.endpoint {
            Ok(endpoint) => endpoint,
            Err(refused) => return done(Some(refused.clone()), None),
        };
        let name = &endpoint.name;
        let request = endpoint.post(headers, post.body.clone());
        let deadline = started + self.timeout;
        let sent = timeout_at(deadline, self.send(endpoint, request)).await;
        let fault = match sent {
            // The head decides: whatever happens to the body changes nothing any more.
            Ok(Ok((connection, response))) => {
                let response = read(endpoint, connection, response, deadline).await;
                return done(classify::status(name, response.status, response.location()), Some(response));
            }
            Ok(Err(Unanswered::Refused(head))) => {
                let response = ResponseReader::of_raw(head);
                return done(classify::status(name, response.status, response.location()), Some(response));
            }
            Ok(Err(Unanswered::Failed(ExchangeError::Connect(error)))) => {
                classify::failure(name, AttemptPhase::Connecting, &*error, self.timeout)
            }
            Ok(Err(Unanswered::Failed(ExchangeError::Http(error)))) => {
                classify::failure(name, AttemptPhase::Waiting, &error, self.timeout)
            }
            Err(_elapsed) => Fault::Endpoint(classify::late(name, self.timeout)),
        };
        match fault {
            Fault::Endpoint(error) => {
                if error.kind == ErrorKind::Protocol {
                    endpoint.pool.broke(Instant::now());
                }
                done(Some(error), None)
            }
            Fault::Ours(reason) => PostResult::Unable(reason),
        }
    }

    /// Sends a request and waits for the head of its response. Dropping the connection closes it.
    async fn send(
        &self,
        to: &Endpoint,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(EndpointConnection, HttpResponse<Incoming>), Unanswered> {
        while let Some(mut connection) = to.pool.take(Instant::now()) {
            match connection.http.try_send_request(request).await {
                Ok(response) => return Ok((connection, response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(Unanswered::new(error.into_error(), &connection)),
                },
            }
        }
        // Boxed, because the future is large and needed for few requests.
        let connected = Box::pin(self.connector.connect(&to.uri)).await;
        let mut connection = connected.map_err(Unanswered::Failed)?;
        match connection.http.send_request(request).await {
            Ok(response) => Ok((connection, response)),
            Err(error) => Err(Unanswered::new(error, &connection)),
        }
    }
}

/// No response that hyper takes.
enum Unanswered {
    Failed(ExchangeError),
    /// It refused this head, whose status can be read all the same.
    Refused(RawHead),
}

impl Unanswered {
    fn new(error: hyper::Error, connection: &EndpointConnection) -> Self {
        let is_refused = error.is_parse() && !error.is_parse_too_large();
        let head = if is_refused { connection.head.take(true) } else { None };
        head.map_or(Self::Failed(ExchangeError::Http(error)), Self::Refused)
    }
}

/// Reads a response until `deadline`, as much of it as is looked at, and keeps its connection where its end was seen.
async fn read(
    endpoint: &Endpoint,
    connection: EndpointConnection,
    response: HttpResponse<Incoming>,
    deadline: Instant,
) -> ResponseReader {
    let raw = connection.head.take(false);
    let end_is_told = raw.as_ref().is_some_and(|raw| raw.end_is_told);
    let (head, body) = response.into_parts();
    let malformed = raw.map(|raw| raw.malformed).unwrap_or_default();
    let mut read = ResponseReader::new(head.status.as_u16(), &head.headers, malformed);
    // Frees the buffer that the connection reads into, so that it can be used again.
    drop(head);
    let patience = if classify::is_success(read.status) { Instant::now() + DELIVERED_BODY_MAX } else { deadline };
    // How it breaks off is of no interest: what came of it is shown.
    drop(timeout_at(patience.min(deadline), read_body(body, &mut read)).await);
    if end_is_told && read.has_ended() {
        endpoint.pool.put(connection, read.keep_alive(), Instant::now());
    }
    read
}

async fn read_body(mut body: Incoming, read: &mut ResponseReader) -> Result<(), hyper::Error> {
    while read.wants_more() {
        match body.frame().await.transpose()? {
            Some(frame) => frame.data_ref().into_iter().for_each(|bytes| read.push(bytes)),
            None => {
                read.end();
                break;
            }
        }
    }
    Ok(())
}
