//! What follows from a command, an outcome, a mail's end: one function each, all pure.
//!
//! The caller folds the returned events into its state with [`State::evolve`] at once and makes them
//! durable in one commit, together with the entries that they settle.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::{Change, Refusal, Save};
use super::confidential::Confidential;
use super::event::{
    Attempt, AttemptError, ErrorKind, Event, Forgotten, MailEnded, MailState, MessagesSkipped, SecretRotated,
    TokensRevoked, Trigger, WebhookDisabled, WebhookSaved,
};
use super::headers::{self, HEADERS_BYTES_MAX, HEADERS_MAX, HeaderChange, HeaderName, Headers};
use super::policy::{Counting, MAIL_LIMIT_SPAN, MAILS_PER_DAY_MAX, Policy, SECRET_OVERLAP, TEST_INTERVAL};
use super::state::State;
use super::time::Time;
use crate::message::EntryId;

/// Who saves, when, and what the outside world has to add.
#[derive(Debug, Clone)]
pub struct SaveContext<'a> {
    /// When.
    pub at: Time,
    /// Who: the subject of the token.
    pub by: &'a str,
    /// Taken as the signing secret when there is none yet.
    pub fresh_secret: &'a Confidential,
    /// Whether the owed mail is being handed to the mail server right now: then it is not dropped.
    pub mail_begun: bool,
}

/// Save: `WebhookSaved`, and `MailDropped` when a mail is owed whose sending has not begun.
///
/// # Errors
/// [`Refusal::EnabledWithoutUrl`], [`Refusal::NoHeaderValue`], [`Refusal::TooManyHeaders`].
pub fn save(state: &State, save: &Save, context: &SaveContext<'_>) -> Result<Vec<Event>, Refusal> {
    let webhook = &state.webhook;
    let enabled = save.enabled.unwrap_or(save.url.is_some());
    if enabled && save.url.is_none() {
        return Err(Refusal::EnabledWithoutUrl);
    }
    let owner_email = match &save.owner_email {
        Change::Keep => webhook.owner_email.clone(),
        Change::Clear => None,
        Change::Set(address) => Some(address.clone()),
    };
    let headers = headers_after(&webhook.headers, &save.headers)?;
    let saved = Event::WebhookSaved(WebhookSaved {
        at: context.at,
        by: context.by.to_owned(),
        url: save.url.as_deref().map(Arc::from),
        enabled,
        owner_email,
        secret: webhook.secret.as_ref().unwrap_or(context.fresh_secret).clone(),
        changed_headers: headers::changed(&webhook.headers, &headers),
        headers,
    });
    let owed = state.mail.as_ref().filter(|mail| mail.state == MailState::Owed && !context.mail_begun);
    let dropped = owed.map(|mail| {
        Event::MailDropped(MailEnded {
            at: context.at,
            disabled: mail.disabled,
            detail: Some("the webhook was saved before the mail was sent".to_owned()),
        })
    });
    Ok(std::iter::once(saved).chain(dropped).collect())
}

/// The custom headers after a save. Whether they are too many is decided here, where the values that it
/// keeps are known.
fn headers_after(before: &Headers, change: &Change<BTreeMap<HeaderName, HeaderChange>>) -> Result<Headers, Refusal> {
    let changes = match change {
        Change::Keep => return Ok(before.clone()),
        Change::Clear => return Ok(Headers::new()),
        Change::Set(changes) => changes,
    };
    let value = |(name, change): (&HeaderName, &HeaderChange)| {
        let value = match change {
            HeaderChange::Keep => before.get(name).ok_or_else(|| Refusal::NoHeaderValue { name: name.clone() })?,
            HeaderChange::Set(value) => value,
        };
        Ok((name.clone(), value.clone()))
    };
    let after: Headers = changes.iter().map(value).collect::<Result<_, _>>()?;
    if after.len() > HEADERS_MAX || headers::bytes(&after) > HEADERS_BYTES_MAX {
        return Err(Refusal::TooManyHeaders);
    }
    Ok(after)
}

/// A new signing secret, `fresh`. The present one is signed with too for [`SECRET_OVERLAP`], so that the
/// endpoint can take the new one up meanwhile; one that was rotated out before is not signed with any more.
/// Neither the counter, the window nor the configuration's number moves.
///
/// # Errors
/// [`Refusal::NoSecret`].
pub fn rotate(state: &State, now: Time, by: &str, fresh: &Confidential) -> Result<Vec<Event>, Refusal> {
    if state.webhook.secret.is_none() {
        return Err(Refusal::NoSecret);
    }
    let previous_until = now.plus(SECRET_OVERLAP);
    Ok(vec![Event::SecretRotated(SecretRotated { at: now, by: by.to_owned(), secret: fresh.clone(), previous_until })])
}

/// Ends every token of the workspace that there is. Whether there is one, nobody knows: none is kept.
#[must_use]
pub fn revoke_tokens(by: &str, now: Time) -> Vec<Event> {
    vec![Event::TokensRevoked(TokensRevoked { at: now, by: by.to_owned() })]
}

/// Forget: nothing when there is nothing to forget.
#[must_use]
pub fn forget(state: &State, by: &str, now: Time) -> Option<Event> {
    let holds_anything = *state != state.emptied();
    holds_anything.then(|| Event::Forgotten(Forgotten { at: now, by: by.to_owned() }))
}

