//! Several nodes and a store of leases, in random order: clocks that run at other rates and are set, answers that are
//! lost or late, pauses, crashes. Whatever happens, a commit is only accepted from who acquired last; and when the
//! trouble ends every shard has one holder, none has more than its part, and only what must move moves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::super::{ShardPhase, Sharing};
use crate::actor::nodes::roster::Roster;
use crate::journal::port::{NodeRecord, NodesReading, SeenNode, ShardOwner};
use crate::workspace::time::Time;

const LEASE_MS: i64 = 10_000;
const SHARDS: u16 = 12;

#[derive(Debug, Clone, Default)]
struct Lease {
    node: String,
    nonce: u64,
    head: u64,
    /// `None` once it was released.
    expiry: Option<i64>,
}

/// What Redis does: acquire, commit, release and the records, each atomic.
#[derive(Default)]
struct Store {
    now: i64,
    leases: Vec<Lease>,
    records: BTreeMap<String, SeenNode>,
    nonces: u64,
    /// Of every head of a shard, under which nonce it was accepted.
    accepted: BTreeMap<(u16, u64), u64>,
    /// Acquisitions by another node than before.
    moves: usize,
}

impl Store {
    fn register(&mut self, record: &NodeRecord) -> NodesReading {
        let at = Time::from_unix_ms(self.now);
        let began = self.records.get(&record.id).filter(|seen| seen.record.process == record.process);
        let began = began.map_or(at, |seen| seen.began);
        self.records.insert(record.id.clone(), SeenNode { record: record.clone(), began, seen: at });
        let owner = |lease: &Lease| {
            let expiry = lease.expiry?;
            let remaining = Duration::from_millis(u64::try_from(expiry - self.now).unwrap_or(0));
            Some(ShardOwner { node: lease.node.clone(), remaining })
        };
        let owners = self.leases.iter().map(owner).collect();
        NodesReading { at, nodes: self.records.values().cloned().collect(), owners, ..NodesReading::default() }
    }

    /// The nonce, unless another node's lease lives.
    fn acquire(&mut self, shard: u16, node: &str) -> Option<u64> {
        let now = self.now;
        let lease = &mut self.leases[usize::from(shard)];
        let lives = lease.expiry.is_some_and(|expiry| expiry > now && expiry - now <= LEASE_MS);
        if lives && lease.node != node {
            return None;
        }
        self.moves += usize::from(lease.node != node);
        self.nonces += 1;
        *lease = Lease { node: node.to_owned(), nonce: self.nonces, head: lease.head, expiry: Some(now + LEASE_MS) };
        Some(self.nonces)
    }

    /// Whether it was accepted.
    fn commit(&mut self, shard: u16, nonce: u64) -> bool {
        let lease = &mut self.leases[usize::from(shard)];
        if lease.nonce != nonce {
            return false;
        }
        lease.head += 1;
        lease.expiry = Some(self.now + LEASE_MS);
        let before = self.accepted.insert((shard, lease.head), nonce);
        assert_eq!(before, None, "shard {shard}: two commits for head {}", lease.head);
        true
    }

    fn release(&mut self, shard: u16, nonce: u64) {
        let lease = &mut self.leases[usize::from(shard)];
        if lease.nonce == nonce {
            lease.expiry = None;
        }
    }
}

struct Node {
    record: NodeRecord,
    roster: Roster,
    sharing: Sharing,
    phases: Vec<ShardPhase>,
    nonces: Vec<Option<u64>>,
    /// How fast its clock runs, in percent.
    rate: u32,
    /// Its clock.
    now: Instant,
    next_look: Instant,
    /// A view under way: the phases before it, what was read, and when it arrives.
    look: Option<(Vec<ShardPhase>, NodesReading, Instant)>,
    paused_until: i64,
}

