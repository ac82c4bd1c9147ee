//! What follows from a command, an outcome, a mail's end: one function each, all pure.
//!
//! The caller applies the returned events to its state with [`State::evolve`] at once and makes them
//! durable in one commit, together with the entries that they settle.

mod access;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::command::{Change, Refusal, Save};
use super::confidential::Confidential;
use super::event::{
    Attempt, AttemptError, ErrorKind, Event, Forgotten, LogDropped, MailEnded, MailId, MailKind, MailOwed, MailState,
    MessagesDiscarded, MessagesSkipped, SecretRotated, Trigger, WebhookDisabled, WebhookSaved,
};
use super::headers::{self, CustomHeaders, HEADERS_BYTES_MAX, HEADERS_MAX, HeaderChange, HeaderName};
use super::history::SERVICE;
use super::owner_address;
use super::policy::{
    Counting, MAIL_LIMIT_SPAN, MAILS_PER_DAY_MAX, OTHER_MAILS_PER_DAY_MAX, Policy, SECRET_OVERLAP_MAX, TEST_INTERVAL,
    WARNING_ERRORS,
};
use super::state::{State, Webhook};
use super::time::Time;
use crate::message::EntryId;

pub use access::{end_session, end_token, make_token, note_view, revoke_tokens, take_test_mail};

/// Who saves, when, and what the outside world has to add.
#[derive(Debug, Clone)]
pub struct SaveContext<'a> {
    /// When.
    pub at: Time,
    /// Who: the subject of the token.
    pub by: &'a str,
    /// Taken as the signing secret when there is none yet.
    pub fresh_secret: &'a Confidential,
    /// The mails that are being handed to the mail server right now: those are not dropped.
    pub mails_begun: &'a [MailId],
    /// Whether a mail can be sent.
    pub mail_server: bool,
}

/// Whether the webhook still is what the caller saw, where the caller says what that was. Asked before anything of the
/// command is applied, so that of two saves of one revision only the first is.
///
/// # Errors
/// [`Refusal::ChangedMeanwhile`].
pub fn unchanged(state: &State, if_match: Option<&[u64]>) -> Result<(), Refusal> {
    let is_seen = if_match.is_none_or(|seen| seen.contains(&state.webhook.revision()));
    if is_seen { Ok(()) } else { Err(Refusal::ChangedMeanwhile) }
}

/// Save: `WebhookSaved`, and `MailDropped` for each mail that is owed and whose sending has not begun:
/// who saves looks at the webhook. Nothing where neither the configuration nor a count would change.
///
/// # Errors
/// [`Refusal::EnabledWithoutUrl`], [`Refusal::NoHeaderValue`], [`Refusal::HeadersOfAnotherOrigin`],
/// [`Refusal::TooManyHeaders`].
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
    let is_same_origin = match (&webhook.url, &save.url) {
        (Some(before), Some(after)) => headers::same_origin(before, after),
        _ => false,
    };
    let mut headers = headers_after(&webhook.headers, &save.headers)?;
    if save.url.is_none() {
        headers.clear();
    } else if !is_same_origin {
        let kept = kept(&save.headers, &headers);
        if !kept.is_empty() {
            return Err(Refusal::HeadersOfAnotherOrigin { names: kept });
        }
    }
    let saved = WebhookSaved {
        at: context.at,
        by: context.by.to_owned(),
        url: save.url.as_deref().map(Arc::from),
        enabled,
        owner_email,
        secret: webhook.secret.as_ref().unwrap_or(context.fresh_secret).clone(),
        changed_headers: headers::changed(&webhook.headers, &headers),
        headers,
    };
    // Whoever replaces an owner must not keep the owner from knowing by saving once more.
    let is_dropped = |mail: &MailId| mail.kind != MailKind::Replaced && !context.mails_begun.contains(mail);
    let owed = state.owed_mails().filter(is_dropped);
    let dropped = owed.map(|mail| dropped(mail, context.at, "the webhook was saved before the mail was sent"));
    let mut events: Vec<Event> = dropped.collect();
    if events.is_empty() && changes_nothing(state, &saved) {
        return Ok(events);
    }
    let told = replaced(state, &saved, context);
    events.splice(0..0, std::iter::once(Event::WebhookSaved(saved)).chain(told));
    Ok(events)
}

