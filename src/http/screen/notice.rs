//! What came of what was asked for, as the page says it on top.

use super::parts::{Tone, duration};
use super::query::{ROTATED, SAVED, SENT, ScreenQuery, TESTED};
use crate::journal::port::Reading;
use crate::message::EntryId;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::{Attempt, Trigger};
use crate::workspace::explain::explain;
use crate::workspace::history::Meanwhile;
use crate::workspace::wording::with_capital;

/// What came of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Notice {
    pub(super) tone: Tone,
    pub(super) text: String,
    /// The seq of the attempt that it is about.
    pub(super) attempt: Option<u64>,
    /// Whether nothing was saved because somebody else had saved meanwhile.
    pub(super) is_late: bool,
}

impl Notice {
    pub(super) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { tone, text: text.into(), attempt: None, is_late: false }
    }

    /// What came of the form before, as far as it is durable.
    pub(super) fn of(asked: &ScreenQuery, reading: &Reading) -> Option<Self> {
        let plain = |tone, text: &str| Some(Notice::new(tone, text));
        if asked.value(ROTATED).is_some() {
            let text = "A new signing secret was made. Put it into your endpoint within 24 hours.";
            return plain(Tone::Good, text);
        }
        let of = |word: &str| match word {
            "forgotten" => {
                let text = "The workspace was forgotten meanwhile. Whether the test was sent is not known any more.";
                plain(Tone::Warning, text)
            }
            id => asked_for(reading, id, ""),
        };
        match asked.value(SENT) {
            Some("no_message") => return plain(Tone::Warning, "There is no message to test with yet: send a sample."),
            Some("no_url") => return plain(Tone::Warning, "There is nowhere to send it: save a webhook URL first."),
            Some(word) => return of(word),
            None => {}
        }
        match asked.value(TESTED) {
            Some("no_message") => {
                let text = "Saved. The workspace has no message to test with yet: send a sample.";
                return plain(Tone::Warning, text);
            }
            Some("no_url") => return plain(Tone::Warning, "Saved. There is nothing to test without a webhook URL."),
            Some("forgotten") => return of("forgotten"),
            Some(id) => return asked_for(reading, id, "Saved, "),
            None => {}
        }
        asked.value(SAVED)?;
        match reading.state.status() {
            WebhookStatus::Enabled => plain(Tone::Good, "Saved. The webhook is on."),
            WebhookStatus::Disabled | WebhookStatus::DisabledByErrors => {
                plain(Tone::Good, "Saved. The webhook is off.")
            }
            WebhookStatus::NotConfigured => plain(Tone::Good, "Saved. The webhook is cleared: there is no URL."),
        }
    }
}

/// Who saved what since the form was made.
pub(super) fn late(meanwhile: Option<&Meanwhile>) -> String {
    let what = meanwhile.map_or_else(|| "changed meanwhile".to_owned(), Meanwhile::sentence);
    let what = with_capital(&what);
    format!("{what}. Nothing was saved, and what you typed is kept below: save it in place of theirs, or take theirs.")
}

/// How what was asked for went, if it is still among the retained attempts. `saved` says what was done before.
fn asked_for(reading: &Reading, id: &str, saved: &str) -> Option<Notice> {
    let seq: u64 = id.parse().ok()?;
    let named = |(of, attempt): &&(u64, Attempt)| *of == seq && attempt.trigger.is_asked_for();
    let (_, attempt) = reading.attempts.iter().find(named)?;
    let response = attempt.response.as_deref();
    let what = match attempt.trigger {
        Trigger::Again => "what was sent again",
        Trigger::Message | Trigger::Test if attempt.entry == EntryId::ZERO => "the sample",
        Trigger::Message | Trigger::Test => "the test",
    };
    let (tone, text) = match &attempt.error {
        Some(error) => {
            let but = if saved.is_empty() { "" } else { "but " };
            let cause = explain(error, &attempt.request.url, response);
            (Tone::Bad, format!("{saved}{but}{what} failed. {cause}"))
        }
        None => {
            let and = if saved.is_empty() { "" } else { "and " };
            let status = response.map(|response| format!("HTTP {} ", response.status)).unwrap_or_default();
            let took = duration(attempt.duration_ms);
            (Tone::Good, format!("{saved}{and}{what} was delivered: {status}in {took}."))
        }
    };
    Some(Notice { attempt: Some(seq), ..Notice::new(tone, with_capital(&text)) })
}
