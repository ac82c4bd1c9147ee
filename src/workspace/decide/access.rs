//! Tokens and sessions: made, ended, who looked at the secret, and who asked for a test mail.

use crate::workspace::access::{Deed, EndedBefore, TokenEnded, TokenRecord};
use crate::workspace::command::{Refusal, TokenGrant};
use crate::workspace::event::{Event, TokensRevoked};
use crate::workspace::policy::{MAIL_LIMIT_SPAN, TEST_MAILS_PER_DAY_MAX};
use crate::workspace::state::State;
use crate::workspace::time::Time;

/// Ends every token of the workspace that there is. Whether there is one is not known: none is stored.
#[must_use]
pub fn revoke_tokens(by: &str, now: Time) -> Vec<Event> {
    vec![Event::TokensRevoked(TokensRevoked { at: now, by: by.to_owned() })]
}

/// A token was made; it opens the workspace for as long as it says, if it is given to anybody.
///
/// # Errors
/// [`Refusal::TooManyTokens`]: as many as are remembered are not over yet.
pub fn make_token(state: &State, grant: &TokenGrant, by: &str, now: Time) -> Result<Vec<Event>, Refusal> {
    if !state.access.has_room_for_token(now) {
        return Err(Refusal::TooManyTokens);
    }
    let TokenGrant { id, subject, until } = grant.clone();
    let made = TokenRecord { id, subject, at: now, by: by.to_owned(), expires_at: until, ended: None };
    Ok(vec![Event::TokenMade(made)])
}

/// Ends one token.
///
/// # Errors
/// [`Refusal::NoSuchToken`]: it is not known, or has ended.
pub fn end_token(state: &State, id: &str, by: &str, now: Time) -> Result<Vec<Event>, Refusal> {
    if !state.access.live_tokens(now).any(|token| token.id == id) {
        return Err(Refusal::NoSuchToken);
    }
    Ok(vec![Event::TokenEnded(TokenEnded { at: now, by: by.to_owned(), id: id.to_owned() })])
}

/// Ends one session. One that has ended takes no second place.
#[must_use]
pub fn end_session(state: &State, session: &EndedBefore) -> Vec<Event> {
    let is_over = state.access.has_ended_session(&session.id, session.began);
    if is_over { Vec::new() } else { vec![Event::SessionEnded(session.clone())] }
}

/// Somebody looks at the secret.
#[must_use]
pub fn note_view(by: &str, now: Time) -> Vec<Event> {
    vec![Event::SecretViewed(Deed { at: now, by: by.to_owned() })]
}

/// Takes one of the test mails that a day has.
///
/// # Errors
/// [`Refusal::TooManyTestMails`].
pub fn take_test_mail(state: &State, by: &str, now: Time) -> Result<Vec<Event>, Refusal> {
    let recent = state.test_mails.iter().filter(|at| now.since(**at) < MAIL_LIMIT_SPAN);
    if recent.count() >= TEST_MAILS_PER_DAY_MAX {
        return Err(Refusal::TooManyTestMails);
    }
    Ok(vec![Event::TestMailTaken(Deed { at: now, by: by.to_owned() })])
}
