//! From what an adapter read to what was asked for. Pure, and the same for every adapter.
//!
//! Only attempts lie above a snapshot, and none of them is missing. Whatever contradicts that is
//! [`LoadError::Corrupt`]: a state is never replayed from the middle.

use bytes::Bytes;

use super::codec::{self, CodecError};
use super::port::{ATTEMPTS_RETAINED, LoadError, Loaded, Newest, Reading, StoredEvent};
use crate::message::WorkspaceId;
use crate::workspace::event::{Event, Trigger};
use crate::workspace::state::{State, Summary};

/// What is stored of a workspace, as of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stored {
    /// The snapshot.
    pub snapshot: Option<Bytes>,
    /// Attempts by seq, oldest first: for [`load`] at least those above the snapshot, for [`read`]
    /// at least the last [`ATTEMPTS_RETAINED`]. More does no harm.
    pub attempts: Vec<StoredEvent>,
    /// The greater of the last ids that the two streams of events ever had; 0 when neither was used.
    pub top: u64,
}

/// The snapshot with every attempt after it applied.
///
/// # Errors
/// A form cannot be read; a used journal has no snapshot; its top is below the snapshot; an attempt
/// above the snapshot is missing.
pub fn load(workspace: &WorkspaceId, stored: &Stored) -> Result<Loaded, LoadError> {
    let mut state = snapshot(workspace, stored)?;
    let snapshot_seq = state.seq;
    let mut loaded = Loaded { state: State::default(), since_snapshot: 0, attempted: Vec::new() };
    for event in stored.attempts.iter().filter(|event| event.seq > snapshot_seq) {
        let event = apply_attempt(workspace, &mut state, event)?;
        loaded.since_snapshot += 1;
        loaded
            .attempted
            .extend(event.attempt().filter(|attempt| attempt.trigger == Trigger::Message).map(|attempt| attempt.entry));
    }
    check_top(workspace, &state, stored.top)?;
    loaded.state = state;
    Ok(loaded)
}

/// The same state, with the last attempts.
///
/// # Errors
/// As [`load`], and when one of the last attempts cannot be read.
pub fn read(workspace: &WorkspaceId, stored: &Stored) -> Result<Reading, LoadError> {
    let mut state = snapshot(workspace, stored)?;
    let mut attempts = Vec::with_capacity(ATTEMPTS_RETAINED);
    let last = stored.attempts.len().saturating_sub(ATTEMPTS_RETAINED);
    let (before, shown) = stored.attempts.split_at(last);
    let snapshot_seq = state.seq;
    for event in before.iter().filter(|event| event.seq > snapshot_seq) {
        apply_attempt(workspace, &mut state, event)?;
    }
    for event in shown {
        let decoded = if event.seq > snapshot_seq {
            apply_attempt(workspace, &mut state, event)?
        } else {
            decode_attempt(workspace, event)?
        };
        if let Event::AttemptDelivered(attempt) | Event::AttemptFailed(attempt) = decoded {
            attempts.push((event.seq, *attempt));
        }
    }
    check_top(workspace, &state, stored.top)?;
    attempts.reverse();
    Ok(Reading { state, attempts })
}

/// The state by its snapshot and the newest of `stored`'s attempts, but for the window and the errors before the last one.
/// `None` when these do not tell how many errors there are in a row.
///
/// # Errors
/// A form cannot be read; a used journal has no snapshot; its top is below the snapshot.
pub fn newest_state(workspace: &WorkspaceId, stored: &Stored) -> Result<Option<State>, LoadError> {
    let mut state = snapshot(workspace, &Stored { attempts: Vec::new(), ..stored.clone() })?;
    let Some(newest) = stored.attempts.last().filter(|event| event.seq > state.seq) else { return Ok(Some(state)) };
    let event = decode_attempt(workspace, newest)?;
    let Some(attempt) = event.attempt() else { return Ok(None) };
    let Some(errors) = attempt.errors else { return Ok(None) };
    (state.seq, state.errors) = (newest.seq, errors);
    state.last_attempt = Some(Summary::new(newest.seq, attempt));
    Ok(Some(state))
}

/// Of the messages of the last [`ATTEMPTS_RETAINED`] of `attempts` (by seq, oldest first) and the newest
/// skipped one, that with the greatest entry id.
///
/// # Errors
/// A form cannot be read.
pub fn newest(
    workspace: &WorkspaceId,
    attempts: &[StoredEvent],
    skipped: Option<&[u8]>,
) -> Result<Option<Newest>, LoadError> {
    let of = |error: CodecError| error.of(workspace);
    let skipped = skipped.map(codec::decode_newest).transpose().map_err(of)?;
    let last = &attempts[attempts.len().saturating_sub(ATTEMPTS_RETAINED)..];
    let mut attempted = None;
    for event in last {
        let entry = codec::attempt_entry(&event.json).map_err(of)?;
        attempted = attempted.max(Some((entry, event.seq)));
    }
    let Some((entry, seq)) = attempted.filter(|(entry, _)| skipped.as_ref().is_none_or(|newest| newest.entry < *entry))
    else {
        return Ok(skipped);
    };
    let mut named = last.iter().filter(|event| event.seq == seq);
    let event = named.next().map(|event| decode_attempt(workspace, event)).transpose()?;
    let message = event.as_ref().and_then(Event::attempt).and_then(|attempt| attempt.request.message.clone());
    // Of one whose message was omitted nothing can be sent.
    Ok(message.map(|message| Newest { entry, message }).or(skipped))
}

