//! Which nodes are there, judged by this node's own clock, and who holds which shard.
//!
//! A node is there while its record goes on being written. Only at the first sight of it does the store's clock say
//! how old the record is: that clock may be set, and then every record would look old at once. While this node
//! could not read, the others may not have been able to write; that time is held against none.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{NODE_GONE_AFTER, NODES_BLIND_AFTER, ShardSet};
use crate::journal::port::{NodeRecord, NodesReading, SeenNode, ShardOwner};
use crate::workspace::time::Time;

/// What was seen of each node. Bounded by the records, which are deleted some time after their nodes are gone.
#[derive(Debug, Default)]
pub(super) struct Roster {
    sightings: BTreeMap<String, Sighting>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Sighting {
    /// Another process, or another time of writing: it was there at `at`.
    process: String,
    seen: Time,
    at: Instant,
}

/// Who is there, and who holds what: everything that decisions are made on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct View {
    /// By id.
    pub(super) members: Vec<Member>,
    /// By shard, the id of who holds it: a member, or a node whose lease has not ended.
    pub(super) holders: Vec<Option<String>>,
    /// No other node can be there.
    pub(super) exclusive: bool,
}

/// A node that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) id: String,
    /// What it runs whoever else is there; `None`: its part of what is shared.
    pub(super) static_shards: Option<ShardSet>,
    pub(super) leaving: bool,
}

impl View {
    pub(super) fn is_member(&self, id: &str) -> bool {
        self.members.iter().any(|member| member.id == id)
    }

    /// Whether a member that holds the shard gives it away: it was not told to run it, or it ends.
    pub(super) fn is_given(&self, shard: u16, holder: &str) -> bool {
        let keeps = |member: &Member| member.static_shards.as_ref().is_some_and(|own| own.contains(shard));
        self.members.iter().any(|member| member.id == holder && (member.leaving || !keeps(member)))
    }
}

impl Roster {
    /// Takes a reading in.
    pub(super) fn view(&mut self, reading: &NodesReading, now: Instant) -> View {
        self.forgive_blindness(now);
        self.sightings.retain(|id, _| reading.nodes.iter().any(|node| node.record.id == *id));
        let mut there = Vec::with_capacity(reading.nodes.len());
        for node in &reading.nodes {
            if self.is_there(node, reading.at, now) {
                there.push(&node.record);
            }
        }
        let holder = |(shard, owner): (u16, &Option<ShardOwner>)| {
            let owner = owner.as_ref()?;
            let runs = |record: &&NodeRecord| record.id == owner.node && record.runs.contains(shard);
            let holds = !owner.remaining.is_zero() || there.iter().any(runs);
            holds.then(|| owner.node.clone())
        };
        let holders = (0_u16..).zip(&reading.owners).map(holder).collect();
        let member = |record: &&NodeRecord| Member {
            id: record.id.clone(),
            static_shards: record.static_shards.clone(),
            leaving: record.leaving,
        };
        View { members: there.iter().map(member).collect(), holders, exclusive: reading.exclusive }
    }

    fn forgive_blindness(&mut self, now: Instant) {
        let blind = self.looked.map_or(Duration::ZERO, |looked| now.saturating_duration_since(looked));
        if blind > NODES_BLIND_AFTER {
            for sighting in self.sightings.values_mut() {
                sighting.at += blind;
            }
        }
        self.looked = Some(now);
    }

