//! How the shards of this node are, for readyz: what is assigned to it, what of that is held, and what is wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::actor::rejections::Rejections;
use crate::actor::shard::ShardStatus;
use crate::actor::sources::{SourceNotices, SourceReport};
use crate::actor::store_watch::StoreCondition;
use crate::actor::waiting_board::{WaitingBoard, WaitingWorkspaces};
use crate::config::{LONGEST_WAITING_SHOWN, MOVING_UNHELD_MAX, ShardSet};
use crate::deliver::OUTAGE;
use crate::journal::port::{NodeRecord, NodeRole, StoreTrouble};
use crate::message::WorkspaceId;
use crate::workspace::outcomes::LastHour;
use crate::workspace::time::Time;
use crate::workspace::view::{NodeGlance, WaitingView};

/// How each shard is, and what they have set aside.
pub(super) struct Board {
    statuses: Mutex<Statuses>,
    rejections: Arc<Rejections>,
    sources: Arc<SourceNotices>,
    store: Arc<StoreCondition>,
    waiting: WaitingBoard,
    last_hour: Arc<Mutex<LastHour>>,
}

struct Statuses {
    /// By shard; `None` for one that does not run here.
    of_shards: Vec<Option<ShardStatus>>,
    standing: NodeStanding,
    leaving: bool,
    /// What this node is to run was decided at least once.
    was_decided: bool,
    /// All that is assigned is held.
    all_held: bool,
    /// Since when it is not; `None` while it is, and before it was for the first time.
    moving_since: Option<Instant>,
    /// Since when attempts wait that our own system could not make.
    unable_since: Option<Instant>,
    /// Why the store refuses to tell which nodes there are.
    unlisted_why: Option<String>,
}

/// How this node stands among the others.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct NodeStanding {
    /// What it tells of itself.
    pub(super) record: Option<NodeRecord>,
    /// What it is to run is decided.
    pub(super) decided: bool,
    /// What it is to run and no other node holds.
    pub(super) assigned: ShardSet,
    /// What it is to run and another node still holds, by that node.
    pub(super) awaited: BTreeMap<String, ShardSet>,
    /// What it was told to run and another node was too, by that node.
    pub(super) contested: BTreeMap<String, ShardSet>,
    /// What no node is to run.
    pub(super) nobodys: ShardSet,
    /// What operators got wrong, one sentence each.
    pub(super) mistakes: Vec<String>,
    /// Another process has its id.
    pub(super) shared_id: bool,
}

/// How the shards are, for readyz.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardReport {
    /// Why this node does not do its work, one sentence each; empty when it does.
    pub reasons: Vec<String>,
    /// Workspaces that cannot be loaded.
    pub unavailable: usize,
    /// What an operator should look at although all work, one sentence each.
    pub notices: Vec<String>,
    /// Entries that this node has set aside since it started, by what was wrong.
    pub rejected: BTreeMap<String, u64>,
    /// One of the notices: what other clocks say of this machine's.
    pub clock: Option<String>,
    /// What this node does.
    pub role: NodeRole,
    /// The shards that it is to run.
    pub assigned: ShardSet,
    /// The shards that it runs.
    pub held: ShardSet,
}

impl Board {
    pub(super) fn new(shards: u16) -> Self {
        let statuses = Mutex::new(Statuses {
            of_shards: vec![None; usize::from(shards)],
            standing: NodeStanding::default(),
            leaving: false,
            was_decided: false,
            all_held: false,
            moving_since: None,
            unable_since: None,
            unlisted_why: None,
        });
        let (rejections, sources, store, last_hour) = Default::default();
        Self { statuses, rejections, sources, store, waiting: WaitingBoard::default(), last_hour }
    }

    pub(super) fn rejections(&self) -> &Arc<Rejections> {
        &self.rejections
    }

    /// Where it is told what became of the entries of sources.
    pub(super) fn source_report(&self) -> SourceReport {
        SourceReport { rejections: Arc::clone(&self.rejections), notices: Arc::clone(&self.sources) }
    }

    pub(super) fn store(&self) -> &Arc<StoreCondition> {
        &self.store
    }

    /// What became of messages in this node's shards.
    pub(super) fn last_hour(&self) -> &Arc<Mutex<LastHour>> {
        &self.last_hour
    }

    /// What the operators' screen shows of this node's shards.
    pub(super) fn glance(&self, now: Time) -> NodeGlance {
        let minutes = self.last_hour.lock().until(now);
        NodeGlance { minutes, longest_waiting: self.waiting.longest(LONGEST_WAITING_SHOWN), ..NodeGlance::default() }
    }

    /// What waits of the workspaces of each shard.
    pub(super) fn waiting(&self) -> &WaitingBoard {
        &self.waiting
    }

    /// What waits of a workspace whose shard runs here.
    pub(super) fn waiting_of(&self, workspace: &WorkspaceId) -> Option<WaitingView> {
        let shards = u16::try_from(self.statuses.lock().of_shards.len()).unwrap_or(u16::MAX);
        self.waiting.of(workspace.shard(shards), workspace)
    }

