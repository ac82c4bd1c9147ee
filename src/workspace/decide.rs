//! What follows from a command, an outcome, a mail's end: one function each, all pure.
//!
//! The caller folds the returned events into its state with [`State::evolve`] at once and makes them
//! durable in one commit, together with the entries that they settle.

use std::sync::Arc;

use super::command::{Refusal, Save};
use super::event::{Attempt, Event};
use super::policy::Policy;
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
    pub fresh_secret: &'a Arc<str>,
    /// Whether the owed mail is being handed to the mail server right now: then it is not dropped.
    pub mail_begun: bool,
}

/// Save: `WebhookSaved`, and `MailDropped` when a mail is owed whose sending has not begun.
///
/// # Errors
/// [`Refusal::EnabledWithoutUrl`].
pub fn save(state: &State, save: &Save, context: &SaveContext<'_>) -> Result<Vec<Event>, Refusal> {
    let _ = (state, save, context);
    unimplemented!()
}

/// Whether a test may begin now; asked before anything of the command is applied.
///
/// # Errors
/// [`Refusal::TestUnderWay`], [`Refusal::TestTooSoon`].
pub fn test_allowed(state: &State, now: Time) -> Result<(), Refusal> {
    let _ = (state, now);
    unimplemented!()
}

/// The outcome of an attempt, of either trigger. `attempt.errors` comes in empty and is decided
/// here; the 11th error in a row adds `WebhookDisabled`. `now` is when the outcome was known.
#[must_use]
pub fn outcome(state: &State, attempt: Attempt, now: Time, policy: &Policy) -> Vec<Event> {
    let _ = (state, attempt, now, policy);
    unimplemented!()
}

/// A test that a crash interrupted: asked once after a load. The attempt is logged as failed,
/// kind `interrupted`.
#[must_use]
pub fn interrupted(state: &State, now: Time) -> Option<Event> {
    let _ = (state, now);
    unimplemented!()
}

/// Messages whose turn came while the webhook was off. `entries` is not empty.
#[must_use]
pub fn skip(entries: &[EntryId], now: Time) -> Option<Event> {
    let _ = (entries, now);
    unimplemented!()
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
/// when that mail is not owed any more.
#[must_use]
pub fn mail(state: &State, disabled: u64, result: MailResult, now: Time) -> Option<Event> {
    let _ = (state, disabled, result, now);
    unimplemented!()
}
