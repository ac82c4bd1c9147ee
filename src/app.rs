//! Wiring: what is started in which order, and how it ends.
//!
//! Start: listening socket (a port in use is the most common mistake and the cheapest to find),
//! journal, mailer, shards, facade. End: no message is attempted any more; the facade stops taking requests and finishes
//! those it has, while the shards still answer their commands; then the shards drain; the journal closes last.

mod log_walk;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tracing::info;
use uuid::Uuid;

use crate::actor::{self, Handle, supervised};
use crate::config::{
    Config, DescriptorShares, JournalConfig, MAILS_AT_ONCE, RedisFiles, ShardSet, TEST_MAIL_WAIT, embedded_file,
    journal_descriptors,
};
use crate::deliver::{self, Canary, CourierOptions, Egress, Guard};
use crate::http::{
    self, Access, AdminToken, Facade, NodeShards, PublicOrigin, ReadReadiness, Readiness, SendTestMail, TokenKey,
};
use crate::journal::Journal;
use crate::journal::embedded::Embedded;
use crate::journal::port::NodeRecord;
use crate::journal::redis::{Redis, RedisOptions, RedisTls};
use crate::notify::{self, MailLimits, Mailer, TestMail};
use crate::workspace::Time;

mod error;
mod record;
pub mod sealing;
mod telling;

pub use error::AppError;

use record::{newest_format, record};

/// The service, started and listening, but not answering requests yet.
pub struct App {
    config: Config,
    access: Access,
    test_mail: Option<SendTestMail>,
    journal: Arc<dyn Journal>,
    shards: Handle,
    record: NodeRecord,
    listener: TcpListener,
    address: SocketAddr,
    canary: Option<Canary>,
    /// Connections of the facade's callers without a token: a quarter of all.
    strangers_max: usize,
}

/// What the service must be given to be opened with.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// Opens every workspace.
    pub admin_token: &'a str,
    /// Signs workspace tokens and sessions.
    pub token_key: &'a [u8],
}

/// The wall clock.
#[must_use]
pub fn now() -> Time {
    Time::from_unix_ms(jiff::Timestamp::now().as_millisecond())
}

/// Takes the address that the facade is to listen on; done first, since it fails most often.
///
/// # Errors
/// [`AppError::Listen`].
pub async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), AppError> {
    let listen = |source| AppError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    Ok((listener, bound))
}

impl App {
    /// Starts the service as node `node` on a bound listener. `mailer` takes the place of the
    /// configured one.
    ///
    /// # Errors
    /// See [`AppError`]; nothing keeps running.
    pub async fn start(
        mut config: Config,
        (listener, address): (TcpListener, SocketAddr),
        credentials: &Credentials<'_>,
        node: &str,
        mailer: Option<Mailer>,
    ) -> Result<Self, AppError> {
        deliver::install_crypto();
        let access = Access {
            admin: AdminToken::new(credentials.admin_token)?,
            key: TokenKey::new(credentials.token_key)?,
            origin: PublicOrigin::new(config.public_url.as_deref(), address),
        };
        let mailer = match mailer {
            Some(mailer) => Some(mailer),
            None => configured_mailer(&config)?,
        };
        let test_mail = mailer.clone().map(test_mails);
        let (journal, prefix) = open(&config).await?;
        let record = NodeRecord {
            token_key: access.key.print(),
            secret_keys: config.keyring.prints(),
            ..record(&config, journal.shards(), node, address)?
        };
        config.keyring = sealing::check(&*journal, &config.keyring, &config.without_keys, node).await?;
        let all = journal.shards();
        // One that shares may have to run all: the others may end.
        let held = config.static_shards.as_ref().map_or(usize::from(all), ShardSet::len);
        let of_journal = journal_descriptors(&config.journal, (held, all), config.sources.len());
        let shares = DescriptorShares::of(config.descriptors, of_journal);
        let share_of_thread = |whole: usize| (whole / config.arbiters.max(1)).max(1);
        let egress = Egress {
            names: config.names.clone(),
            lookups: share_of_thread(shares.lookups),
            connections: share_of_thread(shares.connections),
            outage: Arc::default(),
            clock_check: Arc::default(),
        };
        let deliver = CourierOptions { timeout: config.timeout, reach: config.reach.clone(), clock: now, egress };
        let canary = config.canary.clone().map(|url| Canary::new(url, &deliver)).transpose();
        let canary = canary.map_err(actor::StartShardsError::from)?;
        let shards = actor::start(actor::ShardOptions {
            journal: Arc::clone(&journal),
            prefix: prefix.into(),
            mailer,
            deliver,
            policy: config.policy,
            // What is in flight needs a connection.
            in_flight_max: config.in_flight_max.min(shares.connections),
            node: record.clone(),
            lease: config.lease(),
            sources: config.sources.iter().map(|source| source.as_str().into()).collect(),
            source_form: config.source_form.clone(),
            keyring: Arc::clone(&config.keyring),
            arbiters: config.arbiters,
            clock: now,
        })?;
        info!(%address, shards = journal.shards(), node, "The service has started.");
        let strangers_max = shares.facade / 4;
        Ok(Self { config, access, test_mail, journal, shards, record, listener, address, canary, strangers_max })
    }

