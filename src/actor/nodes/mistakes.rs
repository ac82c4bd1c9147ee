//! What operators get wrong with several nodes and no node can put right: found in what each tells of itself.

use std::collections::BTreeSet;

use super::roster::View;
use crate::journal::port::{NodeRecord, NodesReading};

/// One sentence for each thing that is wrong between this node and the others.
pub(super) fn mistakes(me: &NodeRecord, view: &View, reading: &NodesReading) -> Vec<String> {
    let mut told = Vec::new();
    let others = reading.nodes.iter().map(|seen| &seen.record);
    for other in others.filter(|other| other.id != me.id && view.is_member(&other.id)) {
        let (node, address) = (&other.id, &other.address);
        let known = !me.token_key.is_empty() && !other.token_key.is_empty();
        if known && me.token_key != other.token_key {
            told.push(format!(
                "the nodes {} and {node} at {address} sign workspace tokens with different keys, so each refuses the \
                 other's: give all nodes the same OUTBOUND_TOKEN_KEY",
                me.id
            ));
        }
        let opens = |opener: &NodeRecord, sealer: &NodeRecord| {
            sealer.secret_keys.first().is_none_or(|key| opener.secret_keys.contains(key))
        };
        if !opens(me, other) || !opens(other, me) {
            told.push(format!(
                "node {node} at {address} has another secret key, so what one encrypts the other cannot open: give all \
                 nodes the same OUTBOUND_SECRET_KEY"
            ));
        }
        told.extend(other_settings(me, other));
    }
    told
}

/// One sentence for the first flag that differs; further ones follow when that is put right.
fn other_settings(me: &NodeRecord, other: &NodeRecord) -> Option<String> {
    if me.settings.is_empty() || other.settings.is_empty() {
        return None;
    }
    let flags: BTreeSet<&String> = me.settings.keys().chain(other.settings.keys()).collect();
    let flag = flags.into_iter().find(|flag| me.settings.get(*flag) != other.settings.get(*flag))?;
    if ["--source", "--allow-net", "--deny-net"].iter().any(|unshown| flag.starts_with(unshown)) {
        // Readiness is told to anyone, and whose streams are read or what a network is like inside is not for everybody.
        return Some(format!(
            "node {} at {} and this one differ in {flag}, so what comes of a message depends on who runs its shard: start all \
             nodes with the same {flag}",
            other.id, other.address
        ));
    }
    let shown = |record: &NodeRecord| record.settings.get(flag).map_or("none", String::as_str).to_owned();
    Some(format!(
        "node {} at {} has {flag} {} and this one {}, so what comes of a message depends on who runs its shard: start all nodes \
         with the same {flag}",
        other.id,
        other.address,
        shown(other),
        shown(me)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actor::nodes::roster::Member;
    use crate::journal::port::SeenNode;
    use crate::workspace::time::Time;

    const NOW: Time = Time::from_unix_ms(1_769_860_800_000);

    fn node(id: &str, token_key: &str, secret_keys: &[&str]) -> NodeRecord {
        NodeRecord {
            id: id.to_owned(),
            address: "10.0.0.2:8080".to_owned(),
            token_key: token_key.to_owned(),
            secret_keys: secret_keys.iter().map(|key| (*key).to_owned()).collect(),
            ..NodeRecord::default()
        }
    }

    fn told(me: &NodeRecord, other: &NodeRecord, is_there: bool) -> Vec<String> {
        let seen = |record: &NodeRecord| SeenNode { record: record.clone(), began: NOW, seen: NOW };
        let reading = NodesReading { at: NOW, nodes: vec![seen(me), seen(other)], ..NodesReading::default() };
        let member = Member { id: other.id.clone(), static_shards: None, leaving: false };
        let members = if is_there { vec![member] } else { Vec::new() };
        mistakes(me, &View { members, holders: Vec::new(), exclusive: false }, &reading)
    }

    #[test]
    fn keys_that_do_not_fit_are_told_and_rotations_are_not() {
        let me = node("a", "t1", &["k1:x", "k2:y"]);
        for (other, count, word) in [
            (node("b", "t1", &["k1:x", "k2:y"]), 0, ""),
            // In the middle of a rotation, each opens what the other seals.
            (node("b", "t1", &["k2:y", "k1:x"]), 0, ""),
            (node("b", "t2", &["k1:x"]), 1, "OUTBOUND_TOKEN_KEY"),
            (node("b", "t1", &["k3:z", "k1:x"]), 1, "OUTBOUND_SECRET_KEY"),
            // The same id for another key.
            (node("b", "t1", &["k1:z"]), 1, "OUTBOUND_SECRET_KEY"),
            (node("b", "t1", &[]), 1, "OUTBOUND_SECRET_KEY"),
            (node("b", "t2", &[]), 2, "OUTBOUND_SECRET_KEY"),
            // A program that does not tell it yet.
            (node("b", "", &["k1:x"]), 0, ""),
        ] {
            let found = told(&me, &other, true);
            assert!(found.len() == count && (word.is_empty() || found.last().unwrap().contains(word)), "{found:?}");
            assert_eq!(told(&me, &other, false), Vec::<String>::new(), "who is gone is not told of");
        }
    }

    #[test]
    fn flags_that_must_be_the_same_are_told_one_at_a_time() {
        let with = |id: &str, flags: &[(&str, &str)]| NodeRecord {
            settings: flags.iter().map(|(flag, value)| ((*flag).to_owned(), (*value).to_owned())).collect(),
            ..node(id, "t", &[])
        };
        let me = with("a", &[("--durability", "local"), ("--source", "x")]);
        for (flags, word) in [
            (&[("--durability", "local"), ("--source", "x")][..], None),
            (&[("--durability", "memory"), ("--source", "y")], Some("has --durability memory and this one local")),
            (&[("--durability", "local")], Some("differ in --source, so")),
            (
                &[("--durability", "local"), ("--smtp-url", "a mail server"), ("--source", "x")],
                Some("--smtp-url a mail"),
            ),
            (
                &[("--allow-net", "10.0.0.0/8"), ("--durability", "local"), ("--source", "x")],
                Some("differ in --allow-net, so"),
            ),
            // A program that does not tell it yet.
            (&[], None),
        ] {
            let found = told(&me, &with("b", flags), true);
            assert_eq!(found.len(), usize::from(word.is_some()), "{found:?}");
            assert!(word.is_none_or(|word| found[0].contains(word)), "{found:?}");
        }
    }
}
