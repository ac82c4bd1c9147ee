//! Asks a host of the operator's whether this node's network works, in place of the hosts that fail.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::http::uri::InvalidUri;
use hyper::{Method, Request, Uri};
use tokio::time::{Instant, timeout_at};
use url::{Position, Url};

use super::classify;
use super::connection::{Dial, EndpointConnector, ExchangeError, platform_roots};
use super::courier::{CourierError, CourierOptions};
use super::guard::Guard;
use super::outage::Outage;
use super::race::PreferredAddress;
use super::sockets::Sockets;
use super::target::AGENT;
use crate::config::network::EgressRules;
use crate::config::{CONNECT_ADDRESSES_MAX, OUTAGE_PROBE_EVERY};

/// Asks it while failures are in doubt and during an outage: one that is reached ends both.
#[derive(Debug)]
pub struct Canary {
    url: Url,
    uri: Uri,
    connector: EndpointConnector,
    sockets: Sockets,
    preferred: PreferredAddress,
    outage: Arc<Outage>,
    timeout: Duration,
}

impl Canary {
    /// One at `url`; it may be anywhere, for the operator says where. From now on nobody else is probed.
    ///
    /// # Errors
    /// The TLS client cannot be set up.
    pub fn new(url: Url, options: &CourierOptions) -> Result<Self, CourierError> {
        let everywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|network| network.parse().ok()).collect();
        let guard = Guard::new(EgressRules { allow: everywhere, ..EgressRules::default() });
        let connector = options.connector(guard, 2, platform_roots())?;
        let uri = url.as_str().parse().map_err(|error: InvalidUri| CourierError(error.into()))?;
        let outage = Arc::clone(&options.egress.outage);
        outage.probe_none();
        let sockets = Sockets::new(CONNECT_ADDRESSES_MAX);
        Ok(Self {
            url,
            uri,
            connector,
            sockets,
            preferred: PreferredAddress::default(),
            outage,
            timeout: options.timeout,
        })
    }

    /// Asks it whenever there is reason to, for as long as the service runs.
    pub async fn watch(self: Arc<Self>) {
        loop {
            if self.outage.is_in_doubt() {
                let deadline = Instant::now() + self.timeout;
                // It was reached or not: what it answers is of no interest.
                drop(timeout_at(deadline, self.ask(deadline)).await);
            }
            tokio::time::sleep(OUTAGE_PROBE_EVERY).await;
        }
    }

    async fn ask(&self, deadline: Instant) -> Result<(), ExchangeError> {
        let place = self.sockets.take(|| ()).await.map_err(|none| ExchangeError::Connect(none.into()))?;
        let dial = Dial { place, places: &self.sockets, preferred: &self.preferred, deadline };
        let connected = self.connector.connect(&self.uri, dial, || self.outage.reached()).await;
        if let Err(ExchangeError::Connect(error)) = &connected
            && classify::is_refusal(&**error)
        {
            self.outage.reached();
        }
        let mut connection = connected?;
        let mut request = Request::new(Full::new(Bytes::new()));
        *request.method_mut() = Method::HEAD;
        *request.uri_mut() = self.uri.path_and_query().cloned().map(Uri::from).unwrap_or_default();
        if let Ok(host) = HeaderValue::from_str(&self.url[Position::BeforeHost..Position::AfterPort]) {
            request.headers_mut().insert(HOST, host);
        }
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
        connection.http.send_request(request).await.map(drop).map_err(ExchangeError::Http)
    }
}
