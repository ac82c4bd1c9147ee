//! One workspace: its state, and what it decides on the entries of its account.
//!
//! Plain and synchronous. Events are applied to the state as soon as they are decided; the shard
//! makes them durable in the order in which they are left in `entries`.

mod apply;
mod save_and_test;

use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use crate::actor::admission::{Admission, Busy, OwnInFlight};
use crate::actor::book::entries::HeldEntries;
use crate::actor::maps::HashSet;
use crate::actor::protocol::{
    AttemptEnd, Effect, FinishedAttempt, Item, MailNext, Seed, Slot, Start, Suspect, ToWorkspace,
};
use crate::actor::workspace::test_run::TestRun;
use crate::deliver::Target;
use crate::journal::port::{COMMIT_SETTLED_MAX, Newest, Step};
use crate::message::{EntryId, WorkspaceId};
use crate::seal::Keyring;
use crate::workspace::command::{Action, Answer, Command, NoAttempt, Refusal, Save};
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::decide::{self, MailResult, MailTurn, SaveContext};
use crate::workspace::event::{Event, MailId, Trigger};
use crate::workspace::policy::SECRET_OVERLAP;
use crate::workspace::time::{Clock, Time};
use crate::workspace::view::WebhookView;
use crate::workspace::{Confidential, Policy, State};

/// What all workspaces of a shard share.
pub(in crate::actor) struct WorkspaceContext {
    pub(in crate::actor) policy: Policy,
    pub(in crate::actor) clock: Clock,
    /// Makes a signing secret.
    pub(in crate::actor) fresh_secret: Box<dyn Fn() -> Confidential>,
    /// Seals what is confidential before it is committed.
    pub(in crate::actor) keyring: Arc<Keyring>,
    pub(in crate::actor) admission: Rc<Admission>,
    /// Looks at each mail and message before anything is decided on it; tests make it panic.
    #[cfg(test)]
    pub(in crate::actor) inspect: fn(Option<&Item>),
}

pub(in crate::actor) struct WorkspaceCore {
    pub(in crate::actor) id: WorkspaceId,
    pub(super) slot: Slot,
    pub(in crate::actor) context: Rc<WorkspaceContext>,
    pub(in crate::actor) state: State,
    /// Entries that the loaded attempts name: settled without another attempt.
    pub(in crate::actor) attempted: HashSet<EntryId>,
    pub(in crate::actor) since_snapshot: usize,
    /// See [`Seed::listed`].
    pub(in crate::actor) listed: Option<WebhookStatus>,
    /// The last one that was used.
    target: Option<Arc<Target>>,
    pub(in crate::actor) mails_begun: Vec<MailId>,
    pub(super) test: TestRun,
    busy: Busy,
    /// When the present mail is handled: one reading of each clock, whatever the mail leads to.
    now: Instant,
    pub(super) at: Time,
}

impl WorkspaceCore {
    /// A workspace as it was loaded. What it decides at once (an interrupted test) is in `entries`.
    pub(in crate::actor) fn new(
        id: WorkspaceId,
        slot: Slot,
        seed: Seed,
        context: Rc<WorkspaceContext>,
        entries: &mut HeldEntries,
    ) -> Self {
        let mut core = Self {
            id,
            slot,
            state: seed.loaded.state,
            attempted: seed.loaded.attempted.into_iter().collect(),
            since_snapshot: seed.loaded.since_snapshot,
            listed: seed.listed,
            target: None,
            mails_begun: seed.mails_begun,
            test: TestRun::default(),
            busy: context.admission.busy(),
            now: Instant::now(),
            at: (context.clock)(),
            context,
        };
        if seed.test_in_flight {
            core.test.adopt(&core.state);
        } else {
            core.report_interrupted_test(entries);
        }
        entries.note_window(&core.state, &core.context.policy);
        core
    }

