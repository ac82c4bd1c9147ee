//! Which of the last attempts are listed: all, those that failed, what a person asked for; and those that hold a text.

use serde_json::Value;
use url::form_urlencoded;

use super::query::ScreenQuery;
use crate::message::without_halves;
use crate::workspace::event::Attempt;

/// The fields of the form that chooses.
pub(super) const KIND: &str = "filter";
pub(super) const TEXT: &str = "q";
/// Characters of a text that is searched for at most.
const TEXT_MAX: usize = 200;
/// Digits from which on a text of nothing else is searched for as a telephone number, however it is written.
const PHONE_DIGITS_MIN: usize = 5;

/// What is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct AttemptFilter {
    pub(super) kind: AttemptKind,
    /// What is searched for, as it was typed.
    pub(super) text: String,
}

/// See [`AttemptFilter`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum AttemptKind {
    #[default]
    All,
    Failed,
    Tests,
}

impl AttemptKind {
    pub(super) const EVERY: [Self; 3] = [Self::All, Self::Failed, Self::Tests];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Failed => "failed",
            Self::Tests => "tests",
        }
    }
}

impl AttemptFilter {
    pub(super) fn of(asked: &ScreenQuery) -> Self {
        let named = |word: &str| AttemptKind::EVERY.into_iter().find(|kind| kind.word() == word);
        let text = asked.value(TEXT).unwrap_or_default().trim().chars().take(TEXT_MAX).collect();
        Self { kind: asked.value(KIND).and_then(named).unwrap_or_default(), text }
    }

    /// For a file's name; nothing where all are listed.
    pub(super) fn word(&self) -> Option<&'static str> {
        (self.kind != AttemptKind::All).then(|| self.kind.word())
    }

    pub(super) fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// What stands behind the `?` of an address that asks for the same.
    pub(super) fn query(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair(KIND, self.kind.word())
            .append_pair(TEXT, &self.text)
            .finish()
    }

    pub(super) fn shows(&self, attempt: &Attempt) -> bool {
        let fits = match self.kind {
            AttemptKind::All => true,
            AttemptKind::Failed => attempt.error.is_some(),
            AttemptKind::Tests => attempt.trigger.is_asked_for(),
        };
        fits && (self.text.is_empty() || self.is_found_in(attempt))
    }

    /// The ids, and every string and number of the message: phones, names and the text are among them.
    fn is_found_in(&self, attempt: &Attempt) -> bool {
        let wanted = self.text.to_lowercase();
        let phone = phone(&wanted);
        let holds = |text: &str| {
            text.to_lowercase().contains(&wanted) || phone.as_ref().is_some_and(|phone| digits(text).contains(phone))
        };
        let message = attempt.request.message.as_ref();
        let message =
            message.and_then(|message| serde_json::from_slice::<Value>(&without_halves(message.bytes())).ok());
        holds(&attempt.message_id) || holds(&attempt.webhook_id) || message.is_some_and(|message| any(&message, &holds))
    }
}

fn any(value: &Value, holds: &impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(text) => holds(text),
        Value::Number(number) => holds(&number.to_string()),
        Value::Array(items) => items.iter().any(|item| any(item, holds)),
        Value::Object(members) => members.values().any(|member| any(member, holds)),
        Value::Null | Value::Bool(_) => false,
    }
}

/// The digits of what can be a telephone number.
fn phone(text: &str) -> Option<String> {
    let is_phone = text.chars().all(|c| c.is_ascii_digit() || " +-()./".contains(c));
    let digits = digits(text);
    (is_phone && digits.len() >= PHONE_DIGITS_MIN).then_some(digits)
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::message::{EntryId, RawMessage};
    use crate::workspace::Time;
    use crate::workspace::event::{AttemptError, ErrorKind, Request, Trigger};

    fn attempt(trigger: Trigger, failed: bool) -> Attempt {
        let text = r#"{"message_id":"m-1","contact":{"phone":"+44 7700 900101"},"text":"Gr\u00fc\u00dfe aus K\u00f6ln\ud83d","n":17,"\ude00":1}"#;
        let error = AttemptError { kind: ErrorKind::Timeout, detail: "late".to_owned() };
        Attempt {
            at: Time::from_unix_ms(0),
            trigger,
            entry: EntryId { ms: 1, n: 0 },
            message_id: "m-1".into(),
            webhook_id: "msg_0_1-0".into(),
            config: 1,
            errors: None,
            duration_ms: 1,
            error: failed.then_some(error),
            request: Request {
                url: "https://crm.example/".into(),
                headers: Arc::default(),
                message: Some(RawMessage::from_stored(text.as_bytes().to_vec().into()).unwrap()),
            },
            response: None,
        }
    }

    fn filter(query: &str) -> AttemptFilter {
        AttemptFilter::of(&ScreenQuery::of(Some(query)))
    }

    #[test]
    fn attempts_are_listed_by_kind_and_by_what_they_hold() {
        let (message, failed, test) =
            (attempt(Trigger::Message, false), attempt(Trigger::Message, true), attempt(Trigger::Test, false));
        let again = attempt(Trigger::Again, true);
        for (query, shown) in [
            ("", [true, true, true, true]),
            ("filter=all&q=", [true, true, true, true]),
            ("filter=odd", [true, true, true, true]),
            ("filter=failed", [false, true, false, true]),
            ("filter=tests", [false, false, true, true]),
            ("filter=failed&q=gr%C3%BC%C3%9Fe", [false, true, false, true]),
        ] {
            let filter = filter(query);
            assert_eq!([&message, &failed, &test, &again].map(|one| filter.shows(one)), shown, "{query}");
        }
        for found in [
            "M-1",
            "msg_0_1",
            "k\u{f6}ln",
            "+447700900101",
            "(07700) 900 101".trim_start_matches("(0"),
            "7700-900-101",
            "17",
        ] {
            assert!(AttemptFilter { text: found.to_owned(), ..AttemptFilter::default() }.shows(&message), "{found}");
        }
        for other in ["m-2", "crm.example", "447700900102", "0101 8"] {
            assert!(!AttemptFilter { text: other.to_owned(), ..AttemptFilter::default() }.shows(&message), "{other}");
        }
        assert_eq!(filter("q=a%26b&filter=tests").query(), "filter=tests&q=a%26b");
    }
}
