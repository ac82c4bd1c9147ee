//! Tells the other nodes what this one knows, so that the operators' screen of any node shows all of them.

use std::error::Error;
use std::sync::Arc;

use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::config::{GLANCE_REASONS_MAX, GLANCE_RETOLD_EVERY, GLANCE_TOLD_EVERY, WITHDRAW_MAX};
use crate::http::ReadReadiness;
use crate::journal::Journal;
use crate::journal::port::NodeRecord;
use crate::workspace::view::{NodeGlance, ReadGlance};

/// Says what the node knows: of its `shards`, and of itself.
pub(super) fn glance_of(record: &NodeRecord, shards: ReadGlance, readiness: ReadReadiness) -> ReadGlance {
    let (node, process, address) = (record.id.clone(), record.process.clone(), record.address.clone());
    Arc::new(move || {
        let mut readiness = readiness();
        readiness.reasons.truncate(GLANCE_REASONS_MAX);
        NodeGlance {
            node: node.clone(),
            process: process.clone(),
            address: address.clone(),
            ready: readiness.ready,
            reasons: readiness.reasons,
            unavailable_workspaces: readiness.unavailable_workspaces,
            ..shards()
        }
    })
}

/// Tells it for as long as the service runs.
pub(super) async fn tell(journal: Arc<dyn Journal>, glance: ReadGlance) {
    let mut told: Option<(NodeGlance, Instant)> = None;
    loop {
        let now = glance();
        let is_told = |(last, at): &(NodeGlance, Instant)| *last == now && at.elapsed() < GLANCE_RETOLD_EVERY;
        if !told.as_ref().is_some_and(is_told) {
            match journal.tell_glance(&now).await {
                Ok(()) => told = Some((now, Instant::now())),
                Err(error) => debug!(error = &error as &dyn Error, "What this node knows cannot be told now."),
            }
        }
        sleep(GLANCE_TOLD_EVERY).await;
    }
}

/// Tells it once more, when all has ended: its last minutes are shown for another hour.
pub(super) async fn tell_last(journal: &dyn Journal, glance: &ReadGlance) {
    drop(timeout(WITHDRAW_MAX, journal.tell_glance(&glance())).await);
}
