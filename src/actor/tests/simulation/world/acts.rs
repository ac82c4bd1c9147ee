//! What the core of a shard wants done, what comes of it, and what must never happen meanwhile.

use super::*;

impl World {
    /// Takes the next mail of the shard's mailbox, as the shard actor does.
    pub(super) fn take_mail(&mut self) {
        let Some(mail) = self.mailbox.pop_front() else { return };
        let now = Instant::now();
        match mail {
            ShardMail::Acquired(epoch, result) if epoch == self.epoch => match result {
                Ok(Acquisition { outbox, bookmark, present }) => {
                    self.connected = true;
                    self.shard.acquired(outbox, bookmark, &present, now + LEASE, now);
                }
                Err(error) => self.shard.not_acquired(&error, false),
            },
            ShardMail::Polled(epoch, Ok(polled)) if epoch == self.epoch => self.shard.polled(polled, now),
            ShardMail::Polled(epoch, Err(error)) if epoch == self.epoch => self.shard.poll_failed(&error, now),
            ShardMail::Committed(epoch, number, until) if epoch == self.epoch => {
                self.shard.committed(number, until, now)
            }
            ShardMail::Loaded(epoch, workspace, loaded) if epoch == self.epoch => {
                self.shard.loaded(&workspace, loaded, now)
            }
            ShardMail::Newest(epoch, workspace, id, newest) if epoch == self.epoch => {
                self.shard.newest(&workspace, id, newest, now);
            }
            ShardMail::Salvaged(epoch, workspace, salvage) if epoch == self.epoch => {
                self.shard.salvaged(&workspace, salvage, &Policy::default(), now);
            }
            ShardMail::CaughtUp(epoch, entries) if epoch == self.epoch => self.shard.caught_up(entries, now),
            ShardMail::LineFailed(epoch, error) if epoch == self.epoch => self.line_failed(&error),
            ShardMail::Work => self.announced = false,
            ShardMail::MailSent(workspace, mail, result) => self.shard.mail_sent(&workspace, mail, result, now),
            ShardMail::Tick => self.shard.tick(now),
            _ => {}
        }
        self.work();
    }

    fn line_failed(&mut self, error: &ShardConnectionError) {
        self.epoch += 1;
        self.connected = false;
        self.calls.clear();
        self.answers.clear();
        self.poll = None;
        match error {
            // What the store gave back may be attempted again, but nothing that is known to be attempted.
            ShardConnectionError::Lost { .. } => {
                self.attempted.retain(|entry| self.shard.holds_attempted(*entry));
                let lost = |flight: &Flight| !self.store.messages.contains_key(&flight.start.item.entry);
                self.flights.iter_mut().for_each(|flight| flight.stale |= lost(flight));
            }
            ShardConnectionError::Fenced { .. } => {
                self.attempted.clear();
                self.flights.iter_mut().for_each(|flight| flight.stale = true);
            }
            ShardConnectionError::Failed { .. } => {}
        }
        self.shard.line_failed(error, Instant::now());
    }

    pub(super) fn work(&mut self) {
        while let Some(action) = self.shard.next_action(Instant::now()) {
            self.act(action);
        }
        let parked = self.shard.parked();
        if parked != self.was_parked {
            self.was_parked = parked.clone();
            self.note(|| format!("parked {parked:?}"));
        }
        self.audit();
    }

    fn audit(&self) {
        let audit = std::panic::AssertUnwindSafe(|| self.shard.audit());
        if let Err(panic) = std::panic::catch_unwind(audit) {
            self.tell();
            std::panic::resume_unwind(panic);
        }
    }

    pub(super) fn tell(&self) {
        use std::io::Write as _;
        let actors: Vec<String> = self.actors.iter().map(|actor| actor.core.describe()).collect();
        writeln!(
            std::io::stderr(),
            "{}\n{}\n{:?}, now {:?}\n{}",
            self.history(),
            actors.join("\n"),
            self.context.admission,
            Instant::now(),
            self.shard.describe()
        )
        .ok();
    }