/// The events that are no attempts, as they are stored (by seq, oldest first).
///
/// # Errors
/// A form cannot be read, or does not stand where it says.
pub fn history(workspace: &WorkspaceId, events: &[StoredEvent]) -> Result<Vec<(u64, Event)>, LoadError> {
    events.iter().map(|event| Ok((event.seq, decode(workspace, event)?))).collect()
}

/// The snapshot as it is: the state that the attempts are applied to.
///
/// # Errors
/// It cannot be read; a used journal has none; its top is below it.
pub fn snapshot(workspace: &WorkspaceId, stored: &Stored) -> Result<State, LoadError> {
    let Some(snapshot) = &stored.snapshot else {
        return if stored.top == 0 && stored.attempts.is_empty() {
            Ok(State::default())
        } else {
            Err(corrupt(workspace, format!("it has events up to seq {} but no snapshot", stored.top)))
        };
    };
    let state = codec::decode_snapshot(snapshot).map_err(|error| error.of(workspace))?;
    if stored.top < state.seq {
        return Err(corrupt(
            workspace,
            format!("its events end at seq {}, below its snapshot at {}", stored.top, state.seq),
        ));
    }
    Ok(state)
}

/// Applies the next attempt to the state.
fn apply_attempt(workspace: &WorkspaceId, state: &mut State, event: &StoredEvent) -> Result<Event, LoadError> {
    if event.seq != state.seq + 1 {
        return Err(corrupt(workspace, format!("seq {} is followed by {}", state.seq, event.seq)));
    }
    let event = decode_attempt(workspace, event)?;
    state.evolve(&event);
    Ok(event)
}

fn decode_attempt(workspace: &WorkspaceId, event: &StoredEvent) -> Result<Event, LoadError> {
    let decoded = decode(workspace, event)?;
    if decoded.attempt().is_none() {
        let detail = format!("the event at seq {} is no attempt but stands among them", event.seq);
        return Err(corrupt(workspace, detail));
    }
    Ok(decoded)
}

/// Reads an event, and checks that it stands where it says.
fn decode(workspace: &WorkspaceId, event: &StoredEvent) -> Result<Event, LoadError> {
    let (seq, decoded) = codec::decode_event(&event.json).map_err(|error| error.of(workspace))?;
    if seq != event.seq {
        return Err(corrupt(workspace, format!("the event at seq {} says that it is {seq}", event.seq)));
    }
    Ok(decoded)
}

fn check_top(workspace: &WorkspaceId, state: &State, top: u64) -> Result<(), LoadError> {
    if state.seq == top {
        return Ok(());
    }
    Err(corrupt(workspace, format!("events end at seq {} but went up to {top}", state.seq)))
}

fn corrupt(workspace: &WorkspaceId, detail: String) -> LoadError {
    LoadError::Corrupt { workspace: workspace.clone(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::conformance::neighbours;
    use crate::journal::conformance::story::Story;
    use crate::journal::port::Step;

    /// A save at seq 1 with its snapshot, then attempts up to seq 6.
    fn stored() -> (WorkspaceId, Stored) {
        let workspace = neighbours(1).remove(0);
        let mut story = Story::of(&workspace);
        let Step { snapshot, .. } = story.save();
        let attempts = story.deliver_many(5).attempts;
        (workspace, Stored { snapshot, attempts, top: 6 })
    }

    #[track_caller]
    fn corrupt(workspace: &WorkspaceId, stored: &Stored, expected: &str) {
        let error = load(workspace, stored).unwrap_err();
        assert_eq!(read(workspace, stored).unwrap_err(), error);
        assert!(error.to_string().contains(expected), "{error}");
    }

    #[test]
    fn a_hole_is_told_even_when_the_top_agrees() {
        let (workspace, mut stored) = stored();
        stored.attempts.remove(1);
        stored.top = 5;
        corrupt(&workspace, &stored, "seq 2 is followed by 4");
    }

    #[test]
    fn an_event_must_stand_where_it_says() {
        let (workspace, mut stored) = stored();
        stored.attempts[2].json = stored.attempts[1].json.clone();
        corrupt(&workspace, &stored, "the event at seq 4 says that it is 3");
    }

    #[test]
    fn only_attempts_stand_among_attempts() {
        let (workspace, mut stored) = stored();
        let mut story = Story::of(&workspace);
        story.state.seq = 3;
        stored.attempts[2].json = story.save().history[0].json.clone();
        corrupt(&workspace, &stored, "the event at seq 4 is no attempt");
    }

    #[test]
    fn attempts_without_a_snapshot_are_corrupt() {
        let (workspace, stored) = stored();
        corrupt(&workspace, &Stored { snapshot: None, ..stored }, "no snapshot");
    }

    #[test]
    fn attempts_below_the_snapshot_change_nothing() {
        let (workspace, stored) = stored();
        let all = load(&workspace, &stored).unwrap();
        let snapshot = Some(codec::encode_snapshot(&all.state));
        let later = load(&workspace, &Stored { snapshot, ..stored }).unwrap();
        assert_eq!((later.state, later.since_snapshot), (all.state, 0));
    }
}
