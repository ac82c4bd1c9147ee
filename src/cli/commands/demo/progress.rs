//! Publishes a demo's messages and follows them until each has an outcome.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::environment::Environment;
use super::outcome::{DemoError, DemoRow};
use super::traffic::{FAILING, Traffic, WorkspaceMessage, workspaces};
use crate::cli::client::Client;
use crate::cli::commands::attempts::summaries;
use crate::cli::commands::publish::lines::InputLine;
use crate::cli::commands::publish::pipeline::send_all;
use crate::cli::failure::CommandFailure;
use crate::http::receiver::{Received, Signature};
use crate::message::WorkspaceId;
use crate::notify::CapturedMail;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::{MailState, Trigger};
use crate::workspace::state::OutcomeWord;
use crate::workspace::view::WebhookView;

/// Messages of one workspace that are made ahead of their publishing.
const AHEAD_MAX: usize = 256;
/// How often the API is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long nothing may move before the demo gives up and tells what is missing.
const PATIENCE: Duration = Duration::from_secs(30);

/// The publishers at work, and how many messages of each workspace were taken.
pub(super) struct Publishers {
    /// How many there are to be.
    n: u64,
    taken: HashMap<WorkspaceId, Arc<AtomicU64>>,
    work: JoinSet<Result<(), CommandFailure>>,
}

impl Publishers {
    /// Publishes `n` messages through the API, one publisher a workspace, in order by chat.
    pub(super) fn start(environment: &Environment, n: u64) -> Self {
        let mut work = JoinSet::new();
        let mut taken = HashMap::new();
        let mut senders = HashMap::new();
        for (workspace, client) in &environment.clients {
            let (sender, mut lines) = mpsc::channel(AHEAD_MAX);
            let count = Arc::<AtomicU64>::default();
            senders.insert(workspace.clone(), sender);
            taken.insert(workspace.clone(), Arc::clone(&count));
            let client = client.clone();
            work.spawn(async move {
                let mut passed = |_| {
                    count.fetch_add(1, Ordering::Relaxed);
                };
                send_all(&mut lines, |message| client.publish(message), &mut passed).await?;
                Ok(())
            });
        }
        work.spawn(async move {
            let mut traffic = Traffic::new(StdRng::from_rng(&mut rand::rng()));
            for _ in 0..n {
                let WorkspaceMessage { workspace, message } = traffic.next_at(Timestamp::now());
                let text = message.bytes().clone();
                let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
                if let Some(sender) = senders.get(&workspace)
                    && sender.send(Ok(InputLine { text, length })).await.is_err()
                {
                    // Its publisher has failed, which ends the demo.
                    break;
                }
            }
            Ok(())
        });
        Self { n, taken, work }
    }

    /// Messages that were taken so far.
    fn taken(&self) -> u64 {
        self.taken.values().map(|taken| taken.load(Ordering::Relaxed)).sum()
    }
}

/// What has come of the messages so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) mails: Vec<CapturedMail>,
    /// Ctrl-C came before the end.
    pub(super) stopped: bool,
    /// Message ids that the receiver has verified and answered with success, by workspace.
    delivered: HashMap<String, HashSet<String>>,
}

impl Progress {
    /// Watches until every message has an outcome and the mail is sent, or nothing moves any more.
    pub(super) async fn follow(
        &mut self,
        environment: &mut Environment,
        publishers: &mut Publishers,
        bar: &ProgressBar,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Vec<DemoRow>, CommandFailure> {
        let n = publishers.n;
        let mut clock = tokio::time::interval(ASK_EVERY);
        tokio::pin!(stop);
        let mut moved = (0, Instant::now());
        loop {
            tokio::select! {
                Some(received) = environment.reports.recv() => self.note(&received),
                Some(mail) = environment.mails.recv() => self.mails.push(mail),
                Some(joined) = publishers.work.join_next() => joined.map_err(DemoError::Panicked)??,
                () = &mut stop => {
                    self.stopped = true;
                    return self.rows(environment, publishers).await;
                }
                _ = clock.tick() => {
                    let rows = self.rows(environment, publishers).await?;
                    // A message may have its outcome before its publisher has heard that it was taken.
                    let taken = rows.iter().map(|row| row.published).sum::<u64>();
                    let ended = rows.iter().map(|row| row.delivered + row.failed + row.skipped).sum::<u64>();
                    bar.set_position(ended);
                    let mail_is_out = rows.iter().all(|row| row.mail != Some(MailState::Owed));
                    if ended != moved.0 {
                        moved = (ended, Instant::now());
                    }
                    if (ended >= n && taken >= n && mail_is_out) || moved.1.elapsed() > PATIENCE {
                        return Ok(rows);
                    }
                }
            }
        }
    }

    /// Notes a request that counts as a delivery: verified, and answered with success.
    fn note(&mut self, received: &Received) {
        #[derive(Deserialize)]
        struct DeliveredBody {
            message: DeliveredMessage,
        }
        #[derive(Deserialize)]
        struct DeliveredMessage {
            message_id: String,
        }
        let workspace = received.path.trim_start_matches('/');
        if received.signature != Signature::Verified || workspace == FAILING {
            return;
        }
        if let Ok(DeliveredBody { message }) = serde_json::from_slice(&received.body) {
            self.delivered.entry(workspace.to_owned()).or_default().insert(message.message_id);
        }
    }

    async fn rows(&self, environment: &Environment, publishers: &Publishers) -> Result<Vec<DemoRow>, CommandFailure> {
        // A success sets the counter of errors to 0, so it does not tell of errors before it. While messages
        // are still published that is near enough; at the end every workspace's attempts are asked for.
        let all_taken = publishers.taken() >= publishers.n;
        let mut rows = Vec::new();
        for workspace in workspaces() {
            let Some(client) = environment.clients.get(&workspace) else { continue };
            let webhook: WebhookView = client.get(&["webhook"]).await?;
            let errors = webhook.status != WebhookStatus::Enabled || webhook.consecutive_errors > 0;
            let failed = if all_taken || errors { failed(client).await? } else { 0 };
            rows.push(DemoRow {
                published: publishers.taken.get(&workspace).map_or(0, |taken| taken.load(Ordering::Relaxed)),
                delivered: self.delivered.get(workspace.as_str()).map_or(0, |ids| count(ids.len())),
                failed,
                skipped: webhook.skipped.count,
                status: webhook.status,
                mail: webhook.mail.map(|mail| mail.state),
                workspace,
            });
        }
        Ok(rows)
    }
}

/// Failed attempts at messages, as far as the API tells: those of the last 100.
async fn failed(client: &Client) -> Result<u64, CommandFailure> {
    let attempts = summaries(client).await?;
    let failed = attempts.iter().filter(|one| one.trigger == Trigger::Message && one.outcome == OutcomeWord::Failed);
    Ok(count(failed.count()))
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