    fn act(&mut self, action: ShardAction) {
        match action {
            ShardAction::Acquire { after, attempted } => self.acquiring = Some((Instant::now() + after, attempted)),
            ShardAction::Poll(poll) => {
                if self.connected {
                    assert!(self.poll.is_none(), "one read at a time");
                    self.poll = Some((poll, None));
                }
            }
            ShardAction::Send(call) => {
                if self.connected {
                    self.calls.push_back(call);
                }
            }
            ShardAction::Activate { slot, incarnation, seed } => self.activate(slot, incarnation, *seed),
            ShardAction::Tell(slot, mail) => {
                if let Some(actor) = self.actors.iter_mut().find(|actor| actor.slot == slot && !actor.forgotten) {
                    actor.mailbox.push_back(mail);
                }
            }
            ShardAction::Forget(slot) => {
                self.note(|| format!("{slot:?} is forgotten"));
                self.actors.iter_mut().filter(|actor| actor.slot == slot).for_each(|actor| actor.forgotten = true);
                self.actors.retain(|actor| !(actor.forgotten && actor.mailbox.is_empty()));
            }
            ShardAction::Post(start, in_flight) => self.post(start, in_flight),
            ShardAction::SendMail(mail) => self.mails.push(mail),
            ShardAction::RecallMails => self.recall_mails(),
            ShardAction::Release => panic!("nobody drains"),
        }
    }

    fn activate(&mut self, slot: Slot, incarnation: u64, seed: Seed) {
        self.note(|| format!("{slot:?} is active again ({incarnation})"));
        let living = self.actors.iter().any(|actor| actor.slot == slot && !actor.forgotten);
        assert!(!living, "{slot:?} has two actors");
        if let Some(core) = self.shard.begin(slot, incarnation, seed, &self.context, Instant::now()) {
            self.actors.push(Actor { slot, incarnation, core, mailbox: VecDeque::new(), forgotten: false });
        }
    }

    /// Does what workspaces need done at once, and announces that the shard has work unless an actor does so.
    fn act_for_workspaces(&mut self, announce: bool) {
        let mut told = false;
        while let Some(action) = self.shard.next_of_workspaces() {
            told |= matches!(action, ShardAction::Tell(..));
            self.act(action);
        }
        if (announce || !told) && !std::mem::replace(&mut self.announced, true) {
            self.mailbox.push_back(ShardMail::Work);
        }
        self.audit();
    }

    fn post(&mut self, start: Arc<Start>, in_flight: InFlight) {
        let entry = start.item.entry;
        let chat = (start.to.workspace().clone(), start.item.chat());
        let first = !self.appeared.contains(&entry);
        self.note(|| format!("post {entry} of {:?} (test {:?})", start.slot, start.test));
        if start.test.is_none() {
            let again = !self.attempted.insert(entry);
            let settled = self.store.outcomes.get(&entry).copied();
            let busy =
                self.flights.iter().find(|flight| flight.start.test.is_none() && !flight.stale && flight.chat == chat);
            let busy = busy.map(|flight| flight.start.item.entry);
            let behind = self.reached.get(&chat).copied().filter(|reached| first && *reached > entry);
            if again || settled.is_some() || busy.is_some() || behind.is_some() {
                self.tell();
                panic!(
                    "post of {entry}: again {again}, settled {settled:?}, chat busy {busy:?}, chat reached {behind:?}"
                );
            }
            self.appeared.insert(entry);
            let reached = self.reached.entry(chat.clone()).or_insert(entry);
            *reached = entry.max(*reached);
        }
        self.flights.push(Flight { start, chat, in_flight, began: clock(), stale: false, first });
    }

    /// Lets an actor handle one mail, or crash over it.
    pub(super) fn act_in(&mut self, n: usize) {
        let panics = self.trouble.panics && self.rng.random_range(0..150) == 0;
        PANICS.set(panics.then(|| self.rng.random_range(0..4)));
        let actor = &mut self.actors[n];
        let Some(mail) = actor.mailbox.pop_front() else { return };
        let (slot, incarnation) = (actor.slot, actor.incarnation);
        let is_last = matches!(mail, ToWorkspace::Retire | ToWorkspace::Hibernate);
        let goes_on = self.shard.decide(slot, incarnation, &mut actor.core, mail, Instant::now());
        PANICS.set(None);
        self.appeared.extend(self.shard.decided_entries());
        let actor = &self.actors[n];
        let over = !goes_on || (actor.forgotten && actor.mailbox.is_empty());
        if over {
            self.actors.remove(n);
        }
        if !goes_on && !is_last {
            self.note(|| format!("{slot:?} ({incarnation}) is gone"));
        }
        self.act_for_workspaces(true);
    }

