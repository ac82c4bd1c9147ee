//! Makes attempts: one request each, and no more.
//!
//! Who could send a request twice, and why nobody does: reqwest's retries, redirects and proxies are off. The
//! pool below it (hyper-util) replaces a kept connection that turns out closed, and sends on the new one
//! only what hyper hands back, which is a request that its connection never took up; from the moment it is
//! taken up to be written, the outcome is what becomes of that connection. `tests/delivery.rs` holds this.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Request};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout};
use url::Url;

use super::answer::Answer;
use super::classify::{self, Stage, Verdict};
use super::guard::Guard;
use super::resolve::Resolver;
use super::reuse::{Clients, Unkept};
use super::{BuildError, Done, Options, Post, Report, tls};
use crate::config::{POOL_IDLE, POOL_IDLE_PER_HOST_MAX, RESPONSE_HEADERS_MAX};
use crate::workspace::event::ErrorKind;
use crate::workspace::time::Clock;

/// Makes attempts. One for each arbiter: a client per thread is 1.5 times as fast as a shared one
/// (PERFORMANCE.md) and a client must not be shared between runtimes.
#[derive(Debug)]
pub struct Courier {
    clients: Clients,
    guard: Guard,
    timeout: Duration,
    clock: Clock,
}

impl Courier {
    /// A courier for the calling thread's runtime, which trusts the system's certificate authorities.
    ///
    /// # Errors
    /// The TLS client cannot be set up.
    pub fn new(options: &Options) -> Result<Self, BuildError> {
        Self::with_roots(options, tls::platform_roots())
    }

    /// A courier that trusts the certificate authorities in `roots` and no others.
    ///
    /// # Errors
    /// The TLS client cannot be set up.
    pub fn with_roots(options: &Options, roots: RootCertStore) -> Result<Self, BuildError> {
        let tls = tls::client_config(roots).map_err(|error| BuildError(error.into()))?;
        let guard = Guard::new(options.allow.clone());
        let resolver = Arc::new(Resolver::new(guard.clone(), options.timeout / 2));
        let build = |kept: usize| {
            client(options, tls.clone(), Arc::clone(&resolver), kept).map_err(|error| BuildError(error.into()))
        };
        let clients = Clients { keeping: build(POOL_IDLE_PER_HOST_MAX)?, single: build(0)?, unkept: Unkept::default() };
        Ok(Self { clients, guard, timeout: options.timeout, clock: options.clock })
    }

    /// Makes the POST and waits for its end, at most [`Options::timeout`].
    pub async fn attempt(&self, post: &Post) -> Report {
        let started = Instant::now();
        let timestamp = (self.clock)().unix_seconds();
        let ready = match post.to.ready(&self.guard) {
            Ok(ready) => ready,
            Err(unsendable) => return Report::Unable(unsendable.to_string()),
        };
        let (headers, recorded) = match ready.headers(&post.webhook_id, timestamp, &post.body) {
            Ok(headers) => headers,
            Err(unsendable) => return Report::Unable(unsendable.to_string()),
        };
        let done = |error, answer: Option<Answer>| {
            let response = answer.map(|answer| Arc::new(answer.into_response()));
            Report::Done(Done { headers: recorded, error, response, duration: started.elapsed() })
        };
        let (url, peer) = match &ready.address {
            Ok(address) => address,
            Err(refused) => return done(Some(refused.clone()), None),
        };
        let client = self.clients.pick(&peer.authority);
        let mut answer = None;
        let ended = timeout(self.timeout, exchange(client, request(url.clone(), headers, post), &mut answer)).await;
        // A status that is an error stays the reason, whatever happens to the rest of the answer.
        if let Some(error) = answer.as_ref().and_then(|answer| classify::status(peer, answer.status, answer.location()))
        {
            return done(Some(error), answer);
        }
        let late = |stage| Verdict::Failed(classify::late(peer, stage, self.timeout));
        let stage = if answer.is_some() { Stage::Reading } else { Stage::Waiting };
        let verdict = match ended {
            Ok(Ok(())) => return done(None, answer),
            Ok(Err(error)) if error.is_timeout() => late(stage),
            Ok(Err(error)) if error.is_connect() => classify::failure(peer, Stage::Connecting, &error),
            Ok(Err(error)) => classify::failure(peer, stage, &error),
            Err(_elapsed) => late(stage),
        };
        match verdict {
            Verdict::Failed(error) => {
                if answer.is_none() && error.kind == ErrorKind::Protocol {
                    self.clients.unkept.insert(&peer.authority, Instant::now());
                }
                done(Some(error), answer)
            }
            Verdict::Unable(reason) => Report::Unable(reason),
        }
    }
}

/// Sends the request and reads its answer into `answer`, which holds what came so far if this is dropped.
async fn exchange(client: &Client, request: Request, answer: &mut Option<Answer>) -> reqwest::Result<()> {
    let mut response = client.execute(request).await?;
    let answer = answer.insert(Answer::new(response.status().as_u16(), response.headers()));
    while answer.wants_more() {
        match response.chunk().await? {
            Some(bytes) => answer.push(&bytes),
            None => break,
        }
    }
    Ok(())
}

/// A client that keeps so many idle connections a host.
fn client(options: &Options, tls: ClientConfig, resolver: Arc<Resolver>, kept: usize) -> reqwest::Result<Client> {
    Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(resolver)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .http1_only()
        .http1_max_headers(RESPONSE_HEADERS_MAX)
        .connect_timeout(options.timeout)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(kept)
        .build()
}

fn request(url: Url, headers: HeaderMap, post: &Post) -> Request {
    let mut request = Request::new(Method::POST, url);
    *request.headers_mut() = headers;
    *request.body_mut() = Some(post.body.clone().into());
    request
}