/// The mail to an owner whose address a save replaces or clears: one a day, beside all others. Another spelling of the
/// address replaces nobody.
fn replaced(state: &State, saved: &WebhookSaved, context: &SaveContext<'_>) -> Option<Event> {
    let after = saved.owner_email.as_deref();
    let is_other = |before: &&String| !after.is_some_and(|after| owner_address::is_same(before, after));
    let before = state.webhook.owner_email.as_ref().filter(is_other)?;
    let is_told = state.replaced.as_ref().is_some_and(|mail| context.at.since(mail.at) < MAIL_LIMIT_SPAN);
    if is_told || !context.mail_server {
        return None;
    }
    let replaced = Some((before.clone(), saved.by.clone()));
    Some(Event::MailOwed(MailOwed { at: context.at, kind: MailKind::Replaced, off_since: None, replaced }))
}

/// Whether a save leaves everything as it is: it is not recorded, so that no number of them pushes a change out of
/// the history.
fn changes_nothing(state: &State, saved: &WebhookSaved) -> bool {
    let webhook = &state.webhook;
    let same_configuration = webhook.secret.is_some()
        && (webhook.url == saved.url && webhook.enabled == saved.enabled)
        && (webhook.owner_email == saved.owner_email && webhook.headers == saved.headers);
    same_configuration && !webhook.disabled_by_errors && state.errors == 0 && state.failing_since.is_none()
}

/// The custom headers after a save. Whether they are too many is decided here, where the values that it
/// keeps are known.
fn headers_after(
    before: &CustomHeaders,
    change: &Change<BTreeMap<HeaderName, HeaderChange>>,
) -> Result<CustomHeaders, Refusal> {
    let changes = match change {
        Change::Keep => return Ok(before.clone()),
        Change::Clear => return Ok(CustomHeaders::new()),
        Change::Set(changes) => changes,
    };
    let value = |(name, change): (&HeaderName, &HeaderChange)| {
        let value = match change {
            HeaderChange::Keep => before.get(name).ok_or_else(|| Refusal::NoHeaderValue { name: name.clone() })?,
            HeaderChange::Set(value) => value,
        };
        Ok((name.clone(), value.clone()))
    };
    let after: CustomHeaders = changes.iter().map(value).collect::<Result<_, _>>()?;
    if after.len() > HEADERS_MAX || headers::bytes(&after) > HEADERS_BYTES_MAX {
        return Err(Refusal::TooManyHeaders);
    }
    Ok(after)
}

/// Of the headers `after` a save, the names of those whose value was not sent with it, in order.
fn kept(change: &Change<BTreeMap<HeaderName, HeaderChange>>, after: &CustomHeaders) -> Vec<HeaderName> {
    let sent = |name: &HeaderName| matches!(change, Change::Set(changes) if matches!(changes.get(name), Some(HeaderChange::Set(_))));
    after.keys().filter(|name| !sent(name)).cloned().collect()
}

/// A new signing secret, `fresh`. The present one is signed with too for `overlap`, so that the
/// endpoint can take the new one up meanwhile; one that was rotated out before is not signed with any more.
/// Neither the counter, the window nor the configuration's number moves.
///
/// # Errors
/// [`Refusal::NoSecret`].
pub fn rotate(
    state: &State,
    now: Time,
    by: &str,
    fresh: &Confidential,
    overlap: Duration,
) -> Result<Vec<Event>, Refusal> {
    if state.webhook.secret.is_none() {
        return Err(Refusal::NoSecret);
    }
    let previous_until = now.plus(overlap.min(SECRET_OVERLAP_MAX));
    let configuration = Some(state.webhook.configuration());
    let (by, secret) = (by.to_owned(), fresh.clone());
    Ok(vec![Event::SecretRotated(SecretRotated { at: now, by, secret, previous_until, configuration })])
}

/// Discards what waits: every message up to the entry `up_to` that was not attempted yet.
#[must_use]
pub fn discard(by: &str, up_to: EntryId, now: Time) -> Vec<Event> {
    vec![Event::MessagesDiscarded(MessagesDiscarded { at: now, by: by.to_owned(), up_to })]
}

