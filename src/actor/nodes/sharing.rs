//! What this node takes and gives away next. Pure: a view, what it runs itself and the time go in, a decision comes
//! out.
//!
//! A node acts on an assignment only when two views in a row give it. What nobody holds is taken at once. What it
//! holds beyond its part it gives away one at a time: the next one moves when the one before was taken.

use std::collections::BTreeMap;

use tokio::time::Instant;

use super::assignment::{Assignment, assign};
use super::roster::View;
use crate::config::{MOVE_MAX, ShardSet};

/// What a node remembers between two views.
#[derive(Debug)]
pub(super) struct Sharing {
    me: String,
    /// What it runs whoever else is there.
    static_shards: Option<ShardSet>,
    last: Assignment,
    /// The shard that it gave away last, and when, until somebody has it.
    given: Option<(u16, Instant)>,
}

/// How a shard is on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ShardPhase {
    /// It does not run here.
    Idle,
    /// It is to run here, and its lease is being acquired.
    Acquiring,
    /// It runs here.
    Held,
    /// It is being given away.
    Leaving,
}

/// What follows from a view.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Decision {
    /// Shards to acquire.
    pub(super) take: Vec<u16>,
    /// Shards to drain and release.
    pub(super) give: Vec<u16>,
    /// The shards that this node is to run and that no other node holds.
    pub(super) assigned: ShardSet,
    /// Those that it is to run and that another one still holds, with its id.
    pub(super) awaited: BTreeMap<u16, String>,
    /// Shards that no node is to run.
    pub(super) nobodys: ShardSet,
    /// Static shards of this node that another one was told to run too, with its id.
    pub(super) contested: BTreeMap<u16, String>,
    /// Something moves: the next view should come soon.
    pub(super) moving: bool,
    /// Two views in a row agree on every shard.
    pub(super) settled: bool,
}

impl Sharing {
    pub(super) fn new(me: &str, static_shards: Option<ShardSet>) -> Self {
        Self { me: me.to_owned(), static_shards, last: Vec::new(), given: None }
    }

    /// Decides. `phases` are those from before the view was read, by shard.
    pub(super) fn decide(&mut self, view: &View, phases: &[ShardPhase], now: Instant) -> Decision {
        let target = assign(view);
        let last = std::mem::replace(&mut self.last, target);
        let mut decision = Decision { settled: view.exclusive || last == self.last, ..Decision::default() };
        decision.moving = !decision.settled;
        decision.nobodys = (0..).zip(&self.last).filter(|(_, node)| node.is_none()).map(|(shard, _)| shard).collect();
        decision.contested = self.contested(view);
        let mut assigned = Vec::new();
        let mut surplus = Vec::new();
        for ((shard, phase), target) in (0_u16..).zip(phases).zip(&self.last) {
            let place = usize::from(shard);
            let agreed = view.exclusive || last.get(place) == Some(target);
            let holder = view.holders[place].as_deref();
            let is_mine = match &self.static_shards {
                Some(shards) => shards.contains(shard),
                None => target.as_deref() == Some(self.me.as_str()),
            };
            let held_by_other = holder.filter(|holder| *holder != self.me);
            if is_mine {
                match held_by_other {
                    Some(other) => drop(decision.awaited.insert(shard, other.to_owned())),
                    None => assigned.push(shard),
                }
            }
            // What a predecessor of this process held is taken at once, though it may have to move on from here.
            let is_inherited = holder == Some(&self.me) && self.static_shards.is_none();
            // A member gives away by itself what is not its own any more, and keeps what it was told to run.
            let is_free = held_by_other.is_none_or(|other| !view.is_member(other));
            match phase {
                ShardPhase::Idle if is_inherited || (is_mine && agreed && is_free) => decision.take.push(shard),
                ShardPhase::Acquiring if !is_mine && agreed && !is_inherited => decision.give.push(shard),
                ShardPhase::Held if !is_mine && agreed && target.is_some() => surplus.push(shard),
                ShardPhase::Leaving => decision.moving = true,
                ShardPhase::Idle | ShardPhase::Acquiring | ShardPhase::Held => {}
            }
        }
        decision.assigned = assigned.into_iter().collect();
        let is_coming = decision.awaited.iter().any(|(shard, holder)| view.is_given(*shard, holder));
        decision.moving |= is_coming;
        self.give_one(&surplus, view, phases, now, &mut decision);
        decision
    }

    /// Gives the first of the surplus away, unless the last one that was given is still on its way.
    fn give_one(&mut self, surplus: &[u16], view: &View, phases: &[ShardPhase], now: Instant, decision: &mut Decision) {
        let is_taken = |shard: u16| {
            let holder = view.holders[usize::from(shard)].as_deref();
            holder.is_some_and(|holder| holder != self.me)
        };
        if self.given.is_some_and(|(shard, since)| is_taken(shard) || now >= since + MOVE_MAX) {
            self.given = None;
        }
        if self.given.is_none()
            && !phases.contains(&ShardPhase::Leaving)
            && let Some(shard) = surplus.first()
        {
            self.given = Some((*shard, now));
            decision.give.push(*shard);
        }
        decision.moving |= self.given.is_some();
    }

    fn contested(&self, view: &View) -> BTreeMap<u16, String> {
        let mut contested = BTreeMap::new();
        for member in view.members.iter().filter(|member| member.id != self.me && !member.leaving) {
            let (Some(ours), Some(theirs)) = (&self.static_shards, &member.static_shards) else { continue };
            let both = ours.iter().filter(|shard| theirs.contains(*shard));
            contested.extend(both.map(|shard| (shard, member.id.clone())));
        }
        contested
    }
}

#[cfg(test)]
mod tests;
