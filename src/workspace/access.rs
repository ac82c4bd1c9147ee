//! What opens a workspace: the tokens that were made, what of it ended before its time, and who looked at the secret.
//!
//! It stands in the snapshot alone, apart from the change history, and each list has a bound of its own, so that
//! nothing of it washes out a change or anything else of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::time::Time;

/// Tokens that are remembered, live or not. A further one takes the place of the oldest whose time is over; where there is none it
/// is not made. One that opens the workspace must be known to be ended, and one that was ended must be known not to open it.
pub const TOKENS_REMEMBERED: usize = 256;
/// How much the clocks of two nodes may differ: so long a token that was ended is remembered beyond its time.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_secs(60 * 60);
/// Sessions that ended before their time and are remembered one by one; beyond it all that began no later than
/// the one that is dropped are over.
pub const SESSIONS_REMEMBERED: usize = 64;
/// Subjects that looked at the secret, each with the last time.
pub const VIEWS_REMEMBERED: usize = 50;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccessRecord {
    /// Tokens, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<TokenRecord>,
    /// Sessions that ended before their time, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ended_sessions: Vec<EndedBefore>,
    /// Sessions that began then or before are over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_after: Option<Time>,
    /// The last look of each subject at the secret, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<Deed>,
}

impl AccessRecord {
    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is left of it once the workspace is forgotten: what ended stays so, and nobody is named.
    pub(super) fn emptied(&self) -> Self {
        let nameless = |token: &TokenRecord| TokenRecord { subject: String::new(), by: String::new(), ..token.clone() };
        let tokens = self.tokens.iter().map(nameless).collect();
        Self { tokens, views: Vec::new(), ..self.clone() }
    }

    /// Whether the token was ended before its time.
    #[must_use]
    pub fn has_ended_token(&self, id: &str) -> bool {
        self.tokens.iter().any(|token| token.id == id && token.ended.is_some())
    }

    /// Whether the session was ended before its time.
    #[must_use]
    pub fn has_ended_session(&self, id: &str, began: Time) -> bool {
        self.sessions_after.is_some_and(|after| began <= after)
            || self.ended_sessions.iter().any(|ended| ended.id == id)
    }

    /// The tokens that open the workspace at `now`, newest first.
    pub fn live_tokens(&self, now: Time) -> impl Iterator<Item = &TokenRecord> {
        self.tokens.iter().rev().filter(move |token| token.ended.is_none() && now < token.expires_at)
    }

    /// Whether `by` looked at the secret at `now` or less than `within` milliseconds before.
    #[must_use]
    pub fn viewed_lately(&self, by: &str, now: Time, within: Duration) -> bool {
        self.views.iter().any(|view| view.by == by && view.at <= now && now.since(view.at) < within)
    }

    /// Whether a further token can be remembered at `now`.
    #[must_use]
    pub fn has_room_for_token(&self, now: Time) -> bool {
        self.tokens.len() < TOKENS_REMEMBERED || self.replaceable(now).is_some()
    }

    /// The oldest token that nobody needs to remember at `now`: its time is over, and where it was ended before, so it is by the clock
    /// of every node. With all others it ended by its generation, whatever a clock says.
    fn replaceable(&self, now: Time) -> Option<usize> {
        let is_over = |old: &TokenRecord| match &old.ended {
            Some(ended) if ended.at < old.expires_at => old.expires_at.plus(CLOCKS_DIFFER_MAX) <= now,
            _ => old.expires_at <= now,
        };
        self.tokens.iter().position(is_over)
    }

    pub(super) fn token_made(&mut self, token: &TokenRecord) {
        if self.tokens.len() >= TOKENS_REMEMBERED {
            self.tokens.remove(self.replaceable(token.at).unwrap_or(0));
        }
        self.tokens.push(token.clone());
    }

    pub(super) fn token_ended(&mut self, ended: &TokenEnded) {
        if let Some(token) = self.tokens.iter_mut().find(|token| token.id == ended.id) {
            token.ended.get_or_insert(Deed { at: ended.at, by: ended.by.clone() });
        }
    }

    pub(super) fn session_ended(&mut self, ended: &EndedBefore) {
        if self.ended_sessions.len() >= SESSIONS_REMEMBERED {
            let dropped = self.ended_sessions.remove(0);
            self.sessions_after = self.sessions_after.max(Some(dropped.began));
        }
        self.ended_sessions.push(ended.clone());
    }

    pub(super) fn viewed(&mut self, view: &Deed) {
        self.views.retain(|known| known.by != view.by);
        if self.views.len() >= VIEWS_REMEMBERED {
            self.views.remove(0);
        }
        self.views.push(view.clone());
    }

    /// Every token has ended: what is remembered of them is who made and ended it, until a new one takes its place.
    pub(super) fn all_ended(&mut self, at: Time, by: &str) {
        for token in &mut self.tokens {
            if at < token.expires_at {
                token.ended.get_or_insert_with(|| Deed { at, by: by.to_owned() });
                token.expires_at = at;
            }
        }
        self.ended_sessions.clear();
        self.sessions_after = None;
    }

