//! One workspace: what it holds, what it decides, and what has to be committed for it.
//!
//! Plain and synchronous. Events are applied to the state as soon as they are decided; the shard
//! makes them durable in the order in which they are reported.

mod apply;
mod save_and_test;

use std::error::Error;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::error;

use crate::actor::admission::{Admission, Busy};
use crate::actor::maps::HashSet;
use crate::actor::protocol::{AttemptEnd, Decided, FinishedAttempt, Item, MailNext, Seed, Start, ToWorkspace};
use crate::actor::workspace::test_run::TestRun;
use crate::config::UNABLE_PAUSES;
use crate::deliver::Target;
use crate::journal::port::{COMMIT_SETTLED_MAX, Newest, Step};
use crate::message::{EntryId, WorkspaceId};
use crate::seal::Keyring;
use crate::workspace::chat_queues::ChatQueues;
use crate::workspace::command::{Action, Answer, Command, NoAttempt, Refusal, Save};
use crate::workspace::decide::{self, MailResult, MailTurn, SaveContext};
use crate::workspace::event::{Event, MailId, Trigger};
use crate::workspace::policy::SECRET_OVERLAP;
use crate::workspace::time::Clock;
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
    /// Looks at each message before it is judged; tests make it panic.
    #[cfg(test)]
    pub(in crate::actor) inspect: fn(&Item),
}

pub(in crate::actor) struct WorkspaceCore {
    pub(in crate::actor) id: WorkspaceId,
    pub(in crate::actor) context: Rc<WorkspaceContext>,
    pub(in crate::actor) state: State,
    pub(in crate::actor) chat_queues: ChatQueues<Arc<Item>>,
    /// Entries that the loaded attempts name: settled without another attempt.
    pub(in crate::actor) attempted: HashSet<EntryId>,
    pub(in crate::actor) since_snapshot: usize,
    /// The last one that was used.
    target: Option<Arc<Target>>,
    pub(in crate::actor) mails_begun: Vec<MailId>,
    pub(super) test: TestRun,
    /// How often in a row our own system could not make its attempts.
    unable_tries: u32,
    /// Nothing starts before this.
    unable_until: Option<Instant>,
    busy: Busy,
}

impl WorkspaceCore {
    /// A workspace as it was loaded. What it decides at once (an interrupted test) is in the result.
    pub(in crate::actor) fn new(id: WorkspaceId, seed: Seed, context: Rc<WorkspaceContext>) -> (Self, Decided) {
        let mut core = Self {
            id,
            state: seed.loaded.state,
            chat_queues: ChatQueues::default(),
            attempted: seed.loaded.attempted.into_iter().collect(),
            since_snapshot: seed.loaded.since_snapshot,
            target: None,
            mails_begun: seed.mails_begun,
            test: TestRun::default(),
            unable_tries: 0,
            unable_until: None,
            busy: context.admission.busy(),
            context,
        };
        for (entry, chat, config) in seed.attempting {
            core.chat_queues.adopt(entry, chat, config);
        }
        let mut out = Decided::default();
        if seed.test_in_flight {
            core.test.adopt(&core.state);
        } else {
            core.report_interrupted_test(&mut out);
        }
        (core, out)
    }

    pub(in crate::actor) fn handle(&mut self, mail: ToWorkspace) -> Decided {
        let mut out = Decided::default();
        match mail {
            ToWorkspace::Entries(items) => self.entries(items, &mut out),
            ToWorkspace::Outcomes(list) => list.into_iter().for_each(|end| self.outcome(end, &mut out)),
            ToWorkspace::Command(id, command) => self.command(id, command, &mut out),
            ToWorkspace::Newest(id, newest) => self.newest(id, newest, &mut out),
            ToWorkspace::TestDurable(id) => self.test_durable(id, &mut out),
            ToWorkspace::Wake => self.send_test(&mut out),
            ToWorkspace::GiveBack => self.give_back(&mut out),
            ToWorkspace::MailTurn(mail) => self.mail_turn(mail, &mut out),
            ToWorkspace::MailResult(mail, result) => self.mail_result(mail, result, &mut out),
            // Handled by `Resident` and by the actor.
            ToWorkspace::Hibernate | ToWorkspace::Retire => {}
        }
        self.start_what_may(&mut out);
        self.busy.set(!self.chat_queues.is_empty());
        out
    }