/// Forget: nothing when there is nothing to forget.
#[must_use]
pub fn forget(state: &State, by: &str, now: Time) -> Option<Event> {
    let holds_anything = *state != state.emptied();
    holds_anything.then(|| Event::Forgotten(Forgotten { at: now, by: by.to_owned() }))
}

/// Whether nothing was attempted or skipped since `before`, and something of it is kept.
#[must_use]
pub fn is_log_older(state: &State, before: Time) -> bool {
    let attempted = state.last_attempt.as_ref().map(|attempt| attempt.at);
    let is_kept = attempted.is_some() || state.skipped.newest.is_some();
    let is_made_up = is_made_up(state) && state.skipped.count > 0;
    let last = attempted.max(state.skipped.last_at);
    (is_kept || is_made_up) && state.test.is_none() && last.is_some_and(|last| last < before)
}

/// Whether nothing but messages is known of it: nobody saved, nothing was attempted.
fn is_made_up(state: &State) -> bool {
    state.seq == 0 && state.webhook == Webhook::default()
}

/// Drops a log in which nothing is younger than `before`. Of a workspace that only a producer named nothing stays.
#[must_use]
pub fn drop_log(state: &State, before: Time, now: Time) -> Option<Event> {
    is_log_older(state, before).then(|| {
        if is_made_up(state) {
            Event::Forgotten(Forgotten { at: now, by: SERVICE.to_owned() })
        } else {
            Event::LogDropped(LogDropped { at: now })
        }
    })
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

/// Whether the attempt with that seq may be sent again now.
///
/// # Errors
/// [`Refusal::NoSuchAttempt`] where the workspace was forgotten since, and those of [`test_allowed`].
pub fn again_allowed(state: &State, attempt: u64, now: Time) -> Result<(), Refusal> {
    if attempt <= state.forgotten || attempt > state.seq {
        return Err(Refusal::NoSuchAttempt);
    }
    test_allowed(state, now)
}

/// The outcome of an attempt, of any trigger. `attempt.errors` comes in empty and is decided
/// here; the 11th error in a row adds `WebhookDisabled`. `now` is when the outcome was known. The 5th
/// error, and the first success after a switch-off by errors, add `MailOwed` where `policy` says so.
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
        Trigger::Test | Trigger::Again => {
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
        let off_since = state.recovering.filter(|_| counts && policy.mail_recovered);
        let recovered = off_since.and_then(|_| other_mail(state, MailKind::Recovered, off_since, now, policy));
        return std::iter::once(Event::AttemptDelivered(Box::new(attempt))).chain(recovered).collect();
    }
    attempt.errors = counts.then(|| state.errors.saturating_add(1));
    let too_many = attempt.errors.filter(|errors| *errors > policy.error_limit);
    let is_warned = policy.mail_warning && too_many.is_none() && attempt.errors == Some(WARNING_ERRORS);
    let told = match too_many {
        Some(errors) => {
            let mail = mail_state(state, MAILS_PER_DAY_MAX, now, policy);
            Some(Event::WebhookDisabled(WebhookDisabled { at: now, errors, mail }))
        }
        None if is_warned => other_mail(state, MailKind::Warning, None, now, policy),
        None => None,
    };
    std::iter::once(Event::AttemptFailed(Box::new(attempt))).chain(told).collect()
}

/// A message's attempt that failed for a fault of ours: logged, and not counted. Nothing for one that began before the
/// workspace was forgotten.
#[must_use]
pub fn excused(state: &State, attempt: Attempt) -> Vec<Event> {
    if attempt.config <= state.forgotten {
        return Vec::new();
    }
    vec![Event::AttemptFailed(Box::new(Attempt { errors: None, ..attempt }))]
}

/// A mail that tells something else than a switch-off: nothing is said of one that cannot be sent.
fn other_mail(state: &State, kind: MailKind, off_since: Option<Time>, now: Time, policy: &Policy) -> Option<Event> {
    let owed = mail_state(state, OTHER_MAILS_PER_DAY_MAX, now, policy) == MailState::Owed;
    owed.then_some(Event::MailOwed(MailOwed { at: now, kind, off_since, replaced: None }))
}

