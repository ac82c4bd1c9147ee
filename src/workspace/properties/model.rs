//! One workspace with its stream, driven as its actor drives it, and what its laws need to remember.

use std::collections::{BTreeMap, BTreeSet};

use proptest::sample::Index;

use crate::message::{Chat, EntryId};
use crate::workspace::chat_queues::ChatQueues;
use crate::workspace::command::{Change, Save};
use crate::workspace::confidential::Confidential;
use crate::workspace::decide::{self, MailResult, MailTurn, SaveContext};
use crate::workspace::event::{Attempt, Event, MailId, MailKind, MailState, TestStarted};
use crate::workspace::policy::{
    Counting, MAIL_LIMIT_SPAN, MAILS_PER_DAY_MAX, OTHER_MAILS_PER_DAY_MAX, Policy, SECRET_OVERLAP, WARNING_ERRORS,
};
use crate::workspace::scenario::*;
use crate::workspace::state::{State, Webhook};
use crate::workspace::time::Time;

/// What may happen next.
#[derive(Debug, Clone)]
pub(super) enum Op {
    /// The producer appends messages of these chats.
    Append(Vec<u8>),
    /// So many of the oldest entries in the stream that are not in memory arrive, backwards or not.
    Arrive { count: usize, backwards: bool },
    /// So many entries have their turn.
    Turns(usize),
    /// An attempt in flight ends.
    End { which: Index, delivered: bool },
    /// Our own system could not make an attempt.
    PutBack(Index),
    /// Memory is short.
    GiveBack(usize),
    /// The actor is made anew; what is in flight goes on.
    Reload,
    /// An operator saves.
    Save { enabled: bool, mail_begun: bool, owner: bool },
    /// An operator rotates the secret.
    Rotate,
    /// An operator revokes the tokens.
    Revoke,
    /// An operator tests, and the test ends or the service stops meanwhile.
    Test { delivered: bool, interrupted: bool },
    /// An operator has the workspace forgotten.
    Forget,
    /// The mail server says something about the oldest mail.
    Mail(u8),
    /// Time passes.
    Wait(u32),
}

/// One workspace with its stream, and what its laws need to remember.
pub(super) struct WorkspaceModel {
    policy: Policy,
    now: i64,
    /// The stream: every entry that is not settled.
    stream: BTreeMap<EntryId, Chat>,
    appended: u64,
    held: BTreeSet<EntryId>,
    flying: Vec<Attempt>,
    /// The last settled entry of each chat.
    settled: BTreeMap<Chat, EntryId>,
    settled_count: u64,
    chat_queues: ChatQueues<EntryId>,
    pub(super) state: State,
    pub(super) events: Vec<Event>,
    /// Attempts with the present configuration, and whether one has succeeded.
    pub(super) attempts_since_save: u32,
    success_since_save: bool,
    pub(super) disabled_since_save: u32,
    /// Mails that became owed and have not ended.
    owed: BTreeSet<MailId>,
    last_owed: Option<MailId>,
    /// Mails that became owed in the present streak, and since the last switch-off.
    warnings: u32,
    recovered: u32,
}

impl WorkspaceModel {
    pub(super) fn new(policy: Policy) -> Self {
        Self {
            policy,
            now: 0,
            stream: BTreeMap::new(),
            appended: 0,
            held: BTreeSet::new(),
            flying: Vec::new(),
            settled: BTreeMap::new(),
            settled_count: 0,
            chat_queues: ChatQueues::default(),
            state: State::default(),
            events: Vec::new(),
            attempts_since_save: 0,
            success_since_save: false,
            disabled_since_save: 0,
            owed: BTreeSet::new(),
            last_owed: None,
            warnings: 0,
            recovered: 0,
        }
    }