    /// The shard is so; `None` when it does not run here any more.
    pub(super) fn set(&self, shard: u16, status: Option<ShardStatus>) {
        let mut statuses = self.statuses.lock();
        if !matches!(status, Some(ShardStatus::Held(_))) {
            self.waiting.set(shard, WaitingWorkspaces::default());
        }
        if let Some(place) = statuses.of_shards.get_mut(usize::from(shard)) {
            *place = status;
        }
        statuses.log_changes();
        self.store.refuses(statuses.refusal());
    }

    /// The store refuses to tell which nodes there are, or does not any more.
    pub(super) fn unlisted(&self, why: Option<String>) {
        let mut statuses = self.statuses.lock();
        statuses.unlisted_why = why;
        self.store.refuses(statuses.refusal());
    }

    /// The shard's actor has failed.
    pub(super) fn failed(&self, shard: u16) {
        self.set(shard, Some(ShardStatus::Waiting("its actor failed".to_owned())));
    }

    /// This node stands so among the others.
    pub(super) fn stand(&self, standing: NodeStanding) {
        let mut statuses = self.statuses.lock();
        if statuses.standing.contested != standing.contested {
            standing.contested.iter().for_each(|other| warn!("{}", contested(other)));
        }
        let known = &statuses.standing.mistakes;
        standing.mistakes.iter().filter(|mistake| !known.contains(mistake)).for_each(|mistake| warn!("{mistake}"));
        statuses.was_decided |= standing.decided;
        statuses.standing = standing;
        statuses.log_changes();
    }

    /// This node ends.
    pub(super) fn leave(&self) {
        self.statuses.lock().leaving = true;
    }

    pub(super) fn is_held(&self, shard: u16) -> bool {
        self.statuses.lock().is_held(shard)
    }

    pub(super) fn report(&self) -> ShardReport {
        let mut notices = self.rejections.notices();
        notices.extend(self.sources.notices());
        notices.extend(self.store.notices());
        let statuses = self.statuses.lock();
        let standing = &statuses.standing;
        let mut reasons = Vec::new();
        if statuses.leaving {
            reasons.push("the service is stopping: it gives its shards away".to_owned());
        } else if !statuses.was_decided && statuses.held().is_empty() {
            reasons.push("which shards this node runs is not decided yet".to_owned());
        }
        reasons.extend(statuses.unread());
        // Without it a node that knows what it runs works on; the others take it for gone.
        let why = self.store.why();
        let is_told = |sentence: &String| matches!(&why, Some((StoreTrouble::Refused, why)) if sentence.contains(why));
        if statuses.was_decided {
            notices.extend(statuses.unlisted());
            // The same words for everything that is not done say it once.
            notices.retain(|notice| !is_told(notice));
        } else {
            reasons.extend(statuses.unlisted());
        }
        if let Some(missing) = statuses.missing() {
            if statuses.is_moving() { &mut notices } else { &mut reasons }.push(missing);
        }
        if standing.shared_id {
            reasons.push("another process has this node's id: two processes share a data directory".to_owned());
        }
        statuses.add_conditions(why, &mut reasons, &mut notices);
        let held = statuses.held();
        let told = standing.record.clone().unwrap_or_default();
        // What it told the others may be a moment old.
        let runs = if held.is_empty() { standing.assigned.clone() } else { held.clone() };
        let role = NodeRecord { runs, leaving: statuses.leaving, ..told }.role();
        ShardReport {
            reasons,
            unavailable: statuses.counts().map(|(_, counts)| counts.unavailable).sum(),
            notices,
            rejected: self.rejections.by_kind(),
            clock: None,
            role,
            assigned: standing.assigned.clone(),
            held,
        }
    }
}

impl Statuses {
    fn is_held(&self, shard: u16) -> bool {
        matches!(self.of_shards.get(usize::from(shard)), Some(Some(ShardStatus::Held(_))))
    }

    fn held(&self) -> ShardSet {
        (0..)
            .zip(&self.of_shards)
            .filter(|(_, status)| matches!(status, Some(ShardStatus::Held(_))))
            .map(|(shard, _)| shard)
            .collect()
    }

    fn counts(&self) -> impl Iterator<Item = (u16, &crate::actor::shard::core::ShardCounts)> {
        (0..).zip(&self.of_shards).filter_map(|(shard, status)| match status {
            Some(ShardStatus::Held(counts)) => Some((shard, counts)),
            _ => None,
        })
    }

    /// One sentence for all shards that are assigned and not held.
    fn missing(&self) -> Option<String> {
        let assigned = &self.standing.assigned;
        let missing: ShardSet = assigned.iter().filter(|shard| !self.is_held(*shard)).collect();
        let first = missing.iter().next()?;
        let why = match self.of_shards.get(usize::from(first)) {
            Some(Some(ShardStatus::Waiting(why))) => why.as_str(),
            Some(Some(ShardStatus::Released)) => "it was just released",
            _ => "it is about to be acquired",
        };
        Some(format!("of the {} assigned to this node {} not held: {why}", named(assigned), are(&missing)))
    }

