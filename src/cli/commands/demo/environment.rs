//! What the demo runs on: the service with an embedded journal in a temporary folder, and a
//! receiver that verifies every body and signature.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use url::Url;

use super::outcome::DemoError;
use super::traffic::{FAILING, workspaces};
use crate::app::{self, App, AppError, Credentials, now};
use crate::cli::client::Client;
use crate::cli::credentials::{KeyBytes, TokenText};
use crate::cli::failure::CommandFailure;
use crate::cli::runtime::raise_descriptor_limit;
use crate::config::network::EgressRules;
use crate::config::{
    Compression, Config, Durability, IN_FLIGHT_DEFAULT, JournalConfig, NameSource, RECEIVER_CONNECTIONS_MAX, SourceForm,
};
use crate::http::receiver::{Received, Treatment, receiver};
use crate::http::serve;
use crate::message::WorkspaceId;
use crate::notify::{CapturedMail, Mailer};
use crate::sign::Secret;
use crate::workspace::Policy;

/// An attempt's deadline in the demo. Its receiver answers at once: an attempt that a busy machine gives up although it came
/// would not add up.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Requests and mails that are not yet looked at; while so many wait, the receiver waits.
const REPORTS_MAX: usize = 1_024;

/// Everything that runs.
pub(super) struct Environment {
    /// Where the facade listens.
    pub(super) address: SocketAddr,
    /// Where the receiver listens.
    pub(super) receiver: SocketAddr,
    pub(super) token: TokenText,
    pub(super) clients: HashMap<WorkspaceId, Client>,
    pub(super) reports: mpsc::Receiver<Received>,
    pub(super) mails: mpsc::Receiver<CapturedMail>,
    stop: watch::Sender<bool>,
    service: JoinHandle<Result<(), AppError>>,
    endpoint: JoinHandle<()>,
    /// Removed with everything in it when this is dropped.
    _folder: TempDir,
}

/// Secrets by path, as the receiver needs them.
type PathSecrets = Arc<Mutex<HashMap<String, Secret>>>;

impl Environment {
    /// Starts the service and the receiver, and saves a webhook for every workspace.
    pub(super) async fn start(listen: SocketAddr) -> Result<Self, CommandFailure> {
        let folder = tempfile::tempdir().map_err(DemoError::Folder)?;
        let token = TokenText::random(&mut rand::rng());
        let (stop, stopped) = watch::channel(false);
        let secrets = PathSecrets::default();
        let (reports_sender, reports) = mpsc::channel(REPORTS_MAX);
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let (endpoint_listener, receiver_address) = app::bind(local).await?;
        let endpoint = tokio::spawn(receive(endpoint_listener, Arc::clone(&secrets), reports_sender, stopped.clone()));

        let (listener, address) = app::bind(listen).await?;
        let (mail_sender, mails) = mpsc::channel(REPORTS_MAX);
        let mailer = Mailer::capture(mail_sender, Some(format!("http://{address}")));
        let config = config(&folder, address);
        let token_key = KeyBytes::random(&mut rand::rng());
        let credentials = Credentials { admin_token: token.as_str(), token_key: token_key.bytes() };
        let app = App::start(config, (listener, address), &credentials, "demo", Some(mailer)).await?;
        let service = tokio::spawn(app.run(until(stopped)));

        let mut environment = Self {
            address,
            receiver: receiver_address,
            token,
            clients: HashMap::new(),
            reports,
            mails,
            stop,
            service,
            endpoint,
            _folder: folder,
        };
        environment.configure(&secrets).await?;
        Ok(environment)
    }

    async fn configure(&mut self, secrets: &PathSecrets) -> Result<(), CommandFailure> {
        #[derive(Deserialize)]
        struct SecretAnswer {
            secret: String,
        }
        let base = base(self.address);
        for workspace in workspaces() {
            let client = Client::new(&base, &workspace, &self.token)?;
            let path = format!("/{workspace}");
            let webhook = json!({
                "url": format!("http://{}{path}", self.receiver),
                "owner_email": format!("owner@{workspace}.example.com"),
            });
            client.put(&["webhook"], webhook.to_string().into()).await?;
            let SecretAnswer { secret } = client.get(&["webhook", "secret"]).await?;
            let secret = secret.parse().map_err(DemoError::Secret)?;
            secrets.lock().insert(path, secret);
            self.clients.insert(workspace, client);
        }
        Ok(())
    }

    /// Lets everything end in order: the service drains, then the receiver closes.
    pub(super) async fn stop(self) -> Result<(), CommandFailure> {
        self.stop.send_replace(true);
        // The receiver waits while nobody takes its reports; they are of no interest any more.
        drop(self.reports);
        let ended = self.service.await;
        self.endpoint.await.map_err(DemoError::Panicked)?;
        Ok(ended.map_err(DemoError::Panicked)??)
    }
}

pub(super) fn base(address: SocketAddr) -> Url {
    #[expect(clippy::expect_used, reason = "an address and a port always make a URL")]
    format!("http://{address}/").parse().expect("a URL")
}

fn config(folder: &TempDir, listen: SocketAddr) -> Config {
    Config {
        journal: JournalConfig::Embedded(Some(folder.path().join("outbound.redb"))),
        durability: Durability::default(),
        compression: Compression::None,
        format: None,
        data_dir: folder.path().to_owned(),
        sources: Vec::new(),
        source_form: SourceForm::default(),
        static_shards: None,
        shards: None,
        policy: Policy::default(),
        timeout: TIMEOUT,
        in_flight_max: usize::try_from(IN_FLIGHT_DEFAULT).unwrap_or(usize::MAX),
        reach: EgressRules { allow: vec![std::net::IpAddr::from([127, 0, 0, 1]).into()], ..EgressRules::default() },
        mail: None,
        keyring: Arc::default(),
        without_keys: Vec::new(),
        listen,
        public_url: None,
        arbiters: std::thread::available_parallelism().map_or(1, usize::from),
        descriptors: raise_descriptor_limit(),
        names: NameSource::default(),
        canary: None,
        log_max_age: None,
    }
}

/// Receives until it is stopped. The endpoint of [`FAILING`] answers 500.
async fn receive(
    listener: TcpListener,
    secrets: PathSecrets,
    reports: mpsc::Sender<Received>,
    stopped: watch::Receiver<bool>,
) {
    let failing = format!("/{FAILING}");
    let treat = move |path: &str| Treatment {
        secret: secrets.lock().get(path).cloned(),
        status: if path == failing { 500 } else { 200 },
        delay: Duration::ZERO,
    };
    let router = receiver(Arc::new(treat), reports, now);
    serve(listener, router, RECEIVER_CONNECTIONS_MAX, until(stopped)).await;
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // Without a sender nobody can stop it any more, so it ends too.
    stopped.wait_for(|stopped| *stopped).await.ok();
}