    pub(in crate::actor) fn handle(&mut self, mail: ToWorkspace, entries: &mut HeldEntries, now: Instant) {
        (self.now, self.at) = (now, (self.context.clock)());
        self.deciding(Suspect::Nothing, entries);
        match mail {
            ToWorkspace::Wake => self.take_ends(entries),
            ToWorkspace::Command(id, command) => self.command(id, command, entries),
            ToWorkspace::Newest(id, newest) => self.newest(id, newest, entries),
            ToWorkspace::TestDurable(id) => self.test_durable(id, entries),
            ToWorkspace::MailTurn(mail) => self.mail_turn(mail, entries),
            ToWorkspace::MailResult(mail, result) => self.mail_result(mail, result, entries),
            // Handled by the shard.
            ToWorkspace::Hibernate | ToWorkspace::Retire => {}
        }
        self.start_what_may(entries);
        entries.deciding = Suspect::Nothing;
        entries.note_window(&self.state, &self.context.policy);
        self.busy.set(!entries.is_idle());
    }

    /// Names what is decided on next: the suspect if that panics.
    fn deciding(&self, what: Suspect, entries: &mut HeldEntries) {
        entries.deciding = what;
        #[cfg(test)]
        (self.context.inspect)(match what {
            Suspect::Entry(entry) => entries.item(entry).map(AsRef::as_ref),
            Suspect::Command(_) | Suspect::Nothing => None,
        });
    }

    /// Decides on every attempt that has ended.
    fn take_ends(&mut self, entries: &mut HeldEntries) {
        while let Some(finished) = entries.next_end() {
            self.outcome(&finished, entries);
        }
        self.test_outcome(entries);
        self.send_test(entries);
    }

    /// Judges every message whose turn has come: attempts it, or skips it while the webhook is off.
    fn start_what_may(&mut self, entries: &mut HeldEntries) {
        let mut skipped = Vec::new();
        while let Some(entry) = entries.next() {
            self.deciding(Suspect::Entry(entry), entries);
            if self.attempted.contains(&entry) {
                entries.skip(entry);
                self.skip(std::mem::take(&mut skipped), Some(entry), entries);
                continue;
            }
            let is_sent = self.state.webhook.enabled && !self.state.is_discarded(entry);
            let target = if is_sent { self.target() } else { None };
            let Some(to) = target else {
                skipped.extend(entries.skip(entry));
                if skipped.len() >= COMMIT_SETTLED_MAX {
                    self.skip(std::mem::take(&mut skipped), None, entries);
                }
                continue;
            };
            if !entries.has_room(&self.state, &self.context.policy) {
                break;
            }
            let may_start = self.context.admission.takes_up() && entries.may_start(self.now);
            let own = OwnInFlight { entries: entries.in_flight(), bytes: || entries.in_flight_bytes() };
            let bytes = entries.bytes_of(entry);
            let place = if may_start { self.context.admission.try_start(bytes, own, self.now) } else { None };
            let Some((in_flight, item)) = place.zip(entries.item(entry).map(Arc::clone)) else {
                entries.effect(Effect::Starve);
                break;
            };
            let start = Start {
                slot: self.slot,
                to,
                config: self.state.webhook.config,
                trigger: Trigger::Message,
                test: None,
                webhook_id: Arc::clone(&item.webhook_id),
                item,
            };
            entries.post(start, in_flight);
        }
        self.skip(skipped, None, entries);
    }

    /// The endpoint and its request's parts as they are configured now; `None` without a URL.
    pub(in crate::actor) fn target(&mut self) -> Option<Arc<Target>> {
        self.target = Target::of(&self.id, &self.state.webhook, self.at, self.target.as_ref());
        self.target.clone()
    }

