//! What all nodes know, put together, so that a browser sees the same whichever node answers it: of the answering node as it
//! is now, of the others as each told it last. Where one told nothing, or nothing new, the page says so.

use std::collections::BTreeMap;

use super::summaries::Known;
use crate::config::{GLANCE_OLD_AFTER, LONGEST_WAITING_SHOWN};
use crate::http::api::nodes::{ListedNode, NodeList};
use crate::http::screen::parts::{count, span};
use crate::journal::port::{GlancesReading, ToldGlance};
use crate::message::WorkspaceId;
use crate::workspace::outcomes::{Outcomes, last_hour};
use crate::workspace::time::Time;
use crate::workspace::view::{NodeGlance, WaitingView};

/// What all nodes know, as far as they told.
#[derive(Debug, Default)]
pub(super) struct AllNodes {
    /// What became of messages in each minute of the last hour, oldest first.
    pub(super) last_hour: Vec<Outcomes>,
    /// Of which workspaces messages have waited longest, the longest first; a few.
    pub(super) longest_waiting: Vec<(WorkspaceId, WaitingView)>,
    /// Other nodes that are there and told what they know.
    pub(super) others: u64,
    /// What other nodes say is wrong and this one does not, a sentence each.
    pub(super) troubles: Vec<String>,
    /// Workspaces of other nodes' shards that cannot be loaded.
    pub(super) unavailable_workspaces: u64,
    /// What is not known of which node, a sentence each; nothing is missing without one.
    pub(super) missing: Vec<String>,
}

impl AllNodes {
    /// `now` is this node's clock, `own` what it knows.
    pub(super) fn new(own: NodeGlance, told: &Known<GlancesReading>, nodes: &Known<NodeList>, now: Time) -> Self {
        let mut all = Self::default();
        let Ok(reading) = told else {
            all.missing.push("What the other nodes know could not be read: all of it is this node's.".to_owned());
            all.last_hour = last_hour(&own.minutes, now).to_vec();
            all.longest_waiting = own.longest_waiting;
            return all;
        };
        let others = reading.glances.iter().filter(|told| told.glance.process != own.process);
        let counted = others.clone().flat_map(|told| &told.glance.minutes).chain(&own.minutes);
        all.last_hour = last_hour(counted, now).to_vec();
        let current = all.current(newest(others), reading.at, nodes, &own);
        all.others = current.len() as u64;
        all.longest_waiting = longest(&own, &current);
        all.troubles = troubles(&own, &current);
        all.unavailable_workspaces = current.iter().map(|of| of.unavailable_workspaces).fold(0, u64::saturating_add);
        all
    }

    /// What holds now of what other nodes told; notes what is missing.
    fn current<'a>(
        &mut self,
        mut newest: BTreeMap<&'a str, &'a ToldGlance>,
        at: Time,
        nodes: &Known<NodeList>,
        own: &NodeGlance,
    ) -> Vec<&'a NodeGlance> {
        let is_new = |told: &ToldGlance| at.since(told.at) < GLANCE_OLD_AFTER;
        let Ok(nodes) = nodes else {
            return newest.into_values().filter(|told| is_new(told)).map(|told| &told.glance).collect();
        };
        let mut current = Vec::new();
        for node in nodes.nodes.iter().filter(|node| node.id != own.node) {
            match newest.remove(node.id.as_str()) {
                Some(told) if node.alive && is_new(told) => current.push(&told.glance),
                told => self.missing.push(silent(node, told, at)),
            }
        }
        current
    }
}

/// Of each node what it told last; one that was started again told as several processes.
fn newest<'a>(told: impl Iterator<Item = &'a ToldGlance>) -> BTreeMap<&'a str, &'a ToldGlance> {
    let mut newest: BTreeMap<&str, &ToldGlance> = BTreeMap::new();
    for told in told {
        let known = newest.entry(&told.glance.node).or_insert(told);
        if told.at > known.at {
            *known = told;
        }
    }
    newest
}

