//! What a client of a live stream does not know yet.

use std::collections::VecDeque;

use axum::response::sse::Event;
use serde::Serialize;

use super::watch::WatchedState;
use crate::journal::port::ATTEMPTS_RETAINED;
use crate::workspace::state::Summary;
use crate::workspace::view::WebhookView;

/// How far a client is.
#[derive(Debug)]
pub(super) struct Cursor {
    /// The seq up to which it knows everything.
    pub(super) after: u64,
    /// The state that it knows.
    pub(super) told: Option<WebhookView>,
}

/// One event of a stream.
#[derive(Debug, PartialEq)]
pub(super) enum StreamEvent {
    /// Attempts after this seq and before that one are no longer known; there may have been some.
    Gap { after: u64, before: u64 },
    /// A new attempt.
    Attempt { seq: u64, attempt: Box<Summary> },
    /// The webhook's state, after everything up to this seq.
    State { seq: u64, webhook: Box<WebhookView> },
}

impl Cursor {
    /// What the client does not know yet, oldest first: at most the retained attempts, and two more.
    pub(super) fn advance(&mut self, state: &WatchedState) -> VecDeque<StreamEvent> {
        let mut events = VecDeque::new();
        // A seq from the future: the store has forgotten what it had acknowledged.
        self.after = self.after.min(state.seq);
        if let Some((oldest, _)) = state.attempts.first()
            && state.attempts.len() >= ATTEMPTS_RETAINED
            && *oldest > self.after.saturating_add(1)
        {
            events.push_back(StreamEvent::Gap { after: self.after, before: *oldest });
        }
        let new = state.attempts.iter().filter(|(seq, _)| *seq > self.after);
        events.extend(new.map(|(seq, attempt)| StreamEvent::Attempt { seq: *seq, attempt: Box::new(attempt.clone()) }));
        self.after = state.seq;
        if self.told.as_ref() != Some(&state.webhook) {
            self.told = Some(state.webhook.clone());
            events.push_back(StreamEvent::State { seq: state.seq, webhook: Box::new(state.webhook.clone()) });
        }
        events
    }
}

impl StreamEvent {
    pub(super) fn event(&self) -> Event {
        #[derive(Serialize)]
        struct Gap {
            after: String,
            before: String,
        }
        match self {
            Self::Gap { after, before } => {
                let gap = Gap { after: after.to_string(), before: before.to_string() };
                Self::encoded("gap", before.saturating_sub(1), &gap)
            }
            Self::Attempt { seq, attempt } => Self::encoded("attempt", *seq, attempt),
            Self::State { seq, webhook } => Self::encoded("state", *seq, webhook),
        }
    }

    #[expect(clippy::expect_used, reason = "names are strings and numbers finite, so all of it can be JSON")]
    fn encoded(kind: &str, seq: u64, data: &impl Serialize) -> Event {
        let event = Event::default().event(kind).id(seq.to_string());
        event.json_data(data).expect("an event is written as JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::port::Reading;
    use crate::workspace::time::Time;
    use crate::workspace::{Policy, State};

    fn seen(seq: u64, attempts: impl IntoIterator<Item = u64>) -> WatchedState {
        let workspace = "acme".parse().unwrap();
        let reading = Reading { state: State { seq, ..State::default() }, attempts: Vec::new() };
        let summary = |seq: u64| {
            let summary = serde_json::json!({
                "id": seq.to_string(), "at": Time::default(), "trigger": "message", "message_id": "m",
                "webhook_id": "w", "outcome": "delivered", "status": 200, "error": null, "duration_ms": 1,
            });
            (seq, serde_json::from_value(summary).unwrap())
        };
        let attempts = attempts.into_iter().map(summary).collect();
        WatchedState { attempts, ..WatchedState::new(&workspace, &reading, &Policy::default()) }
    }

    fn told(cursor: &mut Cursor, seen: &WatchedState) -> Vec<String> {
        let word = |event: StreamEvent| match event {
            StreamEvent::Gap { after, before } => format!("gap {after}..{before}"),
            StreamEvent::Attempt { seq, .. } => seq.to_string(),
            StreamEvent::State { seq, .. } => format!("state {seq}"),
        };
        cursor.advance(seen).into_iter().map(word).collect()
    }

    #[test]
    fn a_stream_begins_with_the_present_state_and_goes_on_with_what_is_new() {
        let mut cursor = Cursor { after: 2, told: None };
        assert_eq!(told(&mut cursor, &seen(2, [1, 2])), ["state 2"]);
        assert_eq!(told(&mut cursor, &seen(2, [1, 2])), [""; 0]);
        assert_eq!(told(&mut cursor, &seen(5, [1, 2, 4, 5])), ["4", "5"]);
    }

    #[test]
    fn who_comes_back_gets_what_he_missed_and_is_told_of_what_is_gone() {
        let mut cursor = Cursor { after: 3, told: None };
        assert_eq!(told(&mut cursor, &seen(6, [2, 4, 6])), ["4", "6", "state 6"]);
        let mut cursor = Cursor { after: 3, told: None };
        let news = told(&mut cursor, &seen(150, 51..=150));
        assert_eq!((news.len(), news[0].as_str(), news[1].as_str()), (102, "gap 3..51", "51"));
        // Nothing is missing where the oldest retained one is the next one.
        let mut cursor = Cursor { after: 50, told: None };
        assert_eq!(told(&mut cursor, &seen(150, 51..=150))[0], "51");
    }

    #[test]
    fn a_seq_that_the_store_has_forgotten_counts_as_the_present_one() {
        let mut cursor = Cursor { after: 9, told: None };
        assert_eq!(told(&mut cursor, &seen(5, [4, 5])), ["state 5"]);
        assert_eq!(told(&mut cursor, &seen(6, [4, 5, 6])), ["6"]);
    }
}
