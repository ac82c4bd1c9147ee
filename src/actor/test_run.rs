//! "Save and test": one test of a workspace at a time, sent at most once.
//!
//! The way of a test: asked for → the newest message is looked up (later commands wait meanwhile, so
//! that all are decided in stream order) → save and `TestStarted` in one commit → when that is
//! durable and the caller still waits, the POST → its outcome and the answer in one commit.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use super::core::{Core, unable_for_good};
use super::protocol::{Decided, End, Finished, Item, Start};
use crate::journal::port::{Newest, Step};
use crate::message::{EntryId, Message};
use crate::workspace::State;
use crate::workspace::command::{Action, Answer, Command, NoAttempt};
use crate::workspace::decide;
use crate::workspace::event::{Attempt, Event, Request, TestDropped, TestStarted, Trigger};
use crate::workspace::time::Time;

/// Where the workspace's test is.
#[derive(Debug, Default)]
pub(super) struct TestRun {
    stage: Stage,
    /// Commands that came while the newest message is being looked up. Bounded by the command permits.
    waiting: VecDeque<(EntryId, Arc<Command>)>,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// The newest message is being looked up.
    Looking { id: EntryId, command: Arc<Command> },
    /// `TestStarted` is decided; the POST waits until it is durable and the gate is open.
    Started { id: EntryId, expires_at: Time, durable: bool, item: Arc<Item> },
    /// The POST is under way.
    Posting { id: EntryId },
}

impl TestRun {
    /// Goes on with a POST that this process makes already.
    pub(super) fn adopt(&mut self, state: &State) {
        if let Some(test) = &state.test {
            self.stage = Stage::Posting { id: test.command };
        }
    }

    /// No test is asked for or under way.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.stage, Stage::Idle) && self.waiting.is_empty()
    }

    pub(super) fn is_looking(&self) -> bool {
        matches!(self.stage, Stage::Looking { .. })
    }

    /// Ends the test that is started or under way: names it when its caller is still to be answered.
    pub(super) fn give_up(&mut self) -> Option<EntryId> {
        let (Stage::Started { id, .. } | Stage::Posting { id }) = &self.stage else { return None };
        let id = *id;
        self.stage = Stage::Idle;
        Some(id)
    }

    pub(super) fn queue(&mut self, id: EntryId, command: Arc<Command>) {
        self.waiting.push_back((id, command));
    }
}

impl Core {
    /// Logs a test that a crash interrupted, which frees the next one.
    pub(super) fn report_interrupted_test(&mut self, out: &mut Decided) {
        let command = self.state.test.as_ref().map(|test| test.command);
        let event = decide::interrupted(&self.state, (self.context.clock)());
        if let (Some(id), Some(event)) = (command, event) {
            let mut step = self.record(vec![event]);
            step.answers.push((id, self.tested()));
            out.steps.push(step);
        }
    }

    pub(super) fn begin_test(&mut self, id: EntryId, command: Arc<Command>, out: &mut Decided) {
        match decide::test_allowed(&self.state, (self.context.clock)()) {
            Ok(()) => {
                self.test.stage = Stage::Looking { id, command };
                out.newest_for = Some(id);
            }
            Err(refusal) => out.steps.push(Step { settled_commands: vec![id], ..self.refusal(id, refusal) }),
        }
    }

    pub(super) fn newest(&mut self, id: EntryId, newest: Option<Newest>, out: &mut Decided) {
        match std::mem::take(&mut self.test.stage) {
            Stage::Looking { id: asked, command } if asked == id => self.start_test(id, &command, newest, out),
            other => self.test.stage = other,
        }
        while !self.test.is_looking() {
            let Some((id, command)) = self.test.waiting.pop_front() else { break };
            self.command(id, command, out);
        }
    }

    fn start_test(&mut self, id: EntryId, command: &Command, newest: Option<Newest>, out: &mut Decided) {
        let mut step = self.empty_step();
        if let Action::Test { save: Some(save) } = &command.action {
            match self.save(command, save) {
                Ok(events) => step = self.record(events),
                Err(refusal) => step = self.refusal(id, refusal),
            }
        }
        step.settled_commands.push(id);
        if step.answers.is_empty() {
            match self.test_item(id, newest) {
                Ok(item) => self.commit_test_start(id, command, item, &mut step, out),
                Err(reason) => step.answers.push((id, self.untested(reason))),
            }
        }
        out.steps.push(step);
    }