    fn entries(&mut self, items: Vec<Arc<Item>>, out: &mut Decided) {
        for item in items {
            #[cfg(test)]
            (self.context.inspect)(&item);
            if self.attempted.contains(&item.entry) {
                out.steps.push(Step { settled: vec![item.entry], ..self.empty_step() });
            } else {
                self.chat_queues.offer(item.entry, item.chat(), item);
            }
        }
    }

    /// Judges every message whose turn has come: attempts it, or skips it while the webhook is off.
    fn start_what_may(&mut self, out: &mut Decided) {
        let now = Instant::now();
        let mut skipped = Vec::new();
        while let Some(entry) = self.chat_queues.next() {
            let target = if self.state.webhook.enabled { self.target() } else { None };
            let Some(to) = target else {
                skipped.extend(self.chat_queues.skip(entry));
                if skipped.len() >= COMMIT_SETTLED_MAX {
                    self.skip(std::mem::take(&mut skipped), out);
                }
                continue;
            };
            if !self.chat_queues.has_room(&self.state, &self.context.policy) {
                break;
            }
            let may_start = self.context.admission.takes_up() && self.unable_until.is_none_or(|until| now >= until);
            let place =
                if may_start { self.context.admission.try_start(self.chat_queues.in_flight(), now) } else { None };
            // It begins only once a permit is taken: an entry that began without one would never be sent.
            let config = self.state.webhook.config;
            let begun = place.and_then(|place| Some((place, self.chat_queues.begin(entry, config)?)));
            let Some((in_flight, item)) = begun else {
                out.starved = true;
                break;
            };
            let start = Start {
                workspace: self.id.clone(),
                to,
                config,
                trigger: Trigger::Message,
                webhook_id: Arc::clone(&item.webhook_id),
                item,
            };
            out.starts.push((start, in_flight));
        }
        if !skipped.is_empty() {
            self.skip(skipped, out);
        }
    }

    /// The endpoint and its request's parts as they are configured now; `None` without a URL.
    pub(in crate::actor) fn target(&mut self) -> Option<Arc<Target>> {
        self.target = Target::of(&self.state.webhook, (self.context.clock)(), self.target.as_ref());
        self.target.clone()
    }

    fn skip(&mut self, items: Vec<Arc<Item>>, out: &mut Decided) {
        let entries: Vec<EntryId> = items.iter().map(|item| item.entry).collect();
        let event = decide::skip(&entries, (self.context.clock)());
        let mut step = self.apply(event.into_iter().collect());
        let newest = items.into_iter().max_by_key(|item| item.entry);
        step.last_skipped = newest
            .filter(|item| self.state.skipped.newest == Some(item.entry))
            .map(|item| Newest { entry: item.entry, message: item.message.raw().clone() });
        step.settled = entries;
        out.steps.push(step);
    }

    fn outcome(&mut self, finished: FinishedAttempt, out: &mut Decided) {
        if finished.start.trigger == Trigger::Test {
            return self.test_outcome(&finished, out);
        }
        let entry = finished.start.item.entry;
        let done = match &finished.end {
            AttemptEnd::Done(done) => Arc::clone(done),
            AttemptEnd::Unable(_) => return self.put_back(&finished.start.item, out),
        };
        (self.unable_tries, self.unable_until) = (0, None);
        let attempt = finished.attempt(&done);
        let delivered = attempt.error.is_none();
        let policy = self.context.policy;
        let mut step = if self.attempted.contains(&entry) {
            self.chat_queues.end(entry, delivered, false, &self.state, &policy);
            self.empty_step()
        } else {
            let events = if done.excused {
                decide::excused(&self.state, attempt)
            } else {
                decide::outcome(&self.state, attempt, (self.context.clock)(), &policy)
            };
            let counted = events.iter().filter_map(Event::attempt).any(|attempt| attempt.errors.is_some());
            let step = self.apply(events);
            self.chat_queues.end(entry, delivered, counted, &self.state, &policy);
            step
        };
        step.settled = vec![entry];
        out.steps.push(step);
    }

    /// Puts an entry back that our own system could not attempt. It waits for as long as that lasts.
    fn put_back(&mut self, item: &Arc<Item>, out: &mut Decided) {
        self.chat_queues.put_back(item.entry, Arc::clone(item));
        let now = Instant::now();
        // Attempts that were started together are one try.
        if self.unable_until.is_none_or(|until| now >= until) {
            self.unable_until = Some(now + UNABLE_PAUSES.after(self.unable_tries));
            self.unable_tries = self.unable_tries.saturating_add(1);
        }
        out.starved = true;
    }