    /// Settles what is not attempted: `items` because the webhook is off, `known` because the journal has its attempt.
    fn skip(&mut self, items: Vec<Arc<Item>>, known: Option<EntryId>, entries: &mut HeldEntries) {
        if items.is_empty() && known.is_none() {
            return;
        }
        let mut settled: Vec<EntryId> = items.iter().map(|item| item.entry).collect();
        let event = decide::skip(&settled, self.at);
        let mut step = self.apply(event.into_iter().collect());
        let newest = items.into_iter().max_by_key(|item| item.entry);
        step.last_skipped = newest
            .filter(|item| self.state.skipped.newest == Some(item.entry))
            .map(|item| Newest { entry: item.entry, message: item.message.raw().clone() });
        settled.extend(known);
        step.settled = settled;
        entries.commit(step);
    }

    fn outcome(&mut self, finished: &FinishedAttempt, entries: &mut HeldEntries) {
        let entry = finished.start.item.entry;
        self.deciding(Suspect::Entry(entry), entries);
        // One that could not be made waits again, and has no end.
        let AttemptEnd::Done(done) = &finished.end else { return };
        let attempt = finished.attempt(done);
        let delivered = attempt.error.is_none();
        let policy = self.context.policy;
        let known = self.attempted.contains(&entry);
        let events = match (known, done.excused) {
            (true, _) => Vec::new(),
            (false, true) => decide::excused(&self.state, attempt),
            (false, false) => decide::outcome(&self.state, attempt, self.at, &policy),
        };
        let counted = events.iter().filter_map(Event::attempt).any(|attempt| attempt.errors.is_some());
        let mut step = self.apply(events);
        step.settled = vec![entry];
        entries.end(entry, delivered, counted, &self.state, &policy);
        entries.commit(step);
    }

    pub(in crate::actor) fn command(&mut self, id: EntryId, command: Arc<Command>, entries: &mut HeldEntries) {
        self.deciding(Suspect::Command(id), entries);
        if self.test.is_looking() {
            self.test.queue(id, command);
            return;
        }
        if let Err(refusal) = decide::unchanged(&self.state, command.if_match.as_deref()) {
            entries.commit(Step { settled_commands: vec![id], ..self.refusal(id, refusal) });
            return;
        }
        if command.action.is_confidential() && !self.context.keyring.may_write() {
            entries.commit(Step { settled_commands: vec![id], ..self.refusal(id, Refusal::NoSecretKey) });
            return;
        }
        let decided = match &command.action {
            Action::Save(save) => self.save(&command, save),
            Action::RotateSecret { overlap } => self.rotate(&command, *overlap),
            // The commands have a stream of their own on the same clock: what came before this one waits.
            Action::Discard => Ok(decide::discard(&command.by, EntryId { ms: id.ms, n: u64::MAX }, self.at)),
            Action::RevokeTokens => Ok(decide::revoke_tokens(&command.by, self.at)),
            Action::TakeTestMail => decide::take_test_mail(&self.state, &command.by, self.at),
            Action::NoteView => Ok(decide::note_view(&command.by, self.at)),
            Action::MakeToken(grant) => decide::make_token(&self.state, grant, &command.by, self.at),
            Action::EndToken { id } => decide::end_token(&self.state, id, &command.by, self.at),
            Action::EndSession(session) => Ok(decide::end_session(&self.state, session)),
            Action::Test { .. } | Action::Sample => return self.begin_test(id, command, entries),
            Action::Again(sent) => return self.send_again(id, &command, sent, entries),
            Action::Forget => return self.forget(id, &command.by, entries),
            Action::DropLog { before } => Ok(decide::drop_log(&self.state, *before, self.at).into_iter().collect()),
            // The shard repairs before it loads, so here nothing is damaged.
            Action::Repair => {
                let answers = vec![(id, Answer::Repaired { webhook: Box::new(self.view()), lost: Vec::new() })];
                return entries.commit(Step { settled_commands: vec![id], answers, ..self.empty_step() });
            }
        };
        let step = match decided {
            Ok(events) => {
                let mut step = self.apply(events);
                step.answers.push((id, self.done()));
                step
            }
            Err(refusal) => self.refusal(id, refusal),
        };
        entries.commit(Step { settled_commands: vec![id], ..step });
    }

