//! "Save and test": one test of a workspace at a time, sent at most once.
//!
//! The steps of a test: requested → the newest message is looked up (later commands wait meanwhile, so
//! that all are decided in stream order) → save and `TestStarted` in one commit → when that is
//! durable and the caller still waits, the POST → its outcome and the answer in one commit.

use std::sync::Arc;

use bytes::Bytes;

use super::WorkspaceCore;
use crate::actor::book::entries::HeldEntries;
use crate::actor::protocol::{AttemptEnd, Effect, Item, Start, Suspect, not_made};
use crate::actor::workspace::test_run::TestStage;
use crate::journal::port::{Newest, Step};
use crate::message::{EntryId, Message, sample};
use crate::workspace::command::{Action, Answer, Command, NoAttempt, Refusal, SentMessage};
use crate::workspace::decide;
use crate::workspace::event::{Attempt, Event, Request, TestDropped, TestStarted, Trigger};
use crate::workspace::time::Time;

impl WorkspaceCore {
    /// Logs a test that a crash interrupted, which frees the next one.
    pub(super) fn report_interrupted_test(&mut self, entries: &mut HeldEntries) {
        let command = self.state.test.as_ref().map(|test| test.command);
        let event = decide::interrupted(&self.state, self.at);
        if let (Some(id), Some(event)) = (command, event) {
            let mut step = self.apply(vec![event]);
            step.answers.push((id, self.tested()));
            entries.commit(step);
        }
    }

    pub(super) fn begin_test(&mut self, id: EntryId, command: Arc<Command>, entries: &mut HeldEntries) {
        match decide::test_allowed(&self.state, self.at) {
            Ok(()) => {
                self.test.stage = TestStage::Looking { id, command };
                entries.effect(Effect::FindNewest(id));
            }
            Err(refusal) => entries.commit(Step { settled_commands: vec![id], ..self.refusal(id, refusal) }),
        }
    }

    pub(super) fn newest(&mut self, id: EntryId, newest: Option<Newest>, entries: &mut HeldEntries) {
        self.deciding(Suspect::Command(id), entries);
        match std::mem::take(&mut self.test.stage) {
            TestStage::Looking { id: asked, command } if asked == id => self.start_test(id, &command, newest, entries),
            other => self.test.stage = other,
        }
        while !self.test.is_looking() {
            let Some((id, command)) = self.test.waiting.pop_front() else { break };
            self.command(id, command, entries);
        }
    }

    /// Sends what an attempt sent once more: the body and the `webhook-id` as then, all else as it is today.
    pub(super) fn send_again(&mut self, id: EntryId, command: &Command, sent: &SentMessage, entries: &mut HeldEntries) {
        self.deciding(Suspect::Command(id), entries);
        let allowed = decide::again_allowed(&self.state, sent.attempt, self.at);
        let mut step = match allowed {
            Ok(()) => self.empty_step(),
            Err(refusal) => self.refusal(id, refusal),
        };
        step.settled_commands.push(id);
        if step.answers.is_empty() {
            let text = Bytes::from(sent.message.clone());
            match self.sendable(sent.entry, text, sent.webhook_id.as_str().into()) {
                Ok(item) => return self.commit_test_start(id, command, Trigger::Again, item, step, entries),
                Err(reason) => step.answers.push((id, self.untested(reason))),
            }
        }
        entries.commit(step);
    }

    fn start_test(&mut self, id: EntryId, command: &Command, newest: Option<Newest>, entries: &mut HeldEntries) {
        let mut step = self.empty_step();
        // A sample that was sent is no message of the workspace.
        let newest = newest.filter(|newest| newest.entry > EntryId::ZERO);
        let is_sample = command.action == Action::Sample;
        if is_sample && newest.is_some() {
            step = self.refusal(id, Refusal::HasMessages);
        }
        if let Action::Test { save: Some(save) } = &command.action {
            match self.save(command, save) {
                Ok(events) => step = self.apply(events),
                Err(refusal) => step = self.refusal(id, refusal),
            }
        }
        step.settled_commands.push(id);
        if step.answers.is_empty() {
            let item = if is_sample { self.sample_item(id) } else { self.test_item(id, newest) };
            match item {
                Ok(item) => return self.commit_test_start(id, command, Trigger::Test, item, step, entries),
                Err(reason) => step.answers.push((id, self.untested(reason))),
            }
        }
        entries.commit(step);
    }

    /// What a test sends now, or why it sends nothing.
    fn test_item(&self, id: EntryId, newest: Option<Newest>) -> Result<Arc<Item>, NoAttempt> {
        let newest = newest.ok_or(match self.state.webhook.url {
            Some(_) => NoAttempt::NoMessage,
            None => NoAttempt::NoUrl,
        })?;
        self.sendable(newest.entry, newest.message.bytes().clone(), format!("test_{id}").into())
    }