    pub(in crate::actor) fn command(&mut self, id: EntryId, command: Arc<Command>, out: &mut Decided) {
        if self.test.is_looking() {
            self.test.queue(id, command);
            return;
        }
        if command.action.is_confidential() && !self.context.keyring.may_write() {
            out.steps.push(Step { settled_commands: vec![id], ..self.refusal(id, Refusal::NoSecretKey) });
            return;
        }
        let decided = match &command.action {
            Action::Save(save) => self.save(&command, save),
            Action::RotateSecret { overlap } => self.rotate(&command, *overlap),
            Action::RevokeTokens => Ok(decide::revoke_tokens(&command.by, (self.context.clock)())),
            Action::NoteView => Ok(decide::note_view(&command.by, (self.context.clock)())),
            Action::MakeToken(grant) => Ok(decide::make_token(grant, &command.by, (self.context.clock)())),
            Action::EndToken { id } => decide::end_token(&self.state, id, &command.by, (self.context.clock)()),
            Action::EndSession(session) => Ok(decide::end_session(&self.state, session)),
            Action::Test { .. } => return self.begin_test(id, command, out),
            Action::Forget => return self.forget(id, &command.by, out),
            // The shard repairs before it loads, so here nothing is damaged.
            Action::Repair => {
                let answers = vec![(id, Answer::Repaired { webhook: Box::new(self.view()), lost: Vec::new() })];
                out.steps.push(Step { settled_commands: vec![id], answers, ..self.empty_step() });
                return;
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
        out.steps.push(Step { settled_commands: vec![id], ..step });
    }

    fn rotate(&self, command: &Command, overlap: Option<u64>) -> Result<Vec<Event>, Refusal> {
        let fresh = (self.context.fresh_secret)();
        let overlap = overlap.map_or(SECRET_OVERLAP, Duration::from_secs);
        decide::rotate(&self.state, (self.context.clock)(), &command.by, &fresh, overlap)
    }

    /// Attempts under way go on; their outcomes are settled without a record. A test's caller is told
    /// at once. What waits is judged as a message of a workspace that was never configured.
    fn forget(&mut self, id: EntryId, by: &str, out: &mut Decided) {
        let event = decide::forget(&self.state, by, (self.context.clock)());
        let mut step = self.apply(event.into_iter().collect());
        let test = self.test.give_up();
        self.target = None;
        step.answers.extend(test.map(|test| (test, self.untested(NoAttempt::Forgotten))));
        step.answers.push((id, self.done()));
        out.steps.push(Step { settled_commands: vec![id], ..step });
    }

    pub(in crate::actor) fn save(&self, command: &Command, save: &Save) -> Result<Vec<Event>, Refusal> {
        let context = SaveContext {
            at: (self.context.clock)(),
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

    fn give_back(&mut self, out: &mut Decided) {
        let window = self.chat_queues.window(&self.state, &self.context.policy);
        let entries = self.chat_queues.give_back(window);
        out.given_back = Some(entries);
    }

    fn mail_turn(&mut self, mail: MailId, out: &mut Decided) {
        match decide::mail_turn(&self.state, mail, (self.context.clock)()) {
            MailTurn::Send => {
                self.mails_begun.push(mail);
                out.mail = Some((mail, MailNext::Send));
            }
            MailTurn::Over(event) => self.mail_over(mail, event, out),
        }
    }

    fn mail_result(&mut self, mail: MailId, result: MailResult, out: &mut Decided) {
        self.mails_begun.retain(|begun| *begun != mail);
        if result == MailResult::NotBegun {
            out.mail = Some((mail, MailNext::Wait));
            return;
        }
        let event = decide::mail(&self.state, mail, result, (self.context.clock)());
        if !matches!(event, Some(Event::MailDeferred(_))) {
            return self.mail_over(mail, event, out);
        }
        let step = self.apply(event.into_iter().collect());
        out.steps.push(step);
        out.mail = Some((mail, MailNext::Later));
    }

    /// Nothing more comes of the mail, whether or not there is something to be recorded.
    fn mail_over(&mut self, mail: MailId, event: Option<Event>, out: &mut Decided) {
        let step = self.apply(event.into_iter().collect());
        out.steps.push(Step { mails_ended: vec![mail], ..step });
        out.mail = Some((mail, MailNext::Over));
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
        let unable = self.unable_until.map(|until| until.saturating_duration_since(Instant::now()));
        format!(
            "{}: {:?}, enabled {}, errors {}, unable for {unable:?}",
            self.id, self.chat_queues, self.state.webhook.enabled, self.state.errors
        )
    }
}