fn silent(node: &ListedNode, told: Option<&ToldGlance>, at: Time) -> String {
    let address = &node.address;
    match (told, node.alive) {
        (Some(told), false) => {
            format!("Node {address} is gone: what it did is counted until {} ago.", span(at.since(told.at)))
        }
        (None, false) => format!("Node {address} is gone, and what it did is not counted."),
        (Some(told), true) => {
            format!("Node {address} has told nothing for {}: what it did since is missing.", span(at.since(told.at)))
        }
        (None, true) => {
            format!("Node {address} tells nothing of what it does: as older programs, or one that just starts.")
        }
    }
}

fn longest(own: &NodeGlance, others: &[&NodeGlance]) -> Vec<(WorkspaceId, WaitingView)> {
    // A workspace that has just moved may be told twice; more waits where it was read further.
    let mut by_workspace: BTreeMap<&WorkspaceId, &WaitingView> = BTreeMap::new();
    let all = others.iter().flat_map(|other| &other.longest_waiting).chain(&own.longest_waiting);
    for (workspace, waiting) in all {
        let known = by_workspace.entry(workspace).or_insert(waiting);
        if waiting.count > known.count {
            *known = waiting;
        }
    }
    let mut all: Vec<_> = by_workspace.into_iter().collect();
    all.sort_unstable_by_key(|(workspace, waiting)| (waiting.oldest_at, std::cmp::Reverse(waiting.count), *workspace));
    all.truncate(LONGEST_WAITING_SHOWN);
    all.into_iter().map(|(workspace, waiting)| (workspace.clone(), waiting.clone())).collect()
}