    /// What a sample sends: its entry is before every message's, so that it is never the newest.
    fn sample_item(&self, id: EntryId) -> Result<Arc<Item>, NoAttempt> {
        let text = sample(id, self.at.unix_seconds());
        self.sendable(EntryId::ZERO, text, format!("test_{id}").into())
    }

    fn sendable(&self, entry: EntryId, text: Bytes, webhook_id: Arc<str>) -> Result<Arc<Item>, NoAttempt> {
        if self.state.webhook.url.is_none() {
            return Err(NoAttempt::NoUrl);
        }
        // The text was checked before it was stored; were it not valid, there would be nothing to send.
        let message = Message::parse(text).map_err(|_| NoAttempt::NoMessage)?;
        Ok(Arc::new(Item { entry, message, webhook_id, origin: None }))
    }

    fn commit_test_start(
        &mut self,
        id: EntryId,
        command: &Command,
        trigger: Trigger,
        item: Arc<Item>,
        mut step: Step,
        entries: &mut HeldEntries,
    ) {
        let attempt = Attempt {
            at: self.at,
            trigger,
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
                message: Some(item.message.raw().clone()),
            },
            response: None,
        };
        let started = self.apply(vec![Event::TestStarted(Box::new(TestStarted { command: id, attempt }))]);
        step.snapshot = started.snapshot;
        step.listed = started.listed.or(step.listed);
        self.test.stage = TestStage::Started { id, trigger, expires_at: command.expires_at, durable: false, item };
        entries.commit_test_start(step, id);
    }

    pub(super) fn test_durable(&mut self, id: EntryId, entries: &mut HeldEntries) {
        self.deciding(Suspect::Command(id), entries);
        if let TestStage::Started { id: started, durable, .. } = &mut self.test.stage {
            *durable |= *started == id;
        }
        self.send_test(entries);
    }

    /// Sends the started test as soon as it may be; drops it when its caller has stopped waiting.
    pub(super) fn send_test(&mut self, entries: &mut HeldEntries) {
        let TestStage::Started { id, trigger, expires_at, durable: true, item } = &self.test.stage else { return };
        let (id, trigger, item) = (*id, *trigger, Arc::clone(item));
        let now = self.at;
        let expired = now >= *expires_at;
        let Some(to) = self.target().filter(|_| !expired) else {
            let reason = if self.state.webhook.url.is_none() { NoAttempt::NoUrl } else { NoAttempt::Expired };
            return self.drop_test(id, reason, now, entries);
        };
        let Some(in_flight) = self.context.admission.try_start_test(self.now) else {
            entries.effect(Effect::Starve);
            return;
        };
        let start = Start {
            slot: self.slot,
            to,
            config: self.state.webhook.config,
            trigger,
            test: Some(id),
            webhook_id: Arc::clone(&item.webhook_id),
            item,
        };
        self.test.stage = TestStage::Posting { id };
        entries.post_test(id, start, in_flight);
    }

    fn drop_test(&mut self, id: EntryId, reason: NoAttempt, at: Time, entries: &mut HeldEntries) {
        self.test.stage = TestStage::Idle;
        let mut step = self.apply(vec![Event::TestDropped(TestDropped { at, command: id })]);
        step.answers.push((id, self.untested(reason)));
        entries.commit(step);
    }

    /// Decides on the end of the test's POST, once.
    pub(super) fn test_outcome(&mut self, entries: &mut HeldEntries) {
        let TestStage::Posting { id } = self.test.stage else { return };
        let Some(finished) = entries.test.as_ref().filter(|test| test.command == id).and_then(|test| test.end.clone())
        else {
            return;
        };
        self.deciding(Suspect::Command(id), entries);
        self.test.stage = TestStage::Idle;
        let attempt = match &finished.end {
            AttemptEnd::Done(done) => finished.attempt(done),
            AttemptEnd::Unable(why) => finished.attempt(&not_made(why)),
        };
        let events = decide::outcome(&self.state, attempt, self.at, &self.context.policy);
        let mut step = self.apply(events);
        step.answers.push((id, self.tested()));
        entries.commit(step);
    }

    fn tested(&self) -> Answer {
        let attempt = self.state.last_attempt.clone().map(Box::new);
        Answer::Done { webhook: Box::new(self.view()), attempt, reason: None }
    }

    pub(super) fn untested(&self, reason: NoAttempt) -> Answer {
        Answer::Done { webhook: Box::new(self.view()), attempt: None, reason: Some(reason) }
    }
}