    /// Where the facade listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers requests until `shutdown`, then drains.
    ///
    /// # Errors
    /// [`AppError::Died`]: a shard failed inside the service. [`AppError::Journal`]: the journal failed for good.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), AppError> {
        let Self { config, access, test_mail, journal, mut shards, record, listener, canary, strangers_max, .. } = self;
        let watch = |of: Arc<Canary>| tokio::spawn(supervised("The canary's watch", move || Arc::clone(&of).watch()));
        let canary = canary.map(Arc::new).map(watch);
        let walk = config.log_max_age.map(|max_age| {
            let (journal, wait) = (Arc::clone(&journal), config.answer_wait());
            let walk = move || log_walk::walk(Arc::clone(&journal), max_age, wait, now);
            tokio::spawn(supervised("The walk over old logs", walk))
        });
        let (report, waiting, watched) = (shards.reporter(), shards.waiting(), Arc::clone(&journal));
        let readiness: ReadReadiness = Arc::new(move || {
            let report = report();
            Readiness {
                ready: report.reasons.is_empty(),
                reasons: report.reasons.into_iter().chain(report.notices).collect(),
                clock: report.clock,
                rejected_reasons: report.rejected,
                unavailable_workspaces: u64::try_from(report.unavailable).unwrap_or(u64::MAX),
                role: report.role,
                shards: NodeShards { assigned: report.assigned.iter().collect(), held: report.held.iter().collect() },
            }
        });
        let glance = telling::glance_of(&record, shards.glance(), Arc::clone(&readiness));
        let told = (Arc::clone(&journal), Arc::clone(&glance));
        let tell = move || telling::tell(Arc::clone(&told.0), Arc::clone(&told.1));
        let telling = tokio::spawn(supervised("The telling of what this node knows", tell));
        let facade = Facade {
            journal: Arc::clone(&journal),
            access,
            policy: config.policy,
            guard: Guard::new(config.reach.clone()),
            answer_wait: config.answer_wait(),
            timeout: config.timeout,
            keyring: config.keyring,
            clock: now,
            fresh_id: Uuid::new_v4,
            readiness,
            waiting,
            glance: Arc::clone(&glance),
            test_mail,
        };
        let mut ended = Ok(());
        let stop = async {
            tokio::select! {
                () = shutdown => {}
                why = shards.died() => ended = Err(AppError::Died(why)),
                // Whoever supervises the process starts it again; a service that cannot write is of no use to anybody.
                why = watched.failed() => ended = Err(AppError::Journal(why)),
            }
            shards.stop_taking_up();
        };
        http::serve(listener, http::router(facade), strangers_max, stop).await;
        shards.drain().await;
        canary.into_iter().chain(walk).for_each(|task| task.abort());
        telling.abort();
        drop(telling.await);
        telling::tell_last(&*journal, &glance).await;
        drop((journal, watched));
        info!("The service has stopped.");
        ended
    }
}

/// How the facade sends a test mail.
fn test_mails(mailer: Mailer) -> SendTestMail {
    Arc::new(move |workspace, to, url, permit| {
        let (mailer, mail) = (mailer.clone(), TestMail { workspace, to, url, at: now() });
        async move { mailer.send_test(&mail, TEST_MAIL_WAIT, permit).await }.boxed()
    })
}