/// A sentence that several nodes say is shown once, and not where this node says it too.
fn troubles(own: &NodeGlance, others: &[&NodeGlance]) -> Vec<String> {
    let mut by_reason: BTreeMap<(bool, &str), Vec<&str>> = BTreeMap::new();
    for other in others {
        for reason in other.reasons.iter().filter(|reason| !own.reasons.contains(reason)) {
            by_reason.entry((other.ready, reason.as_str())).or_default().push(&other.address);
        }
    }
    let sentence = |((ready, reason), addresses): ((bool, &str), Vec<&str>)| {
        let (first, more) = (addresses[0], addresses.len() as u64 - 1);
        let who = if more == 0 { first.to_owned() } else { format!("{first} and {}", count(more, "other node")) };
        // Not each of its sentences need be why.
        let state = if ready { "" } else { " (not ready)" };
        format!("{who}{state}: {reason}")
    };
    by_reason.into_iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::port::NodeRole;
    use crate::workspace::outcomes::MinuteOutcomes;

    const NOW: Time = Time::from_unix_ms(1_769_860_800_000);

    fn glance(node: &str, delivered: u64) -> NodeGlance {
        let outcomes = Outcomes { delivered, ..Outcomes::default() };
        NodeGlance {
            node: node.to_owned(),
            process: format!("process of {node}"),
            address: format!("{node}:8080"),
            minutes: vec![MinuteOutcomes { minute: NOW.unix_seconds() / 60, outcomes }],
            ready: true,
            ..NodeGlance::default()
        }
    }

    fn waits(id: &str, seconds: i64, count: u64) -> (WorkspaceId, WaitingView) {
        let oldest_at = Time::from_unix_ms(NOW.unix_ms() - seconds * 1_000);
        (id.parse().unwrap(), WaitingView { count, at_least: false, oldest_at })
    }

    fn told(glance: NodeGlance, seconds_ago: i64) -> ToldGlance {
        ToldGlance { glance, at: Time::from_unix_ms(NOW.unix_ms() - seconds_ago * 1_000) }
    }

    fn nodes(nodes: &[(&str, bool)]) -> Known<NodeList> {
        let node = |(id, alive): &(&str, bool)| ListedNode {
            id: (*id).to_owned(),
            address: format!("{id}:8080"),
            version: "0.1.0".to_owned(),
            role: NodeRole::Worker,
            alive: *alive,
            began_at: NOW,
            seen_at: NOW,
            static_shards: None,
            shards: Vec::new(),
        };
        Ok(NodeList { nodes: nodes.iter().map(node).collect(), shards: Vec::new() })
    }

    fn all(own: NodeGlance, glances: Vec<ToldGlance>, there: &[(&str, bool)]) -> AllNodes {
        AllNodes::new(own, &Ok(GlancesReading { at: NOW, glances }), &nodes(there), NOW)
    }

    fn delivered(all: &AllNodes) -> u64 {
        all.last_hour.iter().map(|minute| minute.delivered).sum()
    }

    #[test]
    fn what_the_nodes_counted_is_added_and_this_one_once() {
        let before = NodeGlance { process: "an earlier one".to_owned(), ..glance("b", 16) };
        let glances = vec![told(glance("a", 1), 1), told(glance("b", 4), 2), told(before, 600)];
        let all = all(glance("a", 2), glances, &[("a", true), ("b", true)]);
        assert_eq!((delivered(&all), all.missing), (22, Vec::new()));
    }

    #[test]
    fn of_a_node_that_tells_nothing_new_the_page_says_so() {
        let waiting = |node: &str| NodeGlance { longest_waiting: vec![waits(node, 5, 1)], ..glance(node, 1) };
        let glances = vec![told(waiting("silent"), 20), told(waiting("gone"), 3), told(waiting("b"), 3)];
        let there = [("a", true), ("b", true), ("gone", false), ("never", true), ("old", false), ("silent", true)];
        let all = all(glance("a", 0), glances, &there);
        assert_eq!(delivered(&all), 3, "what it told counts all the same");
        let named: Vec<&str> = all.longest_waiting.iter().map(|(workspace, _)| workspace.as_str()).collect();
        assert_eq!(named, ["b"], "what waits now is not known of the others");
        assert_eq!(
            all.missing,
            [
                "Node gone:8080 is gone: what it did is counted until 3 s ago.",
                "Node never:8080 tells nothing of what it does: as older programs, or one that just starts.",
                "Node old:8080 is gone, and what it did is not counted.",
                "Node silent:8080 has told nothing for 20 s: what it did since is missing.",
            ]
        );
    }

    #[test]
    fn what_cannot_be_read_leaves_this_node() {
        let own = NodeGlance { longest_waiting: vec![waits("own", 5, 1)], ..glance("a", 2) };
        let shown = AllNodes::new(own.clone(), &Err("away".to_owned()), &Err("away".to_owned()), NOW);
        assert_eq!((delivered(&shown), shown.longest_waiting.len(), shown.missing.len()), (2, 1, 1));
        // Who is there is not known: what was told lately counts.
        let reading = GlancesReading { at: NOW, glances: vec![told(glance("b", 1), 1)] };
        let shown = AllNodes::new(own, &Ok(reading), &Err("away".to_owned()), NOW);
        assert_eq!((delivered(&shown), shown.missing.len()), (3, 0));
    }

    #[test]
    fn the_longest_of_all_are_named_and_each_once() {
        let many = |node: &str, from: i64| {
            let longest_waiting = (from..from + 10).map(|n| waits(&format!("w{n}"), 100 - n, 1)).collect();
            NodeGlance { longest_waiting, ..glance(node, 0) }
        };
        let mut other = many("b", 5);
        other.longest_waiting[0] = waits("w5", 95, 7);
        let all = all(many("a", 0), vec![told(other, 1)], &[("a", true), ("b", true)]);
        let named: Vec<&str> = all.longest_waiting.iter().map(|(workspace, _)| workspace.as_str()).collect();
        assert_eq!(named, ["w0", "w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9"]);
        assert_eq!(all.longest_waiting[5].1.count, 7);
    }

    #[test]
    fn what_is_wrong_with_other_nodes_is_told_once() {
        let wrong = |node: &str, ready: bool, reasons: &[&str]| NodeGlance {
            ready,
            reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
            unavailable_workspaces: 2,
            ..glance(node, 0)
        };
        let glances = vec![
            told(wrong("b", true, &["the clock is off", "Redis is full"]), 1),
            told(wrong("c", true, &["the clock is off"]), 1),
            told(wrong("d", false, &["shard 3 is not held"]), 1),
        ];
        let own = wrong("a", true, &["Redis is full"]);
        let all = all(own, glances, &[("a", true), ("b", true), ("c", true), ("d", true)]);
        assert_eq!(
            all.troubles,
            ["d:8080 (not ready): shard 3 is not held", "b:8080 and 1 other node: the clock is off"]
        );
        assert_eq!(all.unavailable_workspaces, 6);
    }
}