/// Whether a test may begin now; asked before anything of the command is applied.
///
/// # Errors
/// [`Refusal::TestUnderWay`], [`Refusal::TestTooSoon`].
pub fn test_allowed(state: &State, now: Time) -> Result<(), Refusal> {
    if state.test.is_some() {
        return Err(Refusal::TestUnderWay);
    }
    // A clock that was set back must not lock tests out until it has caught up.
    match state.tested_at {
        Some(last) if last <= now && now.since(last) < TEST_INTERVAL => Err(Refusal::TestTooSoon),
        _ => Ok(()),
    }
}

/// The outcome of an attempt, of either trigger. `attempt.errors` comes in empty and is decided
/// here; the 11th error in a row adds `WebhookDisabled`. `now` is when the outcome was known.
///
/// Nothing for a test that is not under way: a load has already logged it as interrupted. Nothing for
/// an attempt that began before the workspace was forgotten.
#[must_use]
pub fn outcome(state: &State, mut attempt: Attempt, now: Time, policy: &Policy) -> Vec<Event> {
    let webhook = &state.webhook;
    if attempt.config <= state.forgotten {
        return Vec::new();
    }
    let counts = match attempt.trigger {
        Trigger::Message => webhook.enabled && attempt.config == webhook.config,
        Trigger::Test => {
            if state.test.as_ref().is_none_or(|test| test.attempt.webhook_id != attempt.webhook_id) {
                return Vec::new();
            }
            false
        }
    };
    if attempt.error.is_none() {
        let after = match policy.counting {
            Counting::Consecutive => 0,
            Counting::SinceSaved => state.errors,
        };
        attempt.errors = counts.then_some(after);
        return vec![Event::AttemptDelivered(Box::new(attempt))];
    }
    attempt.errors = counts.then(|| state.errors.saturating_add(1));
    let too_many = attempt.errors.filter(|errors| *errors > policy.error_limit);
    let disabled = too_many.map(|errors| {
        Event::WebhookDisabled(WebhookDisabled { at: now, errors, mail: mail_of_disable(state, now, policy) })
    });
    std::iter::once(Event::AttemptFailed(Box::new(attempt))).chain(disabled).collect()
}

/// What becomes of the mail of a switch-off. What no change of the workspace could mend comes first.
fn mail_of_disable(state: &State, now: Time, policy: &Policy) -> MailState {
    let recent = state.mails.iter().filter(|owed| now.since(**owed) < MAIL_LIMIT_SPAN).count();
    if !policy.mail_server {
        MailState::NoMailServer
    } else if state.webhook.owner_email.is_none() {
        MailState::NoAddress
    } else if recent >= MAILS_PER_DAY_MAX {
        MailState::Limited
    } else {
        MailState::Owed
    }
}

/// A test that a crash interrupted: asked once after a load. The attempt is logged as failed,
/// kind `interrupted`.
#[must_use]
pub fn interrupted(state: &State, now: Time) -> Option<Event> {
    let test = state.test.as_ref()?;
    let mut attempt = test.attempt.clone();
    attempt.error = Some(AttemptError {
        kind: ErrorKind::Interrupted,
        detail: format!("the service stopped during this test and came back at {now}; whether it was sent is unknown"),
    });
    Some(Event::AttemptFailed(Box::new(attempt)))
}

/// Messages whose turn came while the webhook was off. `entries` is not empty.
#[must_use]
pub fn skip(entries: &[EntryId], now: Time) -> Option<Event> {
    let newest = *entries.iter().max()?;
    let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    Some(Event::MessagesSkipped(MessagesSkipped { at: now, count, newest }))
}

/// What the mail server made of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MailResult {
    /// Taken.
    Sent,
    /// Refused for good.
    Refused(String),
    /// Away, or "later": still owed until 24 h have passed.
    Later(String),
}

/// The end, or the delay, of the mail that the `WebhookDisabled` with seq `disabled` owed. Nothing
/// when that mail is not owed any more, or the workspace was forgotten meanwhile.
///
/// A mail that was on its way when a save came is recorded as it ended; it is not tried again, since
/// that save would have dropped it (CONTRACT section 3).
#[must_use]
pub fn mail(state: &State, disabled: u64, result: MailResult, now: Time) -> Option<Event> {
    if disabled <= state.forgotten {
        return None;
    }
    // A mail of an earlier streak is known here only while it is on its way, so it is still owed.
    let mail = state.mail.as_ref().filter(|mail| match mail.disabled.cmp(&disabled) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => mail.state == MailState::Owed,
        std::cmp::Ordering::Greater => true,
    })?;
    // A save and a switch-off never share a seq.
    let saved_since = state.webhook.config.cmp(&disabled).is_gt();
    let ended = |detail| MailEnded { at: now, disabled, detail };
    Some(match result {
        MailResult::Sent => Event::OwnerNotified(ended(None)),
        MailResult::Refused(why) => Event::MailGivenUp(ended(Some(why))),
        MailResult::Later(why) if saved_since => Event::MailDropped(ended(Some(why))),
        MailResult::Later(why) if now.since(mail.at) >= MAIL_LIMIT_SPAN => Event::MailGivenUp(ended(Some(why))),
        MailResult::Later(why) => Event::MailDeferred(ended(Some(why))),
    })
}