    fn is_there(&mut self, node: &SeenNode, store_now: Time, now: Instant) -> bool {
        let (process, seen) = (&node.record.process, node.seen);
        let at = match self.sightings.get(&node.record.id) {
            Some(known) if known.process == *process && known.seen == seen => known.at,
            Some(_) => now,
            // At the first sight the store's clock is all that there is.
            None => now.checked_sub(store_now.since(seen)).unwrap_or(now),
        };
        self.sightings.insert(node.record.id.clone(), Sighting { process: process.clone(), seen, at });
        now < at + NODE_GONE_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_769_860_800_000;

    fn reading(at: i64, seen: &[(&str, i64)], owners: &[(&str, u64)]) -> NodesReading {
        let node = |(id, seen): &(&str, i64)| SeenNode {
            record: NodeRecord {
                id: (*id).to_owned(),
                process: "p".to_owned(),
                runs: (0..4).collect(),
                ..NodeRecord::default()
            },
            began: Time::from_unix_ms(START),
            seen: Time::from_unix_ms(START + seen),
        };
        let owner = |(node, remaining): &(&str, u64)| {
            let owner = ShardOwner { node: (*node).to_owned(), remaining: Duration::from_millis(*remaining) };
            (!node.is_empty()).then_some(owner)
        };
        NodesReading {
            at: Time::from_unix_ms(START + at),
            nodes: seen.iter().map(node).collect(),
            owners: owners.iter().map(owner).collect(),
            ..NodesReading::default()
        }
    }

    fn there(view: &View) -> Vec<&str> {
        view.members.iter().map(|member| member.id.as_str()).collect()
    }

    #[test]
    fn a_node_is_there_until_its_record_was_not_written_for_long() {
        let (mut roster, start) = (Roster::default(), Instant::now());
        for ms in (0..10_000).step_by(250) {
            let now = start + Duration::from_millis(ms);
            let written = i64::try_from(ms).unwrap();
            let view = roster.view(&reading(written, &[("a", written), ("b", 0)], &[]), now);
            let both = ms < 5_000;
            assert_eq!(there(&view), if both { vec!["a", "b"] } else { vec!["a"] }, "after {ms} ms");
        }
    }

    #[test]
    fn a_record_that_is_old_at_the_first_sight_is_of_a_node_that_is_gone() {
        let mut roster = Roster::default();
        assert_eq!(
            there(&roster.view(&reading(60_000, &[("old", 0), ("young", 58_000)], &[]), Instant::now())),
            ["young"]
        );
    }

    #[test]
    fn a_clock_of_the_store_that_is_set_makes_no_node_go() {
        for jump in [3_600_000, -3_600_000] {
            let (mut roster, start) = (Roster::default(), Instant::now());
            let owners = [("b", 9_000)];
            roster.view(&reading(0, &[("a", 0), ("b", 0)], &owners), start);
            // Before b has written by the new clock; its lease looks as if it had ended.
            let view =
                roster.view(&reading(jump, &[("a", jump), ("b", 0)], &[("b", 0)]), start + Duration::from_millis(250));
            assert_eq!((there(&view), &view.holders), (vec!["a", "b"], &vec![Some("b".to_owned())]));
        }
    }

    #[test]
    fn while_a_node_could_not_look_the_others_grow_no_older() {
        let (mut roster, start) = (Roster::default(), Instant::now());
        let both = [("a", 0), ("b", 0)];
        roster.view(&reading(0, &both, &[]), start);
        let back = start + Duration::from_secs(30);
        assert_eq!(there(&roster.view(&reading(30_000, &both, &[]), back)), ["a", "b"]);
        for ms in (250..5_000).step_by(250) {
            assert_eq!(there(&roster.view(&reading(30_000, &both, &[]), back + Duration::from_millis(ms))), ["a", "b"]);
        }
        assert_eq!(there(&roster.view(&reading(35_000, &both, &[]), back + NODE_GONE_AFTER)), Vec::<&str>::new());
    }

    #[test]
    fn a_shard_is_held_while_its_lease_lives_or_its_node_runs_it() {
        let mut roster = Roster::default();
        let owners = [("", 0), ("gone", 700), ("gone", 0), ("a", 0)];
        let view = roster.view(&reading(0, &[("a", 0)], &owners), Instant::now());
        assert_eq!(view.holders, [None, Some("gone".to_owned()), None, Some("a".to_owned())]);
    }
}