    pub(super) fn step(&mut self, op: Op) {
        // A workspace may hibernate at any moment.
        if self.chat_queues.is_empty() {
            self.chat_queues = ChatQueues::with(self.chat_queues.learned_window());
        }
        self.now += 1;
        match op {
            Op::Append(chats) => self.append(&chats),
            Op::Arrive { count, backwards } => self.arrive(count, backwards),
            Op::Turns(count) => (0..count).for_each(|_| self.turn()),
            Op::End { which, delivered } if !self.flying.is_empty() => {
                self.end(which.index(self.flying.len()), delivered);
            }
            Op::PutBack(which) if !self.flying.is_empty() => self.put_back(which.index(self.flying.len())),
            Op::End { .. } | Op::PutBack(_) => {}
            Op::GiveBack(keep) => self.give_back(keep),
            Op::Reload => self.reload(),
            Op::Save { enabled, mail_begun, owner } => self.save(enabled, mail_begun, owner),
            Op::Rotate => self.rotate(),
            Op::Revoke => self.revoke(),
            Op::Test { delivered, interrupted } => self.test(delivered, interrupted),
            Op::Forget => self.forget(),
            Op::Mail(result) => self.mail(result),
            Op::Wait(ms) => self.now += i64::from(ms),
        }
        self.check();
    }

    pub(super) fn append(&mut self, chats: &[u8]) {
        for chat in chats {
            self.appended += 1;
            self.stream.insert(entry(self.appended), Chat(u64::from(*chat)));
        }
    }

    fn arrive(&mut self, count: usize, backwards: bool) {
        let missing = self.stream.iter().filter(|(entry, _)| !self.held.contains(entry)).take(count);
        let mut arrived: Vec<(EntryId, Chat)> = missing.map(|(entry, chat)| (*entry, *chat)).collect();
        if backwards {
            arrived.reverse();
        }
        for (entry, chat) in arrived {
            self.held.insert(entry);
            self.chat_queues.offer(entry, chat, entry);
        }
    }

    fn turn(&mut self) {
        let Some(next) = self.chat_queues.next() else { return };
        let chat = self.stream[&next];
        let oldest = self.held.iter().find(|held| self.stream[*held] == chat);
        assert_eq!(oldest, Some(&next), "the oldest of its chat, with none before it in flight");
        if !self.state.webhook.enabled {
            self.chat_queues.skip(next);
            let skipped = decide::skip(&[next], at(self.now));
            self.take(skipped);
            self.settle(next);
        } else if self.chat_queues.has_room(&self.state, &self.policy) {
            let config = self.state.webhook.config;
            self.chat_queues.begin(next, config);
            self.attempts_since_save += 1;
            self.flying.push(Attempt { at: at(self.now), entry: next, config, ..success(1) });
        }
    }

    fn end(&mut self, which: usize, delivered: bool) {
        let flown = self.flying.remove(which);
        let entry = flown.entry;
        let config = flown.config;
        let attempt = if delivered { flown } else { Attempt { error: failure(1).error, ..flown } };
        let before = self.state.clone();
        let events = decide::outcome(&self.state, attempt, at(self.now), &self.policy);
        let counted = events.iter().filter_map(Event::attempt).any(|attempt| attempt.errors.is_some());
        assert_eq!(events.is_empty(), config <= before.forgotten, "what was forgotten leaves no trace");
        assert_eq!(counted, before.webhook.enabled && before.webhook.config == config);
        self.success_since_save |= counted && delivered;
        self.take(events);
        if counted && delivered && self.policy.counting == Counting::Consecutive {
            self.warnings = 0;
        }
        if !counted {
            let after = State { seq: before.seq, last_attempt: before.last_attempt.clone(), ..self.state.clone() };
            assert_eq!(after, before, "an outcome that does not count is only logged");
        }
        self.chat_queues.end(entry, delivered, counted, &self.state, &self.policy);
        self.settle(entry);
    }

    fn put_back(&mut self, which: usize) {
        let attempt = self.flying.remove(which);
        self.chat_queues.put_back(attempt.entry);
        if attempt.config == self.state.webhook.config {
            self.attempts_since_save -= 1;
        }
    }

    fn give_back(&mut self, keep: usize) {
        let given = self.chat_queues.give_back(keep);
        assert!(given.is_sorted() && self.chat_queues.waiting() <= keep);
        given.iter().for_each(|entry| assert!(self.held.remove(entry)));
    }

    fn reload(&mut self) {
        self.chat_queues = ChatQueues::default();
        self.held.clear();
        for attempt in &self.flying {
            self.held.insert(attempt.entry);
            self.chat_queues.adopt(attempt.entry, self.stream[&attempt.entry], attempt.config, attempt.entry);
        }
    }

