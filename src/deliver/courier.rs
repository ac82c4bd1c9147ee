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
use hyper::header::{DATE, HeaderMap};
use hyper::{Request, Response as HttpResponse};
use rustls::RootCertStore;
use tokio::time::{Instant, timeout_at};

use super::classify::{self, AttemptPhase, EndpointName, Fault};
use super::clock_check::ClockCheck;
use super::connection::{Dial, EndpointConnection, EndpointConnector, ExchangeError, Unanswered, platform_roots};
use super::deadline::{self, AttemptProgress, STOOD_STILL};
use super::guard::Guard;
use super::names::SystemNames;
use super::outage::{OUTAGE, Outage, Verdict};
use super::pool::Pool;
use super::resolve::Resolver;
use super::response::ResponseReader;
use super::sockets::Sockets;
use super::target::{Endpoint, Target};
use crate::config::network::EgressRules;
use crate::config::{DELIVERED_BODY_MAX, ENDPOINT_CONNECTIONS_MAX, LOOKUPS_MAX, NameSource};
use crate::workspace::event::{AttemptError, ErrorKind, Header, Response};
use crate::workspace::time::Clock;

/// Makes attempts. One for each arbiter: connections of a thread are 1.5 times as fast as shared
/// ones ([performance](crate::docs::performance#the-physical-limits)), and belong to its runtime.
#[derive(Debug)]
pub struct Courier {
    connector: EndpointConnector,
    pool: Arc<Pool>,
    sockets: Sockets,
    outage: Arc<Outage>,
    clock_check: Arc<ClockCheck>,
    guard: Guard,
    timeout: Duration,
    clock: Clock,
}

/// How a courier works.
#[derive(Debug, Clone)]
pub struct CourierOptions {
    /// One deadline, from DNS to the last byte of the response.
    pub timeout: Duration,
    /// What the egress guard lets through.
    pub reach: EgressRules,
    /// Reads the wall clock, for `webhook-timestamp`.
    pub clock: Clock,
    /// Its part of the way out of this node.
    pub egress: Egress,
}

impl CourierOptions {
    /// What makes connections to what `guard` lets through, and looks up so many names at a time.
    pub(super) fn connector(
        &self,
        guard: Guard,
        lookups: usize,
        roots: RootCertStore,
    ) -> Result<EndpointConnector, CourierError> {
        // Within the deadline, so that a name without an answer is told from an endpoint without one.
        let patience = self.timeout * 4 / 5;
        let names = SystemNames::new(self.egress.names.clone(), patience);
        let names = names.map_err(|error| CourierError(error.into()))?;
        let resolver = Resolver::new(guard, names, patience, lookups);
        EndpointConnector::new(resolver, roots).map_err(|error| CourierError(error.into()))
    }
}

/// The way out of this node, as far as one courier may use it.
#[derive(Debug, Clone)]
pub struct Egress {
    /// How names are resolved.
    pub names: NameSource,
    /// Names that are looked up at a time.
    pub lookups: usize,
    /// Connections to endpoints, in use and kept.
    pub connections: usize,
    /// What is known of the node's network: the same for all its couriers.
    pub outage: Arc<Outage>,
    /// What is known of the node's clock: the same for all its couriers.
    pub clock_check: Arc<ClockCheck>,
}

impl Default for Egress {
    /// That of a courier by itself.
    fn default() -> Self {
        Self {
            names: NameSource::default(),
            lookups: LOOKUPS_MAX,
            connections: ENDPOINT_CONNECTIONS_MAX,
            outage: Arc::default(),
            clock_check: Arc::default(),
        }
    }
}

/// One POST to make.
#[derive(Debug, Clone)]
pub struct Post {
    /// Whose message it is, where to, signed with what.
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
    /// It failed for a fault of ours after something was sent: it is logged, never sent again, and not counted.
    pub excused: bool,
}

/// What became of a POST, before it is known whose fault that is.
struct PostEnd {
    result: PostResult,
    doubt: Option<Doubt>,
}

/// It may have failed because this node has no network.
struct Doubt {
    host: String,
    /// It was sent, and nothing came back; else the host was not reached.
    is_sent: bool,
}

impl From<PostResult> for PostEnd {
    fn from(result: PostResult) -> Self {
        Self { result, doubt: None }
    }
}