impl Node {
    fn new(id: &str, process: u64, rate: u32) -> Self {
        let now = Instant::now() + Duration::from_secs(3_600);
        let record = NodeRecord { id: id.to_owned(), process: process.to_string(), ..NodeRecord::default() };
        Self {
            record,
            roster: Roster::default(),
            sharing: Sharing::new(id, None),
            phases: vec![ShardPhase::Idle; usize::from(SHARDS)],
            nonces: vec![None; usize::from(SHARDS)],
            rate,
            now,
            next_look: now,
            look: None,
            paused_until: 0,
        }
    }

    fn runs(&self) -> impl Iterator<Item = u16> {
        (0..SHARDS).filter(|shard| self.phases[usize::from(*shard)] != ShardPhase::Idle)
    }

    fn has_ended(&self) -> bool {
        self.record.leaving && self.runs().next().is_none()
    }

    /// What it does within a step.
    fn step(&mut self, store: &mut Store, rng: &mut StdRng, trouble: bool) {
        self.look(store, rng, trouble);
        for shard in 0..SHARDS {
            let place = usize::from(shard);
            if self.record.leaving && self.phases[place] != ShardPhase::Idle {
                self.phases[place] = ShardPhase::Leaving;
            }
            match (self.phases[place], self.nonces[place]) {
                (ShardPhase::Acquiring, _) => {
                    // A lost answer: acquired, and asked for again.
                    let acquired = store.acquire(shard, &self.record.id).filter(|_| !trouble || rng.random_bool(0.9));
                    if acquired.is_some() {
                        (self.phases[place], self.nonces[place]) = (ShardPhase::Held, acquired);
                    }
                }
                (ShardPhase::Held, Some(nonce)) if rng.random_bool(0.3) && !store.commit(shard, nonce) => {
                    (self.phases[place], self.nonces[place]) = (ShardPhase::Acquiring, None);
                }
                (ShardPhase::Leaving, nonce) if rng.random_bool(0.5) => {
                    if let Some(nonce) = nonce {
                        store.commit(shard, nonce);
                        // A release that fails leaves the lease to end by itself.
                        if !trouble || rng.random_bool(0.8) {
                            store.release(shard, nonce);
                        }
                    }
                    (self.phases[place], self.nonces[place]) = (ShardPhase::Idle, None);
                }
                _ => {}
            }
        }
    }

    fn look(&mut self, store: &mut Store, rng: &mut StdRng, trouble: bool) {
        if self.look.is_none() && self.now >= self.next_look {
            self.record.runs = self.runs().collect();
            let reading = store.register(&self.record);
            let late = if trouble { rng.random_range(0..1_500) } else { 0 };
            self.look = Some((self.phases.clone(), reading, self.now + Duration::from_millis(late)));
        }
        let Some((phases, reading, _)) = self.look.take_if(|(_, _, at)| self.now >= *at) else { return };
        self.next_look = self.now + Duration::from_millis(250);
        if self.record.leaving || (trouble && rng.random_bool(0.2)) {
            return;
        }
        let decision = self.sharing.decide(&self.roster.view(&reading, self.now), &phases, self.now);
        for shard in decision.take {
            let phase = &mut self.phases[usize::from(shard)];
            if *phase == ShardPhase::Idle {
                *phase = ShardPhase::Acquiring;
            }
        }
        for shard in decision.give {
            let phase = &mut self.phases[usize::from(shard)];
            if phases[usize::from(shard)] == *phase {
                *phase = ShardPhase::Leaving;
            }
        }
        if decision.moving {
            self.next_look = self.now + Duration::from_millis(50);
        }
    }
}