    pub(super) fn save(&mut self, enabled: bool, mail_begun: bool, owner: bool) {
        let owner_email = if owner { Change::Set(OWNER.to_owned()) } else { Change::Keep };
        let save = Save { url: Some(URL.to_owned()), enabled: Some(enabled), owner_email, ..Save::default() };
        let begun: Vec<MailId> = if mail_begun { self.state.owed_mails().collect() } else { Vec::new() };
        let context = SaveContext {
            at: at(self.now),
            by: "ops",
            fresh_secret: &fresh_secret(),
            mails_begun: &begun,
            mail_server: false,
        };
        let events = decide::save(&self.state, &save, &context).unwrap();
        // What changes nothing makes no configuration: what is in flight still counts.
        if !events.is_empty() {
            (self.attempts_since_save, self.success_since_save, self.disabled_since_save) = (0, false, 0);
            self.warnings = 0;
        }
        self.take(events);
        assert_eq!((self.state.errors, self.state.webhook.enabled), (0, enabled));
    }

    fn rotate(&mut self) {
        let before = self.state.clone();
        let fresh = Confidential::from(format!("whsec_{}", before.seq));
        let Ok(events) = decide::rotate(&self.state, at(self.now), "ops", &fresh, SECRET_OVERLAP) else {
            return assert_eq!(before.webhook.secret, None, "it was forgotten and not saved since");
        };
        self.take(events);
        let Webhook { secret, previous_secret, .. } = self.state.webhook.clone();
        let webhook = Webhook { secret, previous_secret, ..before.webhook.clone() };
        assert_eq!(State { seq: before.seq + 1, webhook, ..before.clone() }, self.state);
        let expected = [fresh].into_iter().chain(before.webhook.secret).collect::<Vec<_>>();
        assert_eq!(self.state.webhook.secrets(at(self.now)).cloned().collect::<Vec<_>>(), expected);
    }

    fn revoke(&mut self) {
        let before = self.state.clone();
        self.take(decide::revoke_tokens("ops", at(self.now)));
        let token_generation = before.token_generation + 1;
        assert_eq!(self.state, State { seq: before.seq + 1, token_generation, ..before });
    }

    fn test(&mut self, delivered: bool, interrupted: bool) {
        if self.state.webhook.url.is_none() || decide::test_allowed(&self.state, at(self.now)).is_err() {
            return;
        }
        let before = self.state.clone();
        let started = test_at(self.now);
        let attempt = Attempt { config: before.webhook.config, ..started.attempt };
        self.take([Event::TestStarted(Box::new(TestStarted { attempt: attempt.clone(), ..started }))]);
        if interrupted {
            let interrupted = decide::interrupted(&self.state, at(self.now));
            self.take(interrupted);
        }
        let ended = if delivered { attempt } else { Attempt { error: failure(1).error, ..attempt } };
        let events = decide::outcome(&self.state, ended, at(self.now), &self.policy);
        self.take(events);
        assert_eq!(self.state.seq, before.seq + 1, "a test is logged once");
        let State { seq, last_attempt, tested_at, .. } = before.clone();
        assert_eq!(State { seq, last_attempt, tested_at, ..self.state.clone() }, before);
    }

    fn forget(&mut self) {
        let event = decide::forget(&self.state, "admin", at(self.now));
        self.take(event);
        let State { seq, forgotten, token_generation, .. } = self.state;
        let left = State { seq, forgotten, token_generation, ..State::default() };
        assert_eq!(self.state, left, "nothing else is left");
        (self.attempts_since_save, self.success_since_save, self.disabled_since_save) = (0, false, 0);
        (self.warnings, self.recovered) = (0, 0);
        self.owed.clear();
    }

    fn mail(&mut self, result: u8) {
        let Some(mail) = self.owed.first().copied().or(self.last_owed) else { return };
        let result = match result {
            3 => return self.mail_turn(mail),
            0 => MailResult::Sent,
            1 => MailResult::Refused("no".to_owned()),
            _ => MailResult::Later("busy".to_owned()),
        };
        let event = decide::mail(&self.state, mail, result, at(self.now));
        assert_eq!(event.is_some(), self.owed.contains(&mail));
        self.take(event);
    }

    fn mail_turn(&mut self, mail: MailId) {
        match decide::mail_turn(&self.state, mail, at(self.now)) {
            MailTurn::Send => assert!(self.owed.contains(&mail), "only what is owed is sent"),
            MailTurn::Over(event) => {
                self.take(event);
                assert!(!self.owed.contains(&mail), "a mail that is not sent has ended");
            }
        }
    }