    /// Whether what is missing is on its way from another node: this one answers for it meanwhile.
    fn is_moving(&self) -> bool {
        let waits = |shard: u16| matches!(self.of_shards.get(usize::from(shard)), Some(Some(ShardStatus::Waiting(_))));
        let since = self.moving_since.map(|since| since.elapsed());
        since.is_some_and(|since| since < MOVING_UNHELD_MAX) && !self.standing.assigned.iter().any(waits)
    }

    /// Which shards' streams cannot be read, one sentence a reason.
    fn unread(&self) -> Vec<String> {
        let mut unread: BTreeMap<&str, Vec<u16>> = BTreeMap::new();
        for (shard, counts) in self.counts() {
            // Of a store that does not answer that is said already.
            let why = counts.unread_why.iter().filter(|_| !counts.store_is_silent);
            why.for_each(|why| unread.entry(why).or_default().push(shard));
        }
        let sentence = |(why, shards): (&str, Vec<u16>)| {
            let shards = named(&shards.into_iter().collect());
            format!("{shards}: the streams cannot be read, so nothing new is taken up: {why}")
        };
        unread.into_iter().map(sentence).collect()
    }

    fn unlisted(&self) -> Option<String> {
        let why = self.unlisted_why.as_ref()?;
        Some(format!("the store refuses to tell which nodes there are, or to be told of this one: {why}"))
    }

    fn refusal(&self) -> Option<String> {
        let all: Vec<String> = self.unread().into_iter().chain(self.unlisted()).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }

    fn add_conditions(
        &self,
        why: Option<(StoreTrouble, String)>,
        reasons: &mut Vec<String>,
        notices: &mut Vec<String>,
    ) {
        let silent: ShardSet =
            self.counts().filter(|(_, counts)| counts.store_is_silent).map(|(shard, _)| shard).collect();
        if !silent.is_empty() {
            let what = match &why {
                Some((StoreTrouble::Refused, _)) => "the store refuses what is written",
                _ => "the store does not answer",
            };
            let why = why.map_or_else(String::new, |(_, why)| format!(": {why}"));
            reasons.push(format!("{}: {what}; nothing is attempted{why}", named(&silent)));
        } else if let Some((StoreTrouble::Refused, why)) = why {
            notices.push(format!("the store refuses what is written: {why}"));
        }
        for (shard, counts) in self.counts() {
            if let Some(why) = &counts.unable_why {
                let waiting = counts.unable;
                notices.push(format!("shard {shard}: {waiting} messages wait for this machine: {why}"));
            }
        }
        for (node, shards) in &self.standing.awaited {
            let takes = "this node takes over what is released, or what its lease ends for";
            notices.push(format!("{} still held by node {node}; {takes}", are(shards)));
        }
        notices.extend(self.standing.contested.iter().map(contested));
        notices.extend(self.standing.mistakes.iter().cloned());
        if !self.standing.nobodys.is_empty() && self.standing.decided && !self.leaving {
            let nobodys = &self.standing.nobodys;
            notices.push(format!(
                "{} assigned to no node: give them to one with --static-shards, or start one without it",
                are(nobodys)
            ));
        }
    }

    fn log_changes(&mut self) {
        let assigned = &self.standing.assigned;
        let all_held = self.standing.decided && assigned.iter().all(|shard| self.is_held(shard));
        if all_held && !self.all_held {
            info!(shards = %assigned, "All shards that are assigned to this node are held.");
        }
        if all_held {
            self.moving_since = None;
        } else if self.all_held {
            self.moving_since = Some(Instant::now());
        }
        self.all_held = all_held;
        self.log_inability();
    }

    /// One line when the first attempt waits for this machine, and one when none does any more.
    fn log_inability(&mut self) {
        // An outage is logged where it is decided.
        let why = self.counts().find_map(|(_, counts)| counts.unable_why.clone().filter(|why| **why != *OUTAGE));
        match (why, self.unable_since) {
            (Some(why), None) => {
                warn!(%why, "Attempts cannot be made on this machine; they wait, and nothing is counted.");
                self.unable_since = Some(Instant::now());
            }
            (None, Some(since)) => {
                info!(lasted = ?since.elapsed(), "Every attempt can be made on this machine again.");
                self.unable_since = None;
            }
            _ => {}
        }
    }
}

fn contested((node, shards): (&String, &ShardSet)) -> String {
    format!(
        "{} in --static-shards of node {node} too: give each shard to one node; who has its lease runs it",
        are(shards)
    )
}

/// `shard 3`, or `shards 3-5`.
fn named(shards: &ShardSet) -> String {
    format!("shard{} {shards}", if shards.len() == 1 { "" } else { "s" })
}

/// `shard 3 is`, or `shards 3-5 are`.
fn are(shards: &ShardSet) -> String {
    format!("{} {}", named(shards), if shards.len() == 1 { "is" } else { "are" })
}

#[cfg(test)]
mod tests;