    /// The store processes the next request of the connection.
    pub(super) fn apply_call(&mut self) {
        let Some(call) = self.calls.pop_front() else { return };
        let epoch = self.epoch;
        let answer = match call {
            ShardRequest::Commit { number, batch } => {
                let settled: Vec<_> = batch.steps.iter().flat_map(|step| step.settled.clone()).collect();
                self.note(|| format!("commit {number} settles {settled:?}"));
                self.appeared.extend(&settled);
                let store = &mut self.store;
                let applied = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.commit(&batch)));
                if let Err(panic) = applied {
                    self.tell();
                    std::panic::resume_unwind(panic);
                }
                ShardMail::Committed(epoch, number, Instant::now() + LEASE)
            }
            ShardRequest::Load(workspace) => {
                let loaded = self.store.load(&workspace);
                if let Err(error) = &loaded {
                    let error = error.to_string();
                    self.note(|| error);
                }
                ShardMail::Loaded(epoch, workspace, loaded)
            }
            ShardRequest::Newest { workspace, command: id } => {
                let newest = self.store.newest(&workspace);
                ShardMail::Newest(epoch, workspace, id, newest)
            }
            ShardRequest::CatchUp { from, to, count } => {
                let entries = self.store.catch_up(from, to, count);
                self.note(|| format!("catch-up from {from} to {to}, {} of at most {count}", entries.len()));
                ShardMail::CaughtUp(epoch, entries)
            }
            ShardRequest::Salvage(workspace) => {
                let salvage = self.store.salvage(&workspace);
                self.note(|| format!("{workspace} is salvaged, lost {:?}", salvage.lost));
                ShardMail::Salvaged(epoch, workspace, salvage)
            }
            request @ (ShardRequest::Present(_) | ShardRequest::Release) => {
                unreachable!("{request:?} goes past the committer")
            }
        };
        self.answers.push_back(answer);
    }

    /// An answer reaches the shard's mailbox. Each comes by a task of its own, so one may overtake another.
    pub(super) fn pass_answer(&mut self) {
        let overtakes = self.answers.len() > 1
            && !matches!(self.answers[1], ShardMail::LineFailed(..))
            && self.rng.random_range(0..10) == 0;
        if let Some(answer) = self.answers.remove(usize::from(overtakes)) {
            self.mailbox.push_back(answer);
        }
    }

    pub(super) fn acquire(&mut self) {
        let Some((_, attempted)) = self.acquiring.take() else { return };
        let result = if self.rng.random_range(0..4) == 0 {
            let remaining = Duration::from_millis(300);
            Err(AcquireError::Held { shard: 0, node: "another".to_owned(), remaining })
        } else {
            let present = attempted.into_iter().filter(|entry| self.store.messages.contains_key(entry)).collect();
            Ok(Acquisition { outbox: self.store.owed(), bookmark: self.store.bookmark.clone(), present })
        };
        self.note(|| format!("acquired: {}", result.is_ok()));
        self.mailbox.push_back(ShardMail::Acquired(self.epoch, result));
    }

    /// A POST ends.
    pub(super) fn end_post(&mut self, n: usize) {
        let Flight { start, in_flight, began, first, .. } = self.flights.swap_remove(n);
        let end = match self.rng.random_range(0..10) {
            0 | 1 if self.trouble.unable => {
                if start.test.is_none() {
                    self.attempted.remove(&start.item.entry);
                    if first {
                        self.appeared.remove(&start.item.entry);
                    }
                }
                AttemptEnd::Unable("a test".to_owned())
            }
            2..4 => AttemptEnd::Done(done(Some("refused"))),
            _ => AttemptEnd::Done(done(None)),
        };
        self.note(|| format!("post {} ends: {}", start.item.entry, matches!(end, AttemptEnd::Done(_))));
        drop(in_flight);
        self.shard.ended(FinishedAttempt { start, began, end }, Instant::now());
        self.act_for_workspaces(false);
    }

    /// The mail server has got the final dot of some: those go on.
    fn recall_mails(&mut self) {
        let rng = &mut self.rng;
        for mail in self.mails.extract_if(.., |_| rng.random_range(0..2) == 0) {
            self.mailbox.push_back(ShardMail::MailSent(mail.workspace, mail.id, MailResult::NotBegun));
        }
    }

    pub(super) fn end_mail(&mut self) {
        let mail = self.mails.swap_remove(self.rng.random_range(0..self.mails.len()));
        let result = match self.rng.random_range(0..3) {
            0 => MailResult::Later("busy".to_owned()),
            1 => MailResult::Refused("no such box".to_owned()),
            _ => MailResult::Sent,
        };
        self.mailbox.push_back(ShardMail::MailSent(mail.workspace, mail.id, result));
    }
}

fn done(error: Option<&str>) -> Arc<AttemptOutcome> {
    let error = error.map(|detail| AttemptError { kind: ErrorKind::Connect, detail: detail.to_owned() });
    Arc::new(AttemptOutcome {
        headers: Arc::default(),
        error,
        response: None,
        duration: Duration::from_millis(1),
        excused: false,
    })
}