    /// What a test sends now, or why it sends nothing.
    fn test_item(&self, id: EntryId, newest: Option<Newest>) -> Result<Arc<Item>, NoAttempt> {
        if self.state.webhook.url.is_none() {
            return Err(NoAttempt::NoUrl);
        }
        let newest = newest.ok_or(NoAttempt::NoMessage)?;
        // The text was checked before it was stored; were it not valid, there would be nothing to send.
        let message = Message::parse(newest.message.bytes().clone()).map_err(|_| NoAttempt::NoMessage)?;
        Ok(Arc::new(Item { entry: newest.entry, message, webhook_id: format!("test_{id}").into(), origin: None }))
    }

    fn commit_test_start(
        &mut self,
        id: EntryId,
        command: &Command,
        item: Arc<Item>,
        step: &mut Step,
        out: &mut Decided,
    ) {
        let attempt = Attempt {
            at: (self.context.clock)(),
            trigger: Trigger::Test,
            entry: item.entry,
            message_id: Arc::clone(item.message.message_id()),
            webhook_id: Arc::clone(&item.webhook_id),
            config: self.state.webhook.config,
            errors: None,
            duration_ms: 0,
            error: None,
            request: Request {
                url: self.state.webhook.url.clone().unwrap_or_default(),
                headers: Arc::default(),
                message: item.message.raw().clone(),
            },
            response: None,
        };
        let started = self.record(vec![Event::TestStarted(Box::new(TestStarted { command: id, attempt }))]);
        step.snapshot = started.snapshot;
        self.test.stage = Stage::Started { id, expires_at: command.expires_at, durable: false, item };
        out.test_started = Some(id);
    }

    pub(super) fn test_durable(&mut self, id: EntryId, out: &mut Decided) {
        if let Stage::Started { id: started, durable, .. } = &mut self.test.stage {
            *durable |= *started == id;
        }
        self.send_test(out);
    }

    /// Sends the started test as soon as it may be; drops it when its caller has stopped waiting.
    pub(super) fn send_test(&mut self, out: &mut Decided) {
        let Stage::Started { id, expires_at, durable: true, item } = &self.test.stage else { return };
        let (id, item) = (*id, Arc::clone(item));
        let now = (self.context.clock)();
        let expired = now >= *expires_at;
        let Some(to) = self.target().filter(|_| !expired) else {
            let reason = if self.state.webhook.url.is_none() { NoAttempt::NoUrl } else { NoAttempt::Expired };
            return self.drop_test(id, reason, now, out);
        };
        let Some(in_flight) = self.context.gate.try_start(0, Instant::now()) else {
            out.starved = true;
            return;
        };
        let start = Start {
            workspace: self.id.clone(),
            to,
            config: self.state.webhook.config,
            trigger: Trigger::Test,
            webhook_id: Arc::clone(&item.webhook_id),
            item,
        };
        self.test.stage = Stage::Posting { id };
        out.test = Some((id, start, in_flight));
    }

    fn drop_test(&mut self, id: EntryId, reason: NoAttempt, at: Time, out: &mut Decided) {
        self.test.stage = Stage::Idle;
        let mut step = self.record(vec![Event::TestDropped(TestDropped { at, command: id })]);
        step.answers.push((id, self.untested(reason)));
        out.steps.push(step);
    }

    pub(super) fn test_outcome(&mut self, finished: &Finished, out: &mut Decided) {
        let Stage::Posting { id } = self.test.stage else { return };
        self.test.stage = Stage::Idle;
        let attempt = match &finished.end {
            End::Done(done) => finished.attempt(done),
            End::Unable(why) => finished.attempt(&unable_for_good(why)),
        };
        let events = decide::outcome(&self.state, attempt, (self.context.clock)(), &self.context.policy);
        let mut step = self.record(events);
        step.answers.push((id, self.tested()));
        out.steps.push(step);
    }

    fn tested(&self) -> Answer {
        let attempt = self.state.last_attempt.clone().map(Box::new);
        Answer::Done { webhook: Box::new(self.view()), attempt, reason: None }
    }

    pub(super) fn untested(&self, reason: NoAttempt) -> Answer {
        Answer::Done { webhook: Box::new(self.view()), attempt: None, reason: Some(reason) }
    }
}