/// What becomes of a mail when there may be at most `per_day` in [`MAIL_LIMIT_SPAN`]. What no change of
/// the workspace could mend comes first.
fn mail_state(state: &State, per_day: usize, now: Time, policy: &Policy) -> MailState {
    let recent = state.mails.iter().filter(|owed| now.since(**owed) < MAIL_LIMIT_SPAN).count();
    if !policy.mail_server {
        MailState::NoMailServer
    } else if state.webhook.owner_email.is_none() {
        MailState::NoAddress
    } else if recent >= per_day {
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
    /// It was told as a whole, and nobody knows whether it was taken: still owed as well.
    Unknown(String),
    /// Other mails were being handed over: it was not begun.
    NotBegun,
}

/// What is done with a mail when its turn has come.
#[derive(Debug, Clone, PartialEq)]
pub enum MailTurn {
    /// It is handed over.
    Send,
    /// It is not owed any more; the event that says so, if one is due.
    Over(Option<Event>),
}

/// Whether a mail is sent now that its turn has come.
#[must_use]
pub fn mail_turn(state: &State, id: MailId, now: Time) -> MailTurn {
    let known = state.mail(id.kind).filter(|mail| mail.owed_by == id.owed_by);
    match known {
        // The event that ended it says so.
        Some(mail) if mail.state != MailState::Owed => MailTurn::Over(None),
        // It was begun when the save came, and ended without a word of the mail server.
        Some(_) if saved_since(state, id) => {
            MailTurn::Over(Some(dropped(id, now, "the webhook was saved before the mail was sent")))
        }
        Some(_) => match pointless(state, id.kind) {
            Some(why) => MailTurn::Over(Some(dropped(id, now, why))),
            None => MailTurn::Send,
        },
        None if id.owed_by <= state.forgotten => MailTurn::Over(None),
        // A later one became owed while it was put off, or a crash left it in the outbox.
        None => MailTurn::Over(Some(dropped(id, now, "a later mail took its place"))),
    }
}

/// Why a mail that is owed would tell what is not so any more. That of a switch-off ends with a save.
fn pointless(state: &State, kind: MailKind) -> Option<&'static str> {
    let is_on = state.webhook.enabled;
    match kind {
        MailKind::Disabled | MailKind::Replaced => None,
        MailKind::Warning if is_on && state.errors >= WARNING_ERRORS => None,
        MailKind::Warning => Some("the streak of errors ended before the mail was sent"),
        MailKind::Recovered if is_on => None,
        MailKind::Recovered => Some("the webhook was off again before the mail was sent"),
    }
}

/// Whether a save came after what owes the mail, that ends it. The two never share a seq.
fn saved_since(state: &State, id: MailId) -> bool {
    id.kind != MailKind::Replaced && state.webhook.config > id.owed_by
}

fn dropped(mail: MailId, at: Time, why: &str) -> Event {
    Event::MailDropped(MailEnded { at, mail, detail: Some(why.to_owned()) })
}

/// The end, or the delay, of a mail. Nothing when it is not owed any more, or the workspace was
/// forgotten meanwhile.
///
/// A mail that was on its way when a save came is recorded as it ended; it is not tried again, since
/// that save would have dropped it ([contract, section 3](crate::docs::contract#3-the-rules)).
#[must_use]
pub fn mail(state: &State, id: MailId, result: MailResult, now: Time) -> Option<Event> {
    if id.owed_by <= state.forgotten {
        return None;
    }
    // A mail of an earlier streak is known here only while it is on its way, so it is still owed.
    let mail = state.mail(id.kind).filter(|mail| match mail.owed_by.cmp(&id.owed_by) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => mail.state == MailState::Owed,
        std::cmp::Ordering::Greater => true,
    })?;
    let saved_since = saved_since(state, id);
    let ended = |detail| MailEnded { at: now, mail: id, detail };
    Some(match result {
        MailResult::NotBegun => return None,
        MailResult::Sent => Event::OwnerNotified(ended(None)),
        MailResult::Refused(why) => Event::MailGivenUp(ended(Some(why))),
        MailResult::Later(why) | MailResult::Unknown(why) if saved_since => Event::MailDropped(ended(Some(why))),
        MailResult::Later(why) | MailResult::Unknown(why) if now.since(mail.at) >= MAIL_LIMIT_SPAN => {
            Event::MailGivenUp(ended(Some(why)))
        }
        MailResult::Later(why) | MailResult::Unknown(why) => Event::MailDeferred(ended(Some(why))),
    })
}
