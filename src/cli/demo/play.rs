//! The play: traffic, what is shown of it, and the count at the end.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::super::client::Client;
use super::super::publish::flight::send_all;
use super::super::publish::lines::Line;
use super::super::receive;
use super::super::sample::{FAILING, Sample, Traffic, workspaces};
use super::super::{Error, stop_signal, token};
use super::stage::{Stage, Verified, base};
use super::{DemoArgs, DemoError, Row, agree, print_table};
use crate::http::receiver::Received;
use crate::message::WorkspaceId;
use crate::notify::CapturedMail;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::{MailState, Trigger};
use crate::workspace::state::{OutcomeWord, Summary};
use crate::workspace::view::WebhookView;

/// Between two messages of the demo that goes on until Ctrl-C.
const PACE: Duration = Duration::from_millis(250);
/// Messages of one workspace that are made ahead of their publishing.
const AHEAD_MAX: usize = 256;
/// How often the API is asked how far it is.
const ASK_EVERY: Duration = Duration::from_millis(50);
/// How long nothing may move before the demo gives up and tells what is missing.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn run(args: &DemoArgs, out: &mut dyn Write) -> Result<(), Error> {
    let mut stage = Stage::set(args.listen).await?;
    let played = match args.messages {
        Some(n) => count(&mut stage, n, out).await,
        None => watch(&mut stage, out).await,
    };
    let struck = stage.strike().await;
    played.and(struck)
}

async fn introduce(stage: &Stage, out: &mut dyn Write) -> Result<(), Error> {
    let token = match stage.clients.get(FAILING) {
        Some(client) => token::mint(client, None, None).await?.token,
        None => stage.token.as_str().to_owned(),
    };
    tell(stage, &token, out).map_err(Error::Output)
}

fn tell(stage: &Stage, token: &str, out: &mut dyn Write) -> std::io::Result<()> {
    let names: Vec<String> = workspaces().iter().map(ToString::to_string).collect();
    let look = format!(
        "curl -H 'Authorization: Bearer {}' {}v1/workspaces/{FAILING}",
        stage.token.as_str(),
        base(stage.address)
    );
    writeln!(out, "screen:     {}workspaces/{FAILING}/outbound", base(stage.address))?;
    writeln!(out, "token:      {token}")?;
    writeln!(out, "look:       {look}/webhook")?;
    writeln!(out, "            {look}/attempts/log")?;
    writeln!(out, "receiver:   http://{}/<workspace>, verifies every body and signature", stage.receiver)?;
    writeln!(out, "workspaces: {}", names.join(", "))?;
    writeln!(out, "            the endpoint of {FAILING} answers 500 until its webhook is switched off\n")
}

/// Messages at an easy pace, each shown, until Ctrl-C.
async fn watch(stage: &mut Stage, out: &mut dyn Write) -> Result<(), Error> {
    let stop = stop_signal();
    tokio::pin!(stop);
    introduce(stage, out).await?;
    writeln!(out, "Ctrl-C ends it.\n").map_err(Error::Output)?;
    let mut traffic = Traffic::new(StdRng::from_rng(&mut rand::rng()));
    let mut clock = tokio::time::interval(PACE);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = clock.tick() => {
                let Sample { workspace, message } = traffic.next_at(Timestamp::now());
                if let Some(client) = stage.clients.get(&workspace) {
                    client.publish(message).await?;
                }
            }
            Some(received) = stage.reports.recv() => show(&received, out).map_err(Error::Output)?,
            Some(mail) = stage.mails.recv() => show_mail(&mail, out).map_err(Error::Output)?,
        }
    }
    writeln!(out, "ending: what is under way is finished first").map_err(Error::Output)
}

fn show(received: &Received, out: &mut dyn Write) -> std::io::Result<()> {
    let failed = if received.path.trim_start_matches('/') == FAILING { "  → 500" } else { "" };
    writeln!(out, "{}{failed}", receive::Line(received))
}

fn show_mail(mail: &CapturedMail, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "\n┌ mail to {}: {}", mail.to, mail.subject)?;
    for line in mail.text.lines() {
        writeln!(out, "│ {line}")?;
    }
    writeln!(out, "└\n")
}

