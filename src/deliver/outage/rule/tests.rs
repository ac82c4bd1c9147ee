//! The rule as a table, and against its definition under random events.

use proptest::prelude::*;

use super::*;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What happens, at which second.
#[derive(Debug, Clone, Copy)]
enum Seen {
    Failed(&'static str, u64),
    Reached(u64),
}
use Seen::{Failed, Reached};

/// What the first failure turns out to be, and at which second; asked every second.
fn first_verdict(events: &[Seen]) -> Option<(Verdict, u64)> {
    let start = Instant::now();
    let mut rule = OutageRule::default();
    let first = events.iter().find_map(|seen| match seen {
        Failed(_, at) => Some(*at),
        Reached(_) => None,
    })?;
    (0..30).find_map(|now| {
        for seen in events {
            match seen {
                Failed(host, at) if *at == now => rule.failed(host, start + seconds(now)),
                Reached(at) if *at == now => drop(rule.reached(start + seconds(now))),
                _ => {}
            }
        }
        let failed = start + seconds(first);
        (now >= first)
            .then(|| rule.judge("a", failed, failed, start + seconds(now)))
            .flatten()
            .map(|verdict| (verdict, now))
    })
}

#[test]
fn what_a_failure_is() {
    let three = [Failed("a", 1), Failed("b", 2), Failed("c", 3)];
    for (what, events, expected) in [
        ("one host", vec![Failed("a", 1)], (Verdict::Endpoint, 11)),
        ("two hosts", vec![Failed("a", 1), Failed("b", 1)], (Verdict::Endpoint, 11)),
        (
            "one host often",
            vec![Failed("a", 1), Failed("a", 2), Failed("a", 3), Failed("a", 4)],
            (Verdict::Endpoint, 11),
        ),
        ("three hosts", three.to_vec(), (Verdict::Outage, 11)),
        ("the third at the last moment", vec![Failed("a", 1), Failed("b", 2), Failed("c", 11)], (Verdict::Outage, 11)),
        ("the third too late", vec![Failed("a", 1), Failed("b", 2), Failed("c", 12)], (Verdict::Endpoint, 11)),
        ("one is reached", [&three[..], &[Reached(5)]].concat(), (Verdict::Endpoint, 5)),
        ("one is reached at the last moment", [&three[..], &[Reached(11)]].concat(), (Verdict::Endpoint, 11)),
        ("one was reached before", [&[Reached(0)], &three[..]].concat(), (Verdict::Outage, 11)),
        ("others failed long before", vec![Failed("a", 1)], (Verdict::Endpoint, 11)),
    ] {
        assert_eq!(first_verdict(&events), Some(expected), "{what}");
    }
}

#[test]
fn an_outage_holds_until_a_host_is_reached_and_counts_what_it_set_aside() {
    let start = Instant::now();
    let at = |n| start + seconds(n);
    let mut rule = OutageRule::default();
    for host in ["a", "b", "c"] {
        rule.failed(host, start);
    }
    assert!(rule.admits("a", true, start), "nothing is paused before");
    assert_eq!(rule.judge("a", start, start, at(10)), Some(Verdict::Outage));
    // The others that were held, and new ones, are not held any longer.
    assert_eq!(rule.judge("a", at(3), at(9), at(10)), Some(Verdict::Outage));
    assert_eq!(rule.judge("a", at(11), at(12), at(12)), Some(Verdict::Outage));
    // Who failed is probed once a second, every other host is attempted as ever.
    assert!(rule.admits("a", true, at(12)));
    assert!(!rule.admits("a", true, at(12)) && !rule.admits("b", false, at(12)));
    assert!(rule.admits("a", true, at(13)));
    assert!(rule.admits("d", true, at(13)) && rule.admits("d", true, at(13)));
    assert_eq!(rule.reached(at(20)), Some(Over { lasted: seconds(10), set_aside: 3 }));
    assert_eq!(rule.reached(at(20)), None);
    assert!(rule.admits("a", true, at(20)) && rule.admits("a", true, at(20)));
    // What began before that may have been lost in it; what begins later is judged anew.
    assert_eq!(rule.judge("a", at(19), at(24), at(24)), Some(Verdict::Outage));
    assert_eq!(rule.judge("a", at(21), at(24), at(24)), None);
}

/// Else each message of a node's only workspace would wait for the window while its endpoint is down.
#[test]
fn what_fails_at_a_dead_host_is_held_once_until_a_host_is_reached() {
    let start = Instant::now();
    let at = |n| start + seconds(n);
    let mut rule = OutageRule::default();
    rule.failed("a", at(1));
    assert_eq!(rule.judge("a", at(1), at(1), at(10)), None);
    assert_eq!(rule.judge("a", at(1), at(1), at(11)), Some(Verdict::Endpoint));
    rule.failed("a", at(12));
    assert_eq!(rule.judge("a", at(12), at(12), at(12)), Some(Verdict::Endpoint), "it is not held again");
    assert_eq!(rule.judge("b", at(12), at(12), at(12)), None, "another host is");
    // It is not the only one that fails, and none was reached: the network went away meanwhile.
    for (host, second) in [("b", 14), ("c", 15), ("a", 16)] {
        rule.failed(host, at(second));
    }
    assert_eq!(rule.judge("a", at(16), at(16), at(16)), None, "one of them may be reached yet");
    assert_eq!(rule.judge("b", at(14), at(14), at(24)), Some(Verdict::Outage));
    assert_eq!(rule.judge("a", at(16), at(16), at(24)), Some(Verdict::Outage), "it waited for that");
    rule.reached(at(27));
    rule.failed("a", at(28));
    assert_eq!(rule.judge("a", at(28), at(28), at(28)), None, "it may have been reached, too");
}

#[test]
fn only_so_many_hosts_are_remembered() {
    let start = Instant::now();
    let mut rule = OutageRule::default();
    for n in 0..OUTAGE_HOSTS_MAX + 10 {
        rule.failed(&n.to_string(), start);
    }
    assert_eq!(rule.failing(), OUTAGE_HOSTS_MAX);
    rule.failed("later", start + OUTAGE_WINDOW);
    assert_eq!(rule.failing(), 1, "old ones make room");
}

proptest! {
    /// The definition: an outage is declared only when three hosts failed within the window and none was reached, and
    /// while it is not declared a failure is the endpoint's or waits for at most the window.
    #[test]
    fn the_rule_follows_its_definition(events in prop::collection::vec((0_u64..40, 0_usize..6, prop::bool::weighted(0.2)), 1..40)) {
        let mut events = events;
        events.sort_unstable();
        let start = Instant::now();
        let at = |n: u64| start + seconds(n);
        let mut rule = OutageRule::default();
        let mut open: Vec<(u64, usize)> = Vec::new();
        let mut failures: Vec<(u64, usize)> = Vec::new();
        let mut last_reach: Option<u64> = None;
        for now in 0..60 {
            for (_, host, reaches) in events.iter().filter(|(at, ..)| *at == now) {
                if *reaches {
                    rule.reached(at(now));
                    last_reach = Some(now);
                } else {
                    rule.failed(&host.to_string(), at(now));
                    failures.push((now, *host));
                    open.push((now, *host));
                }
            }
            let was_on = rule.is_on();
            open.retain(|(failed, host)| match rule.judge(&host.to_string(), at(*failed), at(*failed), at(now)) {
                None => {
                    assert!(now < failed + OUTAGE_WINDOW.as_secs());
                    assert!(last_reach.is_none_or(|reach| reach < *failed));
                    true
                }
                Some(Verdict::Endpoint) => {
                    assert!(!was_on);
                    false
                }
                Some(Verdict::Outage) => false,
            });
            if rule.is_on() && !was_on {
                let hosts: std::collections::HashSet<usize> = failures
                    .iter()
                    .filter(|(failed, _)| failed + OUTAGE_WINDOW.as_secs() >= now)
                    .map(|(_, host)| *host)
                    .collect();
                assert!(hosts.len() >= OUTAGE_HOSTS_MIN);
                assert!(last_reach.is_none_or(|reach| now - reach >= OUTAGE_WINDOW.as_secs()));
            }
            assert!(open.iter().all(|(failed, _)| now < failed + OUTAGE_WINDOW.as_secs()));
        }
    }
}