    fn rotate(&self, command: &Command, overlap: Option<u64>) -> Result<Vec<Event>, Refusal> {
        let fresh = (self.context.fresh_secret)();
        let overlap = overlap.map_or(SECRET_OVERLAP, Duration::from_secs);
        decide::rotate(&self.state, self.at, &command.by, &fresh, overlap)
    }

    /// Attempts under way go on; their outcomes are settled without a record. A test's caller is told
    /// at once. What waits is judged as a message of a workspace that was never configured.
    fn forget(&mut self, id: EntryId, by: &str, entries: &mut HeldEntries) {
        let event = decide::forget(&self.state, by, self.at);
        let mut step = self.apply(event.into_iter().collect());
        let test = self.test.give_up();
        self.target = None;
        step.answers.extend(test.map(|test| (test, self.untested(NoAttempt::Forgotten))));
        step.answers.push((id, self.done()));
        entries.commit(Step { settled_commands: vec![id], ..step });
    }

    pub(in crate::actor) fn save(&self, command: &Command, save: &Save) -> Result<Vec<Event>, Refusal> {
        let context = SaveContext {
            at: self.at,
            by: &command.by,
            fresh_secret: &(self.context.fresh_secret)(),
            mails_begun: &self.mails_begun,
            mail_server: self.context.policy.mail_server,
        };
        let mut save = save.clone();
        self.context.keyring.open(&self.id, &mut save).map_err(|error| {
            error!(workspace = %self.id, error = &error as &dyn Error, "A save cannot be opened and is refused.");
            Refusal::WorkspaceUnavailable
        })?;
        decide::save(&self.state, &save, &context)
    }

    fn mail_turn(&mut self, mail: MailId, entries: &mut HeldEntries) {
        match decide::mail_turn(&self.state, mail, self.at) {
            MailTurn::Send => {
                self.mails_begun.push(mail);
                entries.effect(Effect::Mail(mail, MailNext::Send));
            }
            MailTurn::Over(event) => self.mail_over(mail, event, entries),
        }
    }

    fn mail_result(&mut self, mail: MailId, result: MailResult, entries: &mut HeldEntries) {
        self.mails_begun.retain(|begun| *begun != mail);
        if result == MailResult::NotBegun {
            return entries.effect(Effect::Mail(mail, MailNext::Wait));
        }
        let event = decide::mail(&self.state, mail, result, self.at);
        if !matches!(event, Some(Event::MailDeferred(_))) {
            return self.mail_over(mail, event, entries);
        }
        let step = self.apply(event.into_iter().collect());
        entries.commit(step);
        entries.effect(Effect::Mail(mail, MailNext::Later));
    }

    /// Nothing more comes of the mail, whether or not there is something to be recorded.
    fn mail_over(&mut self, mail: MailId, event: Option<Event>, entries: &mut HeldEntries) {
        let step = self.apply(event.into_iter().collect());
        entries.commit(Step { mails_ended: vec![mail], ..step });
        entries.effect(Effect::Mail(mail, MailNext::Over));
    }

    pub(in crate::actor) fn empty_step(&self) -> Step {
        Step { workspace: Some(self.id.clone()), ..Step::default() }
    }

    pub(in crate::actor) fn refusal(&self, id: EntryId, refusal: Refusal) -> Step {
        Step { answers: vec![(id, Answer::Refused { refusal })], ..self.empty_step() }
    }

    pub(in crate::actor) fn done(&self) -> Answer {
        Answer::Done { webhook: Box::new(self.view()), attempt: None, reason: None }
    }

    pub(in crate::actor) fn view(&self) -> WebhookView {
        WebhookView::new(&self.id, &self.state, &self.context.policy)
    }

    /// What a failed test prints.
    #[cfg(test)]
    pub(in crate::actor) fn describe(&self) -> String {
        format!("{}: enabled {}, errors {}", self.id, self.state.webhook.enabled, self.state.errors)
    }
}
