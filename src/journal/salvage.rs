//! What can still be told of a workspace whose journal contradicts itself. Pure, and the same for every adapter.
//!
//! The snapshot goes first. Where it cannot be read, the events are replayed as far as they can be: each save holds
//! the whole configuration. How often tokens were revoked stands in the snapshot alone, so without it every
//! token of the workspace ends.

use bytes::Bytes;

use super::codec;
use super::port::{Salvage, StoredEvent};
use crate::workspace::event::Event;
use crate::workspace::state::State;

/// What an adapter found of a workspace.
#[derive(Debug, Default)]
pub struct Remains {
    /// The snapshot.
    pub snapshot: Option<Bytes>,
    /// Attempts by seq, oldest first.
    pub attempts: Vec<StoredEvent>,
    /// Other events by seq, oldest first.
    pub history: Vec<StoredEvent>,
    /// Entries of either that hold no event.
    pub unreadable: usize,
    /// Places that hold something else altogether.
    pub odd: u64,
    /// The newest skipped message, as stored.
    pub skipped: Option<Bytes>,
    /// The greatest seq that the streams of events remember.
    pub top: u64,
}

/// Makes the best of it.
#[must_use]
pub fn salvage(remains: Remains) -> Salvage {
    let Remains { snapshot, attempts, history, unreadable, odd, skipped, top } = remains;
    let found = attempts.len() + history.len() + unreadable;
    let attempts = readable(attempts, true);
    let history = readable(history, false);
    let damaged = found - attempts.len() - history.len();
    let mut lost = Vec::new();
    let stored = snapshot.map(|snapshot| codec::decode_snapshot(&snapshot));
    let is_known = matches!(stored, Some(Ok(_))) || (stored.is_none() && top == 0 && found == 0 && odd == 0);
    let mut state = stored.and_then(Result::ok).unwrap_or_default();
    let base = state.seq;
    let mut events: Vec<&(StoredEvent, Event)> = attempts.iter().chain(&history).collect();
    events.sort_by_key(|(stored, _)| stored.seq);
    let mut gone = 0;
    for (stored, event) in events.into_iter().filter(|(stored, _)| stored.seq > base) {
        // Two may say that they stand in the same place.
        gone += (stored.seq - 1).saturating_sub(state.seq);
        state.seq = stored.seq - 1;
        state.evolve(event);
    }
    gone += top.saturating_sub(state.seq);
    if odd > 0 {
        lost.push(format!("{odd} keys are of another type"));
    }
    if damaged > 0 {
        lost.push(format!("{damaged} stored events cannot be read"));
    }
    if is_known && gone > 0 {
        lost.push(format!("{gone} events are missing"));
    }
    if is_known && top < base {
        lost.push(format!("the events end at {top}, below the snapshot at {base}"));
    }
    let newest = skipped.as_deref().map(codec::decode_newest);
    if matches!(newest, Some(Err(_))) {
        lost.push("the newest skipped message cannot be read".to_owned());
    }
    if !is_known {
        lost.push(lost_snapshot(&mut state, !history.is_empty()));
    }
    if !lost.is_empty() {
        state.seq = state.seq.max(top) + 1;
    }
    let stored = |events: Vec<(StoredEvent, Event)>| events.into_iter().map(|(stored, _)| stored).collect();
    Salvage {
        state,
        attempts: stored(attempts),
        history: stored(history),
        newest: newest.and_then(Result::ok),
        tokens_unknown: !is_known,
        lost,
    }
}

/// What the loss of the snapshot means.
fn lost_snapshot(state: &mut State, has_history: bool) -> String {
    // It was sealed for another place than the one that it would stand in now.
    state.webhook.previous_secret = None;
    let left = if has_history {
        "the webhook is as its last change that can be read left it"
    } else {
        "nothing tells the webhook: it is not configured any more"
    };
    format!("the snapshot cannot be read: {left}, and every token has ended")
}

/// The events that can be read, stand where they say and are attempts, or are none.
fn readable(events: Vec<StoredEvent>, attempts: bool) -> Vec<(StoredEvent, Event)> {
    let read = |stored: StoredEvent| {
        let (seq, event) = codec::decode_event(&stored.json).ok()?;
        let fits = seq == stored.seq && seq > 0 && event.attempt().is_some() == attempts;
        fits.then_some((stored, event))
    };
    events.into_iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::conformance::neighbours;
    use crate::journal::conformance::story::Story;
    use crate::journal::port::Step;

    /// A save at seq 1, five attempts, a switch-off (an attempt and an event), and what was stored.
    fn told() -> (State, Remains) {
        let mut story = Story::of(&neighbours(1)[0]);
        let Step { history: mut events, .. } = story.save();
        let mut attempts = story.deliver_many(5).attempts;
        let disabled = story.disable();
        attempts.extend(disabled.attempts);
        events.extend(disabled.history);
        let top = story.state.seq;
        let remains = Remains { snapshot: disabled.snapshot, attempts, history: events, top, ..Remains::default() };
        (story.state, remains)
    }

    #[test]
    fn what_is_whole_is_as_it_was() {
        let (state, remains) = told();
        let salvage = salvage(remains);
        assert_eq!((salvage.state, salvage.lost), (state, Vec::<String>::new()));
        assert_eq!((salvage.attempts.len(), salvage.history.len()), (6, 2));
        assert_eq!(super::salvage(Remains::default()).lost, Vec::<String>::new(), "nor is one never seen");
    }

    #[test]
    fn without_a_snapshot_the_events_tell_the_webhook_and_every_token_ends() {
        for snapshot in [None, Some(Bytes::from_static(b"{\"v\":1,\"seq\"")), Some(Bytes::from_static(b""))] {
            let (state, mut remains) = told();
            remains.snapshot = snapshot;
            let salvage = salvage(remains);
            assert_eq!(salvage.state.webhook, state.webhook);
            assert_eq!((salvage.state.seq, salvage.tokens_unknown), (9, true));
            assert!(salvage.lost[0].contains("as its last change that can be read left it"), "{:?}", salvage.lost);
        }
    }

    #[test]
    fn events_that_cannot_be_read_are_counted_and_dropped() {
        let (state, mut remains) = told();
        remains.attempts[2].json = Bytes::from_static(b"{");
        remains.history.remove(0);
        let salvage = salvage(remains);
        assert_eq!(salvage.lost, ["1 stored events cannot be read"]);
        assert_eq!(salvage.state, State { seq: 9, ..state });
        assert_eq!((salvage.attempts.len(), salvage.history.len()), (5, 1));
    }

    #[test]
    fn two_events_in_one_place_leave_no_hole() {
        let (state, mut remains) = told();
        let saved = Story::of(&neighbours(1)[0]).save().history.remove(0);
        let (_, event) = codec::decode_event(&saved.json).unwrap();
        // Where the last attempt stands.
        let seq = remains.attempts[5].seq;
        remains.history.insert(1, StoredEvent { seq, json: codec::encode_event(seq, &event).unwrap() });
        remains.snapshot = Some(codec::encode_snapshot(&State::default()));
        let salvage = salvage(remains);
        assert_eq!((salvage.state.seq, salvage.lost), (state.seq, Vec::<String>::new()));
    }

    #[test]
    fn a_hole_above_the_snapshot_and_events_that_end_below_it_are_told() {
        let (state, mut remains) = told();
        remains.top = 11;
        assert_eq!(salvage(remains).lost, ["3 events are missing"]);
        let remains = Remains { snapshot: Some(codec::encode_snapshot(&state)), ..Remains::default() };
        assert_eq!(salvage(remains).lost, ["the events end at 0, below the snapshot at 8"]);
    }
}