    /// A mail becomes owed: one of a kind for each streak or switch-off, and not too many a day.
    fn owe(&mut self, kind: MailKind, owed_before: &[Time]) {
        let mail = MailId { owed_by: self.state.seq, kind };
        assert!(self.owed.insert(mail), "no two mails have one name");
        self.last_owed = Some(mail);
        let per_day = match kind {
            MailKind::Disabled => MAILS_PER_DAY_MAX,
            MailKind::Warning => {
                self.warnings += 1;
                assert_eq!((self.warnings, self.state.errors), (1, WARNING_ERRORS), "one warning a streak");
                OTHER_MAILS_PER_DAY_MAX
            }
            // It has a bound of its own.
            MailKind::Replaced => return,
            MailKind::Recovered => {
                self.recovered += 1;
                assert_eq!(self.recovered, 1, "one recovery for each switch-off");
                OTHER_MAILS_PER_DAY_MAX
            }
        };
        let recent = owed_before.iter().filter(|owed| at(self.now).since(**owed) < MAIL_LIMIT_SPAN).count();
        assert!(recent < per_day, "{recent} mails in a day before another");
    }

    /// Applies events as the actor does, by way of a snapshot.
    fn take(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.state = through_snapshot(&self.state);
            let owed_before = self.state.mails.clone();
            self.state.evolve(&event);
            match &event {
                Event::WebhookDisabled(disabled) => {
                    self.disabled_since_save += 1;
                    self.recovered = 0;
                    if disabled.mail == MailState::Owed {
                        self.owe(MailKind::Disabled, &owed_before);
                    }
                }
                Event::MailOwed(owed) => self.owe(owed.kind, &owed_before),
                Event::OwnerNotified(ended) | Event::MailGivenUp(ended) | Event::MailDropped(ended) => {
                    assert!(self.owed.remove(&ended.mail), "a mail that was owed ends once");
                }
                _ => {}
            }
            self.events.push(event);
        }
    }

    fn settle(&mut self, entry: EntryId) {
        let chat = self.stream.remove(&entry).expect("an entry is settled once");
        self.held.remove(&entry);
        self.settled_count += 1;
        let before = self.settled.insert(chat, entry);
        assert!(before < Some(entry), "a chat is settled in stream order");
    }

    fn check(&self) {
        let limit = self.policy.error_limit + 1;
        if !self.success_since_save {
            assert!(self.attempts_since_save <= limit, "{} attempts, only errors", self.attempts_since_save);
            assert!(self.disabled_since_save == 0 || self.attempts_since_save == limit);
        }
        let switched_off = self.state.webhook.disabled_by_errors;
        assert_eq!(self.disabled_since_save, u32::from(switched_off), "one switch-off a streak");
        assert!(!self.state.webhook.enabled || self.state.errors < limit);
        assert_eq!(self.chat_queues.in_flight(), self.flying.len());
        assert_eq!(self.chat_queues.waiting() + self.flying.len(), self.held.len());
        let chats: BTreeSet<Chat> = self.flying.iter().map(|attempt| self.stream[&attempt.entry]).collect();
        assert_eq!(chats.len(), self.flying.len(), "one attempt of a chat at a time");
        let window = self.chat_queues.window(&self.state, &self.policy);
        let floor = self.policy.errors_left(self.state.errors).min(self.policy.in_flight_max);
        assert!(window >= floor as usize && window <= self.policy.in_flight_max as usize);
        let present = self.flying.iter().filter(|attempt| attempt.config == self.state.webhook.config).count();
        assert_eq!(self.chat_queues.has_room(&self.state, &self.policy), present < window);
    }

    /// Lets everything come to its end; nothing may be lost.
    pub(super) fn drain(&mut self) {
        while !self.stream.is_empty() {
            let left = (self.stream.len(), self.flying.len());
            self.arrive(usize::MAX, false);
            (0..self.stream.len()).for_each(|_| self.turn());
            (0..self.flying.len()).for_each(|_| self.end(0, false));
            assert_ne!((self.stream.len(), self.flying.len()), left, "the workspace is stuck");
            self.check();
        }
        assert_eq!(self.settled_count, self.appended);
        assert_eq!((self.chat_queues.waiting(), self.chat_queues.in_flight(), self.chat_queues.next()), (0, 0, None));
    }
}