struct World {
    store: Store,
    nodes: BTreeMap<String, Node>,
    rng: StdRng,
    processes: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let leases = vec![Lease::default(); usize::from(SHARDS)];
        let store = Store { now: 1_769_860_800_000, leases, ..Store::default() };
        Self { store, nodes: BTreeMap::new(), rng: StdRng::seed_from_u64(seed), processes: 0 }
    }

    fn start(&mut self, id: &str) {
        self.processes += 1;
        let rate = self.rng.random_range(50..=200);
        self.nodes.insert(id.to_owned(), Node::new(id, self.processes, rate));
    }

    fn advance(&mut self, trouble: bool) {
        let ms = self.rng.random_range(10..100);
        self.store.now += ms;
        for node in self.nodes.values_mut() {
            node.now += Duration::from_millis(u64::try_from(ms).unwrap()) * node.rate / 100;
            if self.store.now >= node.paused_until {
                node.step(&mut self.store, &mut self.rng, trouble);
            }
        }
        let ended: Vec<String> =
            self.nodes.iter().filter(|(_, node)| node.has_ended()).map(|(id, _)| id.clone()).collect();
        for id in ended {
            self.nodes.remove(&id);
            self.store.records.remove(&id);
        }
    }

    fn harm(&mut self) {
        let id = format!("node-{}", self.rng.random_range(0..4));
        let is_there = self.nodes.contains_key(&id);
        match self.rng.random_range(0..5) {
            0 if is_there => drop(self.nodes.remove(&id)),
            0 | 1 if !is_there => self.start(&id),
            2 if is_there => self.nodes.get_mut(&id).unwrap().record.leaving = true,
            3 if is_there => {
                let pause = self.rng.random_range(100..25_000);
                self.nodes.get_mut(&id).unwrap().paused_until = self.store.now + pause;
            }
            4 if self.rng.random_bool(0.2) => {
                // The store's clock is set.
                let jump = self.rng.random_range(-3_600_000..3_600_000);
                self.store.now += jump;
                for node in self.nodes.values_mut() {
                    node.paused_until += jump;
                }
            }
            _ => {}
        }
    }

    fn settle(&mut self) {
        for _ in 0..800 {
            self.advance(false);
        }
    }

    /// The shards by holder, when each shard has one.
    fn held(&self) -> BTreeMap<&str, BTreeSet<u16>> {
        let mut held: BTreeMap<&str, BTreeSet<u16>> = BTreeMap::new();
        for shard in 0..SHARDS {
            let holds = |node: &&Node| node.phases[usize::from(shard)] == ShardPhase::Held;
            let holders: Vec<&Node> = self.nodes.values().filter(holds).collect();
            let [holder] = holders[..] else { panic!("shard {shard} has {} holders", holders.len()) };
            assert_eq!(Some(self.store.leases[usize::from(shard)].nonce), holder.nonces[usize::from(shard)]);
            held.entry(&holder.record.id).or_default().insert(shard);
        }
        held
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_shard_has_one_holder_when_the_trouble_ends_and_only_the_surplus_moves(seed in any::<u64>()) {
        let mut world = World::new(seed);
        world.start("node-0");
        for _ in 0..2_000 {
            world.advance(true);
            if world.rng.random_bool(0.01) {
                world.harm();
            }
        }
        for id in ["node-0", "node-1", "node-2"] {
            if !world.nodes.contains_key(id) {
                world.start(id);
            }
        }
        for node in world.nodes.values_mut() {
            node.paused_until = 0;
        }
        world.settle();
        let nodes = world.nodes.len();
        let part = usize::from(SHARDS).div_ceil(nodes);
        let held = world.held();
        prop_assert!(held.values().all(|shards| shards.len() <= part), "{held:?}");

        // One more node: what the others hold beyond the new part moves, once.
        let part = usize::from(SHARDS).div_ceil(nodes + 1);
        let surplus: usize = held.values().map(|shards| shards.len().saturating_sub(part)).sum();
        let before = world.store.moves;
        world.start("node-9");
        world.settle();
        world.held();
        prop_assert_eq!(world.store.moves - before, surplus);

        // It leaves: what it held moves, once.
        let its = world.held().get("node-9").map_or(0, BTreeSet::len);
        let before = world.store.moves;
        world.nodes.get_mut("node-9").unwrap().record.leaving = true;
        world.settle();
        world.held();
        prop_assert_eq!(world.store.moves - before, its);

        // One crashes: what it held moves when its leases end.
        let its = world.held().get("node-1").map_or(0, BTreeSet::len);
        let before = world.store.moves;
        world.nodes.remove("node-1");
        world.settle();
        world.held();
        prop_assert_eq!(world.store.moves - before, its);
    }
}