/// A courier cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct CourierError(#[source] pub(super) Box<dyn Error + Send + Sync>);

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
        let guard = Guard::new(options.reach.clone());
        let Egress { lookups, connections, outage, clock_check, .. } = options.egress.clone();
        let connector = options.connector(guard.clone(), lookups, roots)?;
        let sockets = Sockets::new(connections);
        let pool = Arc::new(Pool::new(sockets.clone()));
        let (timeout, clock) = (options.timeout, options.clock);
        Ok(Self { connector, pool, sockets, outage, clock_check, guard, timeout, clock })
    }

    /// Makes the POST and waits for its end, at most [`CourierOptions::timeout`]. A failure is the endpoint's unless
    /// this machine could not even try.
    pub async fn attempt(&self, post: &Post) -> PostResult {
        self.make(post).await.result
    }

    /// As [`Courier::attempt`], but a failure that this node's network may have caused waits until it is known whose
    /// fault it is, at most [`OUTAGE_WINDOW`](crate::config::OUTAGE_WINDOW). During an outage hosts that failed are
    /// probed, and whatever else should go to them is not attempted.
    pub async fn attempt_judged(&self, post: &Post) -> PostResult {
        let began = Instant::now();
        if self.outage.is_on() && !self.admits(post) {
            return PostResult::Unable(OUTAGE.to_owned());
        }
        let PostEnd { result, doubt } = self.make(post).await;
        let Some(doubt) = doubt else { return self.excuse_refusal(result) };
        match self.outage.judge(&doubt.host, doubt.is_sent, began).await {
            Verdict::Endpoint => result,
            Verdict::Outage if doubt.is_sent => excused(result),
            Verdict::Outage => PostResult::Unable(OUTAGE.to_owned()),
        }
    }

    /// An endpoint that refuses what we sign while our clock is off may be right: that is our fault.
    fn excuse_refusal(&self, result: PostResult) -> PostResult {
        match result {
            PostResult::Done(done)
                if done.response.as_ref().is_some_and(|response| classify::is_refused(response.status))
                    && self.clock_check.excuses((self.clock)(), Instant::now()) =>
            {
                excused(PostResult::Done(done))
            }
            result => result,
        }
    }

    fn admits(&self, post: &Post) -> bool {
        let template = post.to.template(&self.guard, &self.pool);
        let endpoint = template.ok().and_then(|template| template.endpoint.as_ref().ok());
        endpoint.is_none_or(|endpoint| self.outage.admits(&endpoint.name.host))
    }

    async fn make(&self, post: &Post) -> PostEnd {
        let started = Instant::now();
        let timestamp = (self.clock)().unix_seconds();
        let template = match post.to.template(&self.guard, &self.pool) {
            Ok(template) => template,
            Err(unsendable) => return PostResult::Unable(unsendable.to_string()).into(),
        };
        let (headers, logged) = match template.headers(&post.webhook_id, timestamp, &post.body) {
            Ok(headers) => headers,
            Err(unsendable) => return PostResult::Unable(unsendable.to_string()).into(),
        };
        let done = |error, response| {
            let duration = started.elapsed();
            PostResult::Done(AttemptOutcome { headers: logged, error, response, duration, excused: false })
        };
        let endpoint = match &template.endpoint {
            Ok(endpoint) => endpoint,
            Err(refused) => return done(Some(refused.clone()), None).into(),
        };
        let name = &endpoint.name;
        let echoes = &template.echoes;
        // The head decides.
        let answered = |read: ResponseReader| {
            let location = read.location().map(|location| echoes.masked_text(location));
            let error = classify::status(name, read.status, location.as_deref());
            (error, Some(Arc::new(echoes.masked(read.finish()))))
        };
        let request = endpoint.post(headers, post.body.clone());
        let deadline = started + self.timeout;
        let progress = AttemptProgress::new(deadline);
        let failed = match deadline::until(deadline, self.timeout, self.send(endpoint, request, &progress)).await {
            // Whatever happens to the body changes nothing any more.
            Some(Ok((connection, response))) => {
                self.answered(post, endpoint, response.headers());
                let (error, response) =
                    answered(read(endpoint, connection, response, deadline::of_body(deadline)).await);
                return done(error, response).into();
            }
            Some(Err(Unanswered::Refused(head))) => {
                self.outage.reached();
                let (error, response) = answered(ResponseReader::of_raw(head));
                return done(error, response).into();
            }
            Some(Err(Unanswered::Foreign(mut foreign))) => {
                echoes.mask(&mut foreign.began, true);
                self.outage.reached();
                endpoint.pool.broke(Instant::now());
                return done(Some(classify::no_http(name, &foreign)), None).into();
            }
            Some(Err(Unanswered::Failed(error))) => Some(error),
            None => None,
        };
        let end = self.unanswered(endpoint, failed.as_ref(), &progress, |error| done(Some(error), None));
        match (deadline::stood_still(started, self.timeout), progress.is_sent()) {
            (false, _) => end,
            (true, true) => excused(end.result).into(),
            (true, false) => PostResult::Unable(STOOD_STILL.to_owned()).into(),
        }
    }

    /// What it means that there is no response.
    fn unanswered(
        &self,
        endpoint: &Endpoint,
        failed: Option<&ExchangeError>,
        progress: &AttemptProgress,
        done: impl FnOnce(AttemptError) -> PostResult,
    ) -> PostEnd {
        match self.fault(&endpoint.name, failed, progress) {
            Fault::Endpoint(error) => {
                if error.kind == ErrorKind::Protocol {
                    endpoint.pool.broke(Instant::now());
                }
                done(error).into()
            }
            Fault::Unreached(error) => {
                let doubt = Doubt { host: endpoint.name.host.clone(), is_sent: progress.is_sent() };
                PostEnd { result: done(error), doubt: Some(doubt) }
            }
            Fault::Ours(reason) => PostResult::Unable(reason).into(),
        }
    }

    /// The host was reached, and may tell what its clock shows.
    fn answered(&self, post: &Post, endpoint: &Endpoint, headers: &HeaderMap) {
        self.outage.reached();
        let now = (self.clock)();
        if !endpoint.date_due.is_due(now) {
            return;
        }
        if let Some(date) = headers.get(DATE).and_then(|date| date.to_str().ok()) {
            self.clock_check.saw_date(post.to.workspace(), &endpoint.name.host, date, now, Instant::now());
        }
    }

    /// Whose fault it is that there is no response; without an error the deadline has passed.
    fn fault(&self, name: &EndpointName, failed: Option<&ExchangeError>, progress: &AttemptProgress) -> Fault {
        match failed {
            Some(ExchangeError::Connect(error)) => {
                if classify::is_refusal(&**error) {
                    self.outage.reached();
                }
                classify::failure(name, AttemptPhase::Connecting, &**error, self.timeout)
            }
            Some(ExchangeError::Http(error)) => classify::failure(name, AttemptPhase::Waiting, error, self.timeout),
            Some(ExchangeError::Cut(error)) => classify::failure(name, AttemptPhase::Answering, error, self.timeout),
            // It took the connection and did not get as far as taking the request: it was reached.
            None => {
                let phase = progress.phase();
                let late = classify::late(name, phase, self.timeout);
                if phase == AttemptPhase::Handshaking { Fault::Endpoint(late) } else { Fault::Unreached(late) }
            }
        }
    }

    /// Sends a request and waits for the head of its response. Dropping the connection closes it.
    async fn send(
        &self,
        to: &Endpoint,
        mut request: Request<Full<Bytes>>,
        progress: &AttemptProgress,
    ) -> Result<(EndpointConnection, HttpResponse<Incoming>), Unanswered> {
        while let Some(mut connection) = to.pool.take(Instant::now()) {
            progress.sends_over(&connection.head);
            match connection.http.try_send_request(request).await {
                Ok(response) => return Ok((connection, response)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => {
                        request = unsent;
                        progress.restart();
                    }
                    None => return Err(Unanswered::new(error.into_error(), &connection)),
                },
            }
        }
        // Boxed, because the future is large and needed for few requests.
        let connected = Box::pin(self.connect(to, progress)).await;
        let mut connection = connected.map_err(Unanswered::Failed)?;
        progress.sends_over(&connection.head);
        match connection.http.send_request(request).await {
            Ok(response) => Ok((connection, response)),
            Err(error) => Err(Unanswered::new(error, &connection)),
        }
    }

    async fn connect(&self, to: &Endpoint, progress: &AttemptProgress) -> Result<EndpointConnection, ExchangeError> {
        let place = self.sockets.take(|| self.pool.close_idlest()).await;
        let place = place.map_err(|none| ExchangeError::Connect(none.into()))?;
        let dial = Dial { place, places: &self.sockets, preferred: &to.pool.preferred, deadline: progress.deadline };
        let reached = || {
            progress.reach();
            self.outage.reached();
        };
        self.connector.connect(&to.uri, dial, reached).await
    }
}

/// The same, logged and not counted.
fn excused(result: PostResult) -> PostResult {
    match result {
        PostResult::Done(done) => PostResult::Done(AttemptOutcome { excused: true, ..done }),
        unable @ PostResult::Unable(_) => unable,
    }
}

/// Reads a response until `deadline`, as much of it as is looked at, and keeps its connection where both ends were seen.
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
    if end_is_told && read.has_ended() && connection.head.is_sent() {
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
