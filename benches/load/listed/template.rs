//! A workspace of each status as the service itself stores it, and its copies in both journals.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::Bytes;
use outbound::journal::port::{Step, StoredEvent};
use outbound::message::WorkspaceId;
use outbound::workspace::configuration::WebhookStatus;
use redis::{Connection, Pipeline};
use support::process::PATIENCE;

use crate::run::{Bench, LOOK_EVERY};
use crate::store::{self, Load, shard, stream, workspace};

/// Messages that a webhook fails before it is switched off.
const FAILED: usize = 11;

/// What is stored of one.
pub(super) struct Template {
    snapshot: String,
    /// By seq.
    attempts: Vec<StoredEvent>,
    history: Vec<StoredEvent>,
}

/// One for each status. The Redis is empty again afterwards.
pub(super) async fn made_by(bench: &Bench, redis: &mut Connection) -> BTreeMap<&'static str, Template> {
    // What it stores is read here, and written again as it is.
    let mut outbound = bench.outbound(&["--journal-compression", "none"]).await;
    let load = Load { workspaces: WebhookStatus::ALL.len(), chats: FAILED, bytes: 500 };
    let url = |n: usize, treatment: &str| std::iter::once((n, bench.url(treatment, n, load.workspaces)));
    let mut append = |n: usize, messages: usize| {
        let numbers = (0..messages).map(|of| n + of * load.workspaces);
        numbers.for_each(|number| load.append(redis, number..number + 1, &stream));
    };
    for (n, status) in WebhookStatus::ALL.into_iter().enumerate() {
        match status {
            WebhookStatus::NotConfigured => append(n, 1),
            WebhookStatus::Enabled => outbound.configure(url(n, "ok")).await,
            WebhookStatus::Disabled => outbound.switch_off(url(n, "ok")).await,
            WebhookStatus::DisabledByErrors => {
                outbound.configure(url(n, "fail")).await;
                append(n, FAILED);
            }
        }
    }
    let began = Instant::now();
    loop {
        let webhooks = outbound.webhooks(0..load.workspaces).await;
        let is_done = |(webhook, status): (&serde_json::Value, WebhookStatus)| match status {
            WebhookStatus::NotConfigured => webhook["skipped"]["count"] == 1,
            status => webhook["status"] == status.as_str(),
        };
        if webhooks.iter().zip(WebhookStatus::ALL).all(is_done) {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "the workspaces do not become as they are wanted: {webhooks:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    // In order, so that all of it is stored.
    outbound.process.terminate();
    let templates = WebhookStatus::ALL.into_iter().enumerate();
    let templates = templates.map(|(n, status)| (status.as_str(), Template::read(redis, n))).collect();
    store::empty(&bench.redis);
    templates
}

impl Template {
    fn read(redis: &mut Connection, n: usize) -> Self {
        let snapshot: String = redis::cmd("GET").arg(key("snapshot", n)).query(redis).expect("a snapshot");
        let mut events = |kind| {
            let all = redis::cmd("XRANGE").arg(key(kind, n)).arg("-").arg("+").query(redis);
            let all: Vec<(String, [(String, String); 1])> = all.expect("events of one field each");
            let event = |(id, [(_, json)]): (String, [(String, String); 1])| {
                let seq = id.split('-').next().and_then(|seq| seq.parse().ok()).expect("a seq");
                StoredEvent { seq, json: Bytes::from(json) }
            };
            all.into_iter().map(event).collect()
        };
        Self { snapshot, attempts: events("attempts"), history: events("journal") }
    }

    /// Writes it to Redis for workspace `n`, with its places in the index.
    pub(super) fn copy(&self, pipeline: &mut Pipeline, n: usize, status: &str) {
        pipeline.cmd("SET").arg(key("snapshot", n)).arg(&self.snapshot).ignore();
        for (kind, events) in [("attempts", &self.attempts), ("journal", &self.history)] {
            for event in events {
                let id = format!("{}-0", event.seq);
                pipeline.cmd("XADD").arg(key(kind, n)).arg(id).arg("e").arg(&event.json[..]).ignore();
            }
        }
        for index in [index(shard(n), None), index(shard(n), Some(status))] {
            pipeline.cmd("ZADD").arg(index).arg(0).arg(workspace(n)).ignore();
        }
    }

    /// The same as a step of a commit.
    pub(super) fn step(&self, workspace: WorkspaceId, status: WebhookStatus) -> Step {
        Step {
            workspace: Some(workspace),
            attempts: self.attempts.clone(),
            history: self.history.clone(),
            snapshot: Some(self.snapshot()),
            listed: Some(status),
            ..Step::default()
        }
    }

    pub(super) fn snapshot(&self) -> Bytes {
        Bytes::from(self.snapshot.clone())
    }
}

/// The index of a shard: of all workspaces, or of those with a status.
pub(super) fn index(shard: u32, status: Option<&str>) -> String {
    let of = status.map(|status| format!(":{status}")).unwrap_or_default();
    format!("outbound:{{{shard}}}:workspaces{of}")
}

fn key(kind: &str, n: usize) -> String {
    format!("outbound:{{{}}}:{kind}:{}", shard(n), workspace(n))
}