/// The mailer that the configuration asks for.
fn configured_mailer(config: &Config) -> Result<Option<Mailer>, AppError> {
    let Some(mail) = &config.mail else { return Ok(None) };
    let options = notify::MailerOptions {
        smtp_url: mail.smtp_url.clone(),
        from: mail.from.clone(),
        public_url: config.public_url.clone(),
        hello: mail.hello.clone(),
        roots: Arc::new(mail_roots(mail.authorities.as_deref())?),
        limits: MailLimits::default(),
        at_once: MAILS_AT_ONCE,
        spread: rand::random,
    };
    Ok(Some(Mailer::new(&options)?))
}

/// The system's certificate authorities, and those of a file.
fn mail_roots(file: Option<&Path>) -> Result<RootCertStore, AppError> {
    let mut roots = deliver::platform_roots();
    let Some(file) = file else { return Ok(roots) };
    let unreadable = |detail: String| AppError::Authorities { file: file.to_owned(), detail };
    for certificate in certificates(file).map_err(unreadable)? {
        roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
    }
    Ok(roots)
}

/// What TLS to the Redis at `url` needs: nothing without it, else the system's certificate authorities and those of
/// the files, and our own certificate.
///
/// # Errors
/// [`AppError::RedisFile`].
pub fn redis_tls(url: &str, files: &RedisFiles) -> Result<RedisTls, AppError> {
    if !url.starts_with("rediss") {
        return Ok(RedisTls::default());
    }
    deliver::install_crypto();
    let unusable = |flag, file: &Path, detail: String| AppError::RedisFile { flag, file: file.to_owned(), detail };
    let mut authorities = deliver::platform_certificates();
    if let Some(file) = &files.authorities {
        let found = certificates(file).map_err(|detail| unusable("--redis-ca", file, detail))?;
        authorities.extend(found);
    }
    let identity = files.identity.as_ref().map(|(certificate, key)| {
        let found = certificates(certificate).map_err(|detail| unusable("--redis-cert", certificate, detail))?;
        PrivateKeyDer::from_pem_file(key).map_err(|error| unusable("--redis-key", key, error.to_string()))?;
        let read = |flag, file: &Path| std::fs::read(file).map_err(|error| unusable(flag, file, error.to_string()));
        Ok::<_, AppError>((in_pem(&found), read("--redis-key", key)?))
    });
    let authorities = (!authorities.is_empty()).then(|| in_pem(&authorities));
    Ok(RedisTls { authorities, identity: identity.transpose()? })
}

/// The certificates of a file, at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("it is written in UTF-16; save it as UTF-8".to_owned());
    }
    // Editors of Windows put a byte order mark in front.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let found = CertificateDer::pem_slice_iter(bytes).collect::<Result<Vec<_>, _>>().map_err(|error| match error {
        pem::Error::MissingSectionEnd { .. } => "a certificate in it is cut off; copy the whole file".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a line in it that begins a certificate is malformed".to_owned(),
        error => error.to_string(),
    })?;
    let mut usable = RootCertStore::empty();
    for certificate in &found {
        usable.add(certificate.clone()).map_err(|error| error.to_string())?;
    }
    if found.is_empty() { Err("it holds no certificate".to_owned()) } else { Ok(found) }
}

fn in_pem(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    let mut text = String::new();
    for certificate in certificates {
        let base64 = STANDARD.encode(certificate);
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in base64.as_bytes().chunks(64) {
            text.push_str(&String::from_utf8_lossy(line));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text.into_bytes()
}

/// Opens the journal; the second value is what its keys start with.
async fn open(config: &Config) -> Result<(Arc<dyn Journal>, String), AppError> {
    Ok(match &config.journal {
        JournalConfig::Embedded(path) => {
            let path = embedded_file(path.clone(), &config.data_dir);
            (Arc::new(Embedded::open(&path, config.shards, now)?), "outbound".to_owned())
        }
        JournalConfig::Redis { url, prefix, allow_volatile, files } => {
            let options = RedisOptions {
                tls: redis_tls(url, files)?,
                prefix: prefix.clone(),
                shards: config.shards,
                allow_volatile: *allow_volatile,
                durability: config.durability,
                compression: config.compression,
                format: newest_format(config),
                sources: (config.sources.clone(), config.source_form.clone()),
                ..RedisOptions::new(url, now)
            };
            let redis = Redis::connect(&options).await?;
            for source in &config.sources {
                redis.check_source(source).await?;
            }
            (Arc::new(redis), prefix.clone())
        }
    })
}