    /// What was done, newest first.
    #[must_use]
    pub fn deeds(&self) -> Vec<AccessDeed> {
        let named = self.tokens.iter().filter(|token| !token.by.is_empty());
        let made = named.clone().map(|token| {
            let (at, by) = (token.at, token.by.clone());
            AccessDeed {
                at,
                by,
                action: AccessAction::TokenMade,
                token: Some(token.id.clone()),
                subject: Some(token.subject.clone()),
            }
        });
        let ended = named.filter_map(|token| {
            let Deed { at, by } = token.ended.clone()?;
            Some(AccessDeed {
                at,
                by,
                action: AccessAction::TokenEnded,
                token: Some(token.id.clone()),
                subject: Some(token.subject.clone()),
            })
        });
        let views = self.views.iter().map(|view| {
            let Deed { at, by } = view.clone();
            AccessDeed { at, by, action: AccessAction::SecretViewed, token: None, subject: None }
        });
        let mut deeds: Vec<AccessDeed> = made.chain(ended).chain(views).collect();
        deeds.sort_by_key(|deed| std::cmp::Reverse(deed.at));
        deeds
    }
}

/// Something that was done with what opens the workspace; it changes nothing of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Deed)]
pub struct AccessDeed {
    /// When. Of a subject that looked at the secret several times, the last time.
    pub at: Time,
    /// The subject of the token with which it was done.
    pub by: String,
    /// What was done.
    pub action: AccessAction,
    /// The id of the token that was made or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Who holds that token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessAction {
    /// The signing secret was looked at.
    SecretViewed,
    /// A token was made.
    TokenMade,
    /// A token was ended before its time.
    TokenEnded,
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// When.
    pub at: Time,
    /// Who: the subject of the token.
    pub by: String,
}

/// A token that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its id, as the token says it.
    pub id: String,
    /// Who holds it.
    pub subject: String,
    /// When it was made.
    pub at: Time,
    /// Who made it.
    pub by: String,
    /// When its time is over: by itself, or with all others of the workspace.
    pub expires_at: Time,
    /// When it was ended before its time, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Deed>,
}

/// The end of one token before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEnded {
    /// When.
    pub at: Time,
    /// Who ended it.
    pub by: String,
    /// Its id.
    pub id: String,
}

/// A session that ended before its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedBefore {
    /// Its id.
    pub id: String,
    /// When it began.
    pub began: Time,
    /// When it would have ended by itself: from then on nothing has to be remembered.
    pub until: Time,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time::from_unix_ms(second * 1_000)
    }

    fn token(n: i64, expires: i64) -> TokenRecord {
        let (subject, by) = (format!("holder-{n}"), "admin".to_owned());
        TokenRecord { id: format!("t{n}"), subject, at: at(n), by, expires_at: at(expires), ended: None }
    }

    #[test]
    fn of_too_many_tokens_those_go_first_that_open_nothing() {
        let mut access = AccessRecord::default();
        for n in 0..256 {
            access.token_made(&token(n, if n == 7 { 100 } else { 100_000 }));
        }
        assert!(!access.has_room_for_token(at(99)) && access.has_room_for_token(at(100)));
        access.token_made(&token(256, 100_000));
        assert!(access.tokens.iter().all(|token| token.id != "t7") && access.tokens.len() == 256);
        assert!(!access.has_room_for_token(at(256)));
        // One that was ended would open the workspace again if that were forgotten, where a clock is late.
        access.token_ended(&TokenEnded { at: at(300), by: "ops".to_owned(), id: "t0".to_owned() });
        assert!(!access.has_room_for_token(at(301)));
        let mut other = access.clone();
        other.tokens.truncate(1);
        other.tokens = vec![other.tokens[0].clone(); TOKENS_REMEMBERED];
        assert!(!other.has_room_for_token(at(100_001)) && other.has_room_for_token(at(100_000 + 3_600)));
        access.all_ended(at(302), "admin");
        assert!(access.has_room_for_token(at(302)) && access.live_tokens(at(302)).next().is_none());
        let ended_by = |id: &str| access.tokens.iter().find(|token| token.id == id)?.ended.clone();
        assert_eq!(ended_by("t0"), Some(Deed { at: at(300), by: "ops".to_owned() }));
        assert_eq!(ended_by("t1"), Some(Deed { at: at(302), by: "admin".to_owned() }));
    }

    #[test]
    fn a_session_that_is_forgotten_stays_over_and_so_do_older_ones() {
        let mut access = AccessRecord::default();
        for n in 0..70 {
            access.session_ended(&EndedBefore { id: format!("s{n}"), began: at(n), until: at(1_000) });
        }
        assert!((0..70).all(|n| access.has_ended_session(&format!("s{n}"), at(n))));
        assert!(access.has_ended_session("another", at(5)) && !access.has_ended_session("another", at(6)));
    }

    #[test]
    fn looking_again_and_again_washes_nobody_out() {
        let mut access = AccessRecord::default();
        access.viewed(&Deed { at: at(0), by: "jane".to_owned() });
        for n in 1..200 {
            access.viewed(&Deed { at: at(n), by: "mallory".to_owned() });
        }
        let told: Vec<_> = access.deeds().iter().map(|deed| (deed.by.clone(), deed.at)).collect();
        assert_eq!(told, [("mallory".to_owned(), at(199)), ("jane".to_owned(), at(0))]);
        assert!(access.viewed_lately("mallory", at(200), std::time::Duration::from_secs(60)));
        assert!(!access.viewed_lately("jane", at(200), std::time::Duration::from_secs(60)));
    }
}
