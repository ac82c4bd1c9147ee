//! Which node is to run which shard. Every node computes the same from the same view, so nobody has to tell anybody.
//!
//! A node keeps what it holds up to its part, ⌈shards ÷ nodes⌉. Only what it holds beyond that moves, and what nobody
//! holds: each such shard goes to the node with room that ranks first for it (rendezvous hashing).

use super::roster::{Member, View};

/// By shard the id of the node that is to run it; `None` when there is none for it.
pub(super) type Assignment = Vec<Option<String>>;

/// Assigns every shard.
pub(super) fn assign(view: &View) -> Assignment {
    let mut assigned = vec![None; view.holders.len()];
    assign_static(view, &mut assigned);
    let open: Vec<usize> = (0..assigned.len()).filter(|shard| assigned[*shard].is_none()).collect();
    let sharing: Vec<&Member> =
        view.members.iter().filter(|member| member.static_shards.is_none() && !member.leaving).collect();
    if sharing.is_empty() {
        return assigned;
    }
    let part = open.len().div_ceil(sharing.len());
    let mut room = vec![part; sharing.len()];
    for (node, member) in sharing.iter().enumerate() {
        let held = |shard: &&usize| view.holders[**shard].as_deref() == Some(member.id.as_str());
        let mut kept: Vec<usize> = open.iter().filter(held).copied().collect();
        kept.sort_by_key(|shard| std::cmp::Reverse(rank(&member.id, *shard)));
        kept.truncate(part);
        room[node] -= kept.len();
        for shard in kept {
            assigned[shard] = Some(member.id.clone());
        }
    }
    for shard in open {
        if assigned[shard].is_none() {
            let with_room = (0..sharing.len()).filter(|node| room[*node] > 0);
            let first = with_room.max_by_key(|node| (rank(&sharing[*node].id, shard), &sharing[*node].id));
            if let Some(node) = first {
                room[node] -= 1;
                assigned[shard] = Some(sharing[node].id.clone());
            }
        }
    }
    assigned
}

/// What nodes were told to run. Of several that were told the same, whoever holds it.
fn assign_static(view: &View, assigned: &mut Assignment) {
    for (shard, place) in assigned.iter_mut().enumerate() {
        let number = u16::try_from(shard).unwrap_or(u16::MAX);
        let claims = |member: &&Member| {
            !member.leaving && member.static_shards.as_ref().is_some_and(|shards| shards.contains(number))
        };
        let holds = |member: &&Member| view.holders[shard].as_deref() == Some(member.id.as_str());
        let mut claimants = view.members.iter().filter(claims);
        let first = claimants.clone().find(holds).or_else(|| claimants.next());
        *place = first.map(|member| member.id.clone());
    }
}

/// How a node ranks for a shard: the same on every node and in every version.
fn rank(node: &str, shard: usize) -> u64 {
    let mut mixed = (u64::from(crc32fast::hash(node.as_bytes())) << 16) ^ (shard as u64);
    // The finalizer of SplitMix64: neighbouring inputs get unrelated ranks.
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn member(id: &str) -> Member {
        Member { id: id.to_owned(), static_shards: None, leaving: false }
    }

    fn fixed(id: &str, shards: &str) -> Member {
        Member { static_shards: Some(shards.parse().unwrap()), ..member(id) }
    }

    fn leaving(id: &str) -> Member {
        Member { leaving: true, ..member(id) }
    }

    /// The holders by shard, one letter each, `.` for none.
    fn view(members: Vec<Member>, holders: &str) -> View {
        let holder = |name: char| (name != '.').then(|| name.to_string());
        View { members, holders: holders.chars().map(holder).collect(), exclusive: false }
    }

    fn shown(assignment: &Assignment) -> String {
        assignment.iter().map(|node| node.as_deref().unwrap_or(".")).collect()
    }

    #[test]
    fn who_runs_what() {
        let abc = || vec![member("a"), member("b"), member("c")];
        for (what, members, holders, expected) in [
            ("one node runs all", vec![member("a")], "....", "aaaa"),
            ("no node, no shard", vec![], "..a.", "...."),
            ("within its part a node keeps what it holds", vec![member("a"), member("b")], "aabb", "aabb"),
            ("what a node that is gone holds goes to the others", vec![member("a"), member("b")], "abzzab", "abbaab"),
            ("and what one holds that leaves", vec![member("a"), leaving("b")], "abab", "aaaa"),
            ("all leave", vec![leaving("a"), leaving("b")], "abab", "...."),
            ("more nodes than shards", abc(), "ab", "ab"),
            ("a static node has its shards", vec![member("a"), fixed("s", "1-2")], "aaaa", "assa"),
            ("and no other", vec![fixed("s", "1-2")], "s...", ".ss."),
            ("of two that have the same, who holds it", vec![fixed("s", "0-1"), fixed("t", "1-2")], ".t..", "stt."),
            ("a facade runs none", vec![member("a"), fixed("f", "")], "....", "aaaa"),
            (
                "a static node that leaves has none",
                vec![member("a"), Member { leaving: true, ..fixed("s", "0-1") }],
                "ss",
                "aa",
            ),
        ] {
            assert_eq!(shown(&assign(&view(members, holders))), expected, "{what}");
        }
    }

    #[test]
    fn ranks_are_the_same_for_ever() {
        // Nodes of two versions must compute the same.
        assert_eq!([rank("a", 0), rank("a", 1), rank("b", 0)], RANKS);
    }

    const RANKS: [u64; 3] = [13_953_199_772_839_668_437, 1_350_238_960_366_652_681, 12_284_816_323_932_195_208];

    fn loads(assignment: &Assignment) -> BTreeMap<&str, usize> {
        let mut loads = BTreeMap::new();
        for node in assignment.iter().flatten() {
            *loads.entry(node.as_str()).or_default() += 1;
        }
        loads
    }

    proptest! {
        /// From any state: every shard has a node, none has more than its part, only the surplus and what nobody holds
        /// moves; and when one of the moves is done, the others stay as they are.
        #[test]
        fn only_the_surplus_moves(
            nodes in 1_usize..6,
            holders in proptest::collection::vec(0_usize..7, 1..40),
            done in any::<proptest::sample::Index>(),
        ) {
            let id = |node: usize| format!("node-{node}");
            let members = (0..nodes).map(|node| member(&id(node))).collect();
            // Some of the holders are no members, and the last stands for nobody.
            let holders = holders.into_iter().map(|node| (node < 6).then(|| id(node))).collect();
            let mut view = View { members, holders, exclusive: false };
            let target = assign(&view);
            let part = view.holders.len().div_ceil(nodes);
            prop_assert!(target.iter().all(Option::is_some));
            prop_assert!(loads(&target).values().all(|load| *load <= part), "{target:?}");
            for node in 0..nodes {
                let held = view.holders.iter().filter(|holder| **holder == Some(id(node))).count();
                let pairs = view.holders.iter().zip(&target);
                let kept = pairs.filter(|(holder, target)| **holder == Some(id(node)) && holder == target).count();
                prop_assert_eq!(kept, held.min(part));
            }
            let moves: Vec<usize> = (0..target.len()).filter(|shard| view.holders[*shard] != target[*shard]).collect();
            if !moves.is_empty() {
                let shard = *done.get(&moves);
                view.holders[shard] = None;
                prop_assert_eq!(&assign(&view), &target, "released");
                view.holders[shard].clone_from(&target[shard]);
                prop_assert_eq!(&assign(&view), &target, "taken");
            }
        }
    }
}
