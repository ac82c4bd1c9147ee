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
use tokio::time::{Instant, timeout};

use super::classify::{self, AttemptPhase, Fault};
use super::connection::{Connector, EndpointConnection, ExchangeError, platform_roots};
use super::guard::Guard;
use super::pool::Pool;
use super::resolve::Resolver;
use super::response::ResponseReader;
use super::target::{Endpoint, Target};
use crate::workspace::event::{AttemptError, ErrorKind, Header, Response};
use crate::workspace::time::Clock;

/// Makes attempts. One for each arbiter: connections of a thread are 1.5 times as fast as shared
/// ones ([performance](crate::docs::performance#the-physical-limits)), and belong to its runtime.
#[derive(Debug)]
pub struct Courier {
    connector: Connector,
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
    /// Every header that we set, in order; custom ones are masked. `host` and `content-length` follow
    /// from the URL and the body.
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
        let connector = Connector::new(resolver, roots, options.timeout).map_err(|error| CourierError(error.into()))?;
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
        let mut response = None;
        let ended = timeout(self.timeout, self.exchange(endpoint, request, &mut response)).await;
        // A status that is an error stays the reason, whatever happens to the rest of the response.
        if let Some(error) = response.as_ref().and_then(|head| classify::status(name, head.status, head.location())) {
            return done(Some(error), response);
        }
        let waited = if response.is_some() { AttemptPhase::Reading } else { AttemptPhase::Waiting };
        let late = |phase| Fault::Endpoint(classify::late(name, phase, self.timeout));
        let failed = |phase, error: &(dyn Error + 'static)| match classify::is_timeout(error) {
            true => late(phase),
            false => classify::failure(name, phase, error),
        };
        let fault = match ended {
            Ok(Ok(())) => return done(None, response),
            Ok(Err(ExchangeError::Connect(error))) => failed(AttemptPhase::Connecting, &*error),
            Ok(Err(ExchangeError::Http(error))) => failed(waited, &error),
            Err(_elapsed) => late(waited),
        };
        match fault {
            Fault::Endpoint(error) => {
                if response.is_none() && error.kind == ErrorKind::Protocol {
                    endpoint.pool.broke(Instant::now());
                }
                done(Some(error), response)
            }
            Fault::Ours(reason) => PostResult::Unable(reason),
        }
    }

    /// Sends the request and reads its response into `read`, which holds what came so far if this is dropped.
    async fn exchange(
        &self,
        endpoint: &Endpoint,
        request: Request<Full<Bytes>>,
        read: &mut Option<ResponseReader>,
    ) -> Result<(), ExchangeError> {
        let (connection, response) = self.send(endpoint, request).await?;
        let (head, mut body) = response.into_parts();
        let read = read.insert(ResponseReader::new(head.status.as_u16(), &head.headers));
        // Frees the buffer that the connection reads into, so that it can be used again.
        drop(head);
        while read.wants_more() {
            match body.frame().await.transpose().map_err(ExchangeError::Http)? {
                Some(frame) => frame.data_ref().into_iter().for_each(|bytes| read.push(bytes)),
                None => {
                    endpoint.pool.put(connection, Instant::now());
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends a request and waits for the head of its response. Dropping the connection closes it.
    async fn send(
        &self,
        to: &Endpoint,
        mut request: Request<Full<Bytes>>,
    ) -> Result<(EndpointConnection, HttpResponse<Incoming>), ExchangeError> {
        while let Some(mut connection) = to.pool.take(Instant::now()) {
            match connection.http.try_send_request(request).await {
                Ok(response) => return Ok((connection, response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(ExchangeError::Http(error.into_error())),
                },
            }
        }
        // Boxed, because the future is large and needed for few requests.
        let mut connection = Box::pin(self.connector.connect(&to.uri)).await?;
        let response = connection.http.send_request(request).await.map_err(ExchangeError::Http)?;
        Ok((connection, response))
    }
}