/// `n` messages as fast as they go, then the table.
async fn count(stage: &mut Stage, n: u64, out: &mut dyn Write) -> Result<(), Error> {
    let stop = stop_signal();
    introduce(stage, out).await?;
    let started = Instant::now();
    let bar = progress_bar(n);
    let mut published = publish(stage, n);
    let mut played = Played { mails: Vec::new(), verified: Verified::default(), stopped: false };
    let rows = played.follow(stage, &mut published, &bar, stop).await;
    bar.finish_and_clear();
    for mail in &played.mails {
        show_mail(mail, out).map_err(Error::Output)?;
    }
    let rows = rows?;
    if played.stopped {
        print_table(&rows, out).map_err(Error::Output)?;
        return Err(DemoError::Stopped.into());
    }
    let seconds = started.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = n as f64 / seconds;
    print_table(&rows, out)
        .and_then(|()| {
            writeln!(out, "in {seconds:.1} s: {rate:.0} messages a second, from publish to the last outcome")
        })
        .map_err(Error::Output)?;
    Ok(agree(&rows, n)?)
}

/// The publishers at work, and how many messages of each workspace were taken.
struct Published {
    /// How many there are to be.
    n: u64,
    taken: HashMap<WorkspaceId, Arc<AtomicU64>>,
    work: JoinSet<Result<(), Error>>,
}

/// Publishes `n` messages through the API, one publisher a workspace, in order by chat.
fn publish(stage: &Stage, n: u64) -> Published {
    let mut work = JoinSet::new();
    let mut taken = HashMap::new();
    let mut senders = HashMap::new();
    for (workspace, client) in &stage.clients {
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
            let Sample { workspace, message } = traffic.next_at(Timestamp::now());
            let text = message.bytes().clone();
            let length = u64::try_from(text.len()).unwrap_or(u64::MAX);
            if let Some(sender) = senders.get(&workspace)
                && sender.send(Ok(Line { text, length })).await.is_err()
            {
                // Its publisher has failed, which ends the demo.
                break;
            }
        }
        Ok(())
    });
    Published { n, taken, work }
}

impl Published {
    /// Messages that were taken so far.
    fn taken(&self) -> u64 {
        self.taken.values().map(|taken| taken.load(Ordering::Relaxed)).sum()
    }
}

struct Played {
    mails: Vec<CapturedMail>,
    verified: Verified,
    /// Ctrl-C came before the end.
    stopped: bool,
}

impl Played {
    /// Watches until every message has an outcome and the mail is sent, or nothing moves any more.
    async fn follow(
        &mut self,
        stage: &mut Stage,
        published: &mut Published,
        bar: &ProgressBar,
        stop: impl Future<Output = ()> + Send,
    ) -> Result<Vec<Row>, Error> {
        let n = published.n;
        let mut clock = tokio::time::interval(ASK_EVERY);
        tokio::pin!(stop);
        let mut moved = (0, Instant::now());
        loop {
            tokio::select! {
                Some(received) = stage.reports.recv() => {
                    self.verified.note(&received);
                }
                Some(mail) = stage.mails.recv() => self.mails.push(mail),
                Some(joined) = published.work.join_next() => joined.unwrap_or(Ok(()))?,
                () = &mut stop => {
                    self.stopped = true;
                    return self.rows(stage, published).await;
                }
                _ = clock.tick() => {
                    let rows = self.rows(stage, published).await?;
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

    async fn rows(&self, stage: &Stage, published: &Published) -> Result<Vec<Row>, Error> {
        // A success sets the counter of errors to 0, so it does not tell of errors before it. While messages
        // are still published that is near enough; at the end every workspace's attempts are asked for.
        let all_taken = published.taken() >= published.n;
        let mut rows = Vec::new();
        for workspace in workspaces() {
            let Some(client) = stage.clients.get(&workspace) else { continue };
            let webhook: WebhookView = client.get(&["webhook"]).await?;
            let errors = webhook.status != WebhookStatus::Enabled || webhook.consecutive_errors > 0;
            let failed = if all_taken || errors { failed(client).await? } else { 0 };
            rows.push(Row {
                published: published.taken.get(&workspace).map_or(0, |taken| taken.load(Ordering::Relaxed)),
                delivered: self.verified.count(&workspace),
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
async fn failed(client: &Client) -> Result<u64, Error> {
    #[derive(Deserialize)]
    struct Attempts {
        attempts: Vec<Summary>,
    }
    let Attempts { attempts } = client.get(&["attempts"]).await?;
    let failed = attempts.iter().filter(|one| one.trigger == Trigger::Message && one.outcome == OutcomeWord::Failed);
    Ok(u64::try_from(failed.count()).unwrap_or(u64::MAX))
}

fn progress_bar(n: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    match ProgressStyle::with_template("{bar:32} {pos} of {len} messages have an outcome, {elapsed}") {
        Ok(style) => ProgressBar::new(n).with_style(style),
        Err(_) => ProgressBar::new(n),
    }
}
