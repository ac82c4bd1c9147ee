//! Makes attempts: one request each, and no more. `tests/delivery` holds this.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Bytes;
use rustls::RootCertStore;
use tokio::time::{Instant, timeout};

use super::answer::Answer;
use super::classify::{self, Stage, Verdict};
use super::connections::{Connections, SendError};
use super::guard::Guard;
use super::resolve::Resolver;
use super::target::Address;
use super::{BuildError, Done, Options, Post, Report, tls};
use crate::workspace::event::ErrorKind;
use crate::workspace::time::Clock;

/// Makes attempts. One for each arbiter: connections of a thread are 1.5 times as fast as shared
/// ones (PERFORMANCE.md), and belong to its runtime.
#[derive(Debug)]
pub struct Courier {
    connections: Connections,
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
        let connections = Connections::new(Resolver::new(guard.clone(), options.timeout / 2), tls, options.timeout);
        Ok(Self { connections, guard, timeout: options.timeout, clock: options.clock })
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
        let address = match &ready.address {
            Ok(address) => address,
            Err(refused) => return done(Some(refused.clone()), None),
        };
        let peer = &address.peer;
        let request = address.post(headers, post.body.clone());
        let mut answer = None;
        let ended = timeout(self.timeout, self.exchange(address, request, &mut answer)).await;
        // A status that is an error stays the reason, whatever happens to the rest of the answer.
        if let Some(error) = answer.as_ref().and_then(|answer| classify::status(peer, answer.status, answer.location()))
        {
            return done(Some(error), answer);
        }
        let waited = if answer.is_some() { Stage::Reading } else { Stage::Waiting };
        let late = |stage| Verdict::Failed(classify::late(peer, stage, self.timeout));
        let failed = |stage, error: &(dyn Error + 'static)| match classify::is_timeout(error) {
            true => late(stage),
            false => classify::failure(peer, stage, error),
        };
        let verdict = match ended {
            Ok(Ok(())) => return done(None, answer),
            Ok(Err(SendError::Connect(error))) => failed(Stage::Connecting, &*error),
            Ok(Err(SendError::Http(error))) => failed(waited, &error),
            Err(_elapsed) => late(waited),
        };
        match verdict {
            Verdict::Failed(error) => {
                if answer.is_none() && error.kind == ErrorKind::Protocol {
                    self.connections.broke(address);
                }
                done(Some(error), answer)
            }
            Verdict::Unable(reason) => Report::Unable(reason),
        }
    }

    /// Sends the request and reads its answer into `answer`, which holds what came so far if this is dropped.
    async fn exchange(
        &self,
        address: &Address,
        request: Request<Full<Bytes>>,
        answer: &mut Option<Answer>,
    ) -> Result<(), SendError> {
        let (sender, response) = self.connections.send(address, request).await?;
        let (head, mut body) = response.into_parts();
        let answer = answer.insert(Answer::new(head.status.as_u16(), &head.headers));
        // Frees the buffer that the connection reads into, so that it can be used again.
        drop(head);
        while answer.wants_more() {
            match body.frame().await.transpose().map_err(SendError::Http)? {
                Some(frame) => frame.data_ref().into_iter().for_each(|bytes| answer.push(bytes)),
                None => {
                    self.connections.keep(address, sender);
                    break;
                }
            }
        }
        Ok(())
    }
}
