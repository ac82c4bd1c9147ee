//! What became of the messages of a test, as one line: `--no-capture` shows a transcript of those that ran.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use support::endpoint::Arrival;

use crate::chaos::bench::{check_arrivals, repeated};

/// See the module.
#[derive(Debug)]
pub(crate) struct Tally {
    sent: usize,
    /// Accepted by Redis and never attempted.
    pub(crate) lost: Vec<String>,
    /// Attempted more than once.
    pub(crate) repeated: BTreeSet<String>,
    /// How long nothing at all came although something was owed.
    longest_gap: Duration,
    /// From the moment in which a message was appended to its first attempt.
    longest_wait: Duration,
}

impl Tally {
    /// `sent`: when each message was appended. First appearances must be in the order of their chats.
    pub(crate) fn of(sent: &BTreeMap<String, Instant>, arrivals: &[Arrival]) -> Self {
        check_arrivals(arrivals);
        let mut came: BTreeMap<&str, Instant> = BTreeMap::new();
        for one in arrivals {
            let first = came.entry(&one.message_id).or_insert(one.at);
            *first = one.at.min(*first);
        }
        let lost = sent.keys().filter(|id| !came.contains_key(id.as_str())).cloned().collect();
        let waits = sent.iter().filter_map(|(id, at)| Some((*at, *came.get(id.as_str())?)));
        let waits: Vec<(Instant, Instant)> = waits.collect();
        Self {
            sent: sent.len(),
            lost,
            repeated: repeated(arrivals),
            longest_gap: longest_gap(&waits),
            longest_wait: waits.iter().map(|(sent, came)| came.duration_since(*sent)).max().unwrap_or_default(),
        }
    }

    /// Prints it, under the name of what happened meanwhile.
    #[expect(clippy::print_stdout, reason = "the transcript")]
    pub(crate) fn tell(&self, what: &str) {
        let Self { sent, lost, repeated, longest_gap, longest_wait } = self;
        let (lost, repeated) = (lost.len(), repeated.len());
        let [gap, wait] = [longest_gap, longest_wait].map(Duration::as_secs_f64);
        println!(
            "{what}: {sent} messages, lost {lost}, repeated {repeated}, longest gap {gap:.2} s, longest wait {wait:.2} s"
        );
    }
}

/// Of messages that were sent and came at these times.
fn longest_gap(waits: &[(Instant, Instant)]) -> Duration {
    let mut steps: Vec<(Instant, bool)> =
        waits.iter().flat_map(|(sent, came)| [(*sent, false), (*came, true)]).collect();
    steps.sort_unstable();
    let (mut owed, mut since, mut longest) = (0_usize, None, Duration::ZERO);
    for (at, came) in steps {
        if came {
            longest = longest.max(since.map_or(Duration::ZERO, |since| at.duration_since(since)));
            (owed, since) = (owed - 1, Some(at));
        } else {
            since = if owed == 0 { Some(at) } else { since };
            owed += 1;
        }
    }
    longest
}

#[test]
fn a_gap_is_the_time_in_which_something_was_owed_and_nothing_came() {
    let began = Instant::now();
    let at = |ms: u64| began + Duration::from_millis(ms);
    for (what, waits, longest) in [
        ("nothing", vec![], 0),
        ("one after the other, with a pause in which nothing is owed", vec![(0, 10), (500, 530)], 30),
        ("something is owed all the time", vec![(0, 100), (10, 400), (20, 110)], 290),
        ("the first is the slow one", vec![(0, 70), (60, 80)], 70),
    ] {
        let waits: Vec<(Instant, Instant)> = waits.into_iter().map(|(sent, came)| (at(sent), at(came))).collect();
        assert_eq!(longest_gap(&waits), Duration::from_millis(longest), "{what}");
    }
}
