//! How far the shard has read, and what it may read next.

use std::time::Duration;

use tokio::time::Instant;

use crate::actor::book::Book;
use crate::actor::book::entries::ShardPart;
use crate::config::{
    ALLOWANCE, BOOKMARK_EVERY, COMMAND_PERMITS, COMMAND_POLL, ENTRY_BYTES_ASSUMED, FREE_PERMITS_SHARE, GIVE_BACK_AFTER,
    HELD_BYTES_MAX, PERMITS, PERMITS_FREED_MIN, READ_AHEAD_MIN, READ_BLOCK, READ_BYTES_MAX, READ_COUNT_MAX,
    READ_PASSED_MAX, ROOM_TO_READ_ON, SCARCE_FOR, SEARCH_SHARE, SHARE_MIN,
};
use crate::journal::port::{Poll, Polled, RawEntry};
use crate::message::EntryId;

/// Whose entries can lie behind the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nobody's, for nothing is held, parked or unanswered: what is there came with ids that went backwards.
    Strays,
    /// Those of parked workspaces, none of which is due; others are not told from them by the length alone.
    Parked,
    /// Those that are held, settled without an answer yet, or caught up on.
    Held,
}

/// How much a shard may hold. Tests make it small.
#[derive(Debug, Clone, Copy)]
pub(in crate::actor) struct Limits {
    /// Entries.
    pub(in crate::actor) permits: usize,
    /// Bytes of entries.
    pub(in crate::actor) bytes: usize,
    /// Entries of one workspace that are not attempted yet.
    pub(in crate::actor) allowance: usize,
    /// Of these a workspace may hold so many however scarce permits are.
    pub(in crate::actor) share_min: usize,
    /// Entries passed over until a bookmark is stored.
    pub(in crate::actor) bookmark_every: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            permits: PERMITS,
            bytes: HELD_BYTES_MAX,
            allowance: ALLOWANCE,
            share_min: SHARE_MIN,
            bookmark_every: BOOKMARK_EVERY,
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Intake {
    limits: Limits,
    /// The last message entry that was read forward: every entry behind it is held or parked.
    cursor: EntryId,
    command_cursor: EntryId,
    /// The read under way, and how many permits it has taken.
    polling: Option<usize>,
    catching_up: Option<CatchUp>,
    /// The largest entry of the last read, in bytes.
    largest: usize,
    /// How many entries the next forward read asks for at most; more while nearly all are passed over.
    count_max: usize,
    /// The last read found nothing.
    found_nothing: bool,
    /// The last read found all that it asked for: there may be more, so the next one waits for nothing.
    found_all: bool,
    /// The last read was a probe; the next one waits for entries.
    probed: bool,
    /// With the last read the one behind it may have begun.
    ahead: bool,
    /// When commands were looked for last.
    commands_at: Option<Instant>,
    /// Catch-up and forward read take free permits in turn; the forward read is next.
    forward_is_next: bool,
    /// Since when no permit is free, and how many were released meanwhile.
    exhausted: Option<(Instant, usize)>,
    /// Until when permits count as scarce.
    scarce_until: Option<Instant>,
    /// When commands may be looked for again while no message may be read.
    poll_again_at: Option<Instant>,
    /// The length of the stream at which all behind the cursor is known to be of parked workspaces.
    parked_length: u64,
    /// Since when the stream is read again beside parked entries.
    searching: Option<Instant>,
    /// When it may be read again so next.
    search_at: Option<Instant>,
    /// Entries that forward reads passed over since the last bookmark, and from how many on there is another one.
    passed_over: usize,
    mark_at: usize,
    /// How often the cursor went back to the start of the stream.
    pub(super) rewinds: u64,
}

/// A catch-up under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CatchUp {
    pub(super) from: EntryId,
    pub(super) to: EntryId,
    pub(super) count: usize,
}

/// What else decides about the next read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Situation {
    pub(super) now: Instant,
    /// Commands that are held.
    pub(super) commands: usize,
    /// A parked workspace is due for a catch-up, or one is under way.
    pub(super) catch_up_wanted: bool,
    /// Whose entries can lie behind the cursor.
    pub(super) behind: Behind,
}

impl Intake {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, count_max: READ_COUNT_MAX, mark_at: limits.bookmark_every, ..Self::default() }
    }

    /// Begins where the shard had been read up to.
    pub(super) fn read_on_from(&mut self, cursor: EntryId) {
        self.cursor = cursor;
        // Not to be waited for: entries whose ids went backwards are looked for at once.
        self.found_all = true;
    }

    /// Reads both streams from their start, whatever was read before.
    pub(super) fn read_anew(&mut self) {
        self.polling = None;
        self.command_cursor = EntryId::ZERO;
        self.found_nothing = false;
        self.read_on_from(EntryId::ZERO);
    }

    /// Reads the commands from their start: those that are held are known.
    pub(super) fn read_commands_anew(&mut self) {
        self.command_cursor = EntryId::ZERO;
        self.found_all = true;
    }

    /// Of `read` entries of a forward read so many were left in the stream. While reads are full and nearly all of them is
    /// left, more are asked for at a time, and so many at most that about [`READ_COUNT_MAX`] of the next are taken up by the
    /// share of the last.
    pub(super) fn passed_over(&mut self, passed: usize, read: usize) {
        self.passed_over += passed;
        let taken_up = read - passed;
        let by_share = (read * READ_COUNT_MAX).checked_div(taken_up).unwrap_or(READ_PASSED_MAX);
        let next = (self.count_max * 2).min(by_share).clamp(READ_COUNT_MAX, READ_PASSED_MAX);
        self.count_max = if self.found_all && read > 0 { next } else { READ_COUNT_MAX };
    }

    /// How many entries were passed over, if that is enough for a bookmark.
    pub(super) fn bookmark_due(&self) -> Option<usize> {
        (self.passed_over >= self.mark_at).then_some(self.passed_over)
    }

    /// A bookmark was made.
    pub(super) fn marked(&mut self) {
        (self.passed_over, self.mark_at) = (0, self.limits.bookmark_every);
    }

    /// None can be made yet.
    pub(super) fn mark_later(&mut self) {
        self.mark_at = self.passed_over + self.limits.bookmark_every.div_ceil(8);
    }

    pub(super) fn cursor(&self) -> EntryId {
        self.cursor
    }

    /// Permits that neither an entry nor a read under way has: for a read of `max` entries at most.
    fn free(&self, book: &Book, max: usize) -> usize {
        let reading = self.polling.unwrap_or(0) + self.catching_up.map_or(0, |catch_up| catch_up.count);
        let entries = self.limits.permits.saturating_sub(book.len() + reading);
        let size = self.largest.max(ENTRY_BYTES_ASSUMED);
        let bytes = self.limits.bytes.saturating_sub(book.bytes()) / size;
        let by_bytes = bytes.saturating_sub(reading);
        let at_least = usize::from(book.is_empty() && reading == 0);
        entries.min(by_bytes).max(at_least).min(max).min((READ_BYTES_MAX / size).max(READ_COUNT_MAX))
    }

    /// What un-attempted entries of a workspace may take while permits are scarce; else its allowance bounds them.
    pub(super) fn share(&self, book: &Book, now: Instant) -> Option<ShardPart> {
        self.scarce_until.filter(|until| now < *until)?;
        let part = self.part(book, ShardPart::default());
        Some(ShardPart { entries: part.entries.max(self.limits.share_min), ..part })
    }

    /// One part in [`FREE_PERMITS_SHARE`] of what would be free without `own`.
    pub(super) fn part(&self, book: &Book, own: ShardPart) -> ShardPart {
        let of = |limit: usize, held: usize, own: usize| (limit + own).saturating_sub(held) / FREE_PERMITS_SHARE;
        ShardPart {
            entries: of(self.limits.permits, book.len(), own.entries),
            bytes: of(self.limits.bytes, book.bytes(), own.bytes),
        }
    }

    /// Whether one part in [`ROOM_TO_READ_ON`] is free.
    pub(super) fn has_room(&self, book: &Book) -> bool {
        self.has_entries_left(book) && self.has_bytes_left(book)
    }

    fn has_entries_left(&self, book: &Book) -> bool {
        book.len() + self.limits.permits.div_ceil(ROOM_TO_READ_ON) <= self.limits.permits
    }

    fn has_bytes_left(&self, book: &Book) -> bool {
        book.bytes() + self.limits.bytes.div_ceil(ROOM_TO_READ_ON) <= self.limits.bytes
    }

    /// How much that is of what the shard lacks, in bytes.
    pub(super) fn weigh(&self, book: &Book, part: ShardPart) -> usize {
        let an_entry = self.limits.bytes / self.limits.permits.max(1);
        let entries = if self.has_entries_left(book) { 0 } else { part.entries * an_entry };
        let bytes = if self.has_bytes_left(book) { 0 } else { part.bytes };
        entries.max(bytes)
    }

    /// The next forward read, if one may be made now.
    pub(super) fn next_poll(&mut self, book: &Book, situation: Situation) -> Option<Poll> {
        if self.polling.is_some() || self.poll_again_at.is_some_and(|at| situation.now < at) {
            return None;
        }
        let catch_up_first = situation.catch_up_wanted && self.catching_up.is_none() && !self.forward_is_next;
        let count = if catch_up_first { 0 } else { self.free(book, self.count_max) };
        // A backlog is passed over, and most likely goes on.
        let goes_on = count >= READ_AHEAD_MIN && self.found_all && !situation.catch_up_wanted;
        let ahead = if goes_on { self.free(book, (count * 2).min(READ_PASSED_MAX)) } else { 0 };
        // Then reads follow each other so fast that commands are not looked for with each.
        let just_looked = self.commands_at.is_some_and(|at| situation.now < at + COMMAND_POLL);
        let commands = if goes_on && just_looked { 0 } else { COMMAND_PERMITS.saturating_sub(situation.commands) };
        let may_wait = count > 0 && !situation.catch_up_wanted && !self.found_all;
        let probe = count > 0 && self.found_nothing && !self.probed && situation.behind != Behind::Held;
        let pause = count == 0 || (self.found_nothing && situation.catch_up_wanted);
        if pause {
            // Without a permit, or with nothing ahead and a catch-up under way, the read does not block.
            self.poll_again_at = Some(situation.now + COMMAND_POLL);
        }
        if count == 0 && commands == 0 {
            return None;
        }
        if commands > 0 {
            self.commands_at = Some(situation.now);
        }
        self.polling = Some(count);
        (self.probed, self.ahead) = (probe, goes_on);
        self.forward_is_next = false;
        Some(Poll {
            messages: (count > 0).then_some((self.cursor, count)),
            commands: (commands > 0).then_some((self.command_cursor, commands)),
            block: if may_wait && !probe { READ_BLOCK } else { Duration::ZERO },
            probe,
            ahead,
        })
    }

    /// Whether the read behind the last one may have begun with it.
    pub(super) fn reads_ahead(&self) -> bool {
        self.ahead
    }

    /// Processes the answer of a forward read: moves the cursors. Returns whether the stream turned out to
    /// hold entries behind the cursor that nobody knows; the cursor is then reset to the start. `behind` says whose
    /// entries can be there.
    pub(super) fn polled(&mut self, polled: &Polled, behind: Behind, now: Instant) -> Option<Behind> {
        let asked = self.polling.take().unwrap_or(0);
        // A read of commands alone tells nothing about messages.
        if asked > 0 {
            self.found_nothing = polled.messages.is_empty();
            self.found_all = polled.messages.len() == asked;
        }
        self.measure(&polled.messages);
        if let Some(last) = polled.messages.last() {
            self.cursor = last.id;
        }
        if let Some(last) = polled.commands.last() {
            self.command_cursor = last.id;
        }
        let length = polled.length.filter(|length| *length > 0 && polled.messages.is_empty())?;
        let again = match behind {
            Behind::Strays => true,
            Behind::Parked => self.search(length, now),
            Behind::Held => false,
        };
        again.then(|| {
            self.cursor = EntryId::ZERO;
            self.rewinds += 1;
            behind
        })
    }

    /// Whether to look for entries behind the cursor beside those of parked workspaces: the stream has another
    /// length than when that was done last. Reading what is parked once more does no harm, but costs: at most a
    /// [`SEARCH_SHARE`]th of the time is spent so.
    fn search(&mut self, length: u64, now: Instant) -> bool {
        if let Some(begun) = self.searching.take() {
            self.parked_length = length;
            self.search_at = Some(now + SEARCH_SHARE * (now - begun) + READ_BLOCK);
            return false;
        }
        let wanted = length != self.parked_length && self.search_at.is_none_or(|at| now >= at);
        if wanted {
            self.searching = Some(now);
        }
        wanted
    }

    /// The forward read failed; the next one is made after a pause.
    pub(super) fn poll_failed(&mut self, now: Instant, pause: Duration) {
        self.polling = None;
        self.poll_again_at = Some(now + pause);
    }

    /// The next catch-up from `from`, if one may be made now.
    pub(super) fn next_catch_up(&mut self, from: EntryId, book: &Book) -> Option<CatchUp> {
        if self.catching_up.is_some() {
            return None;
        }
        let count = self.free(book, READ_COUNT_MAX);
        if count == 0 {
            return None;
        }
        self.forward_is_next = true;
        self.catching_up = Some(CatchUp { from, to: self.cursor, count });
        self.catching_up
    }

    pub(super) fn is_catching_up(&self) -> bool {
        self.catching_up.is_some()
    }

    /// The catch-up was answered.
    pub(super) fn caught_up(&mut self, entries: &[RawEntry]) -> Option<CatchUp> {
        self.measure(entries);
        self.catching_up.take()
    }

    fn measure(&mut self, entries: &[RawEntry]) {
        if let Some(largest) = entries.iter().map(RawEntry::bytes).max() {
            self.largest = largest;
        }
    }

    /// Permits were released.
    pub(super) fn freed(&mut self, n: usize) {
        if let Some((_, freed)) = &mut self.exhausted {
            *freed += n;
        }
        if n > 0 {
            self.poll_again_at = None;
        }
    }

    /// Whether a workspace must give entries back: no permit is free, and too few were released for too long.
    pub(super) fn must_give_back(&mut self, book: &Book, now: Instant) -> bool {
        if self.free(book, READ_COUNT_MAX) > 0 || self.polling.is_some_and(|count| count > 0) {
            self.exhausted = None;
            return false;
        }
        let (since, freed) = *self.exhausted.get_or_insert((now, 0));
        if now < since + GIVE_BACK_AFTER {
            return false;
        }
        self.exhausted = Some((now, 0));
        let is_scarce = freed < PERMITS_FREED_MIN;
        if is_scarce {
            self.scarce_until = Some(now + SCARCE_FOR);
        }
        is_scarce
    }

    /// When [`Intake::next_poll`] or [`Intake::must_give_back`] may return something that they do not return now.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let give_back = self.exhausted.map(|(since, _)| since + GIVE_BACK_AFTER);
        let poll = if self.polling.is_none() { self.poll_again_at } else { None };
        [give_back, poll].into_iter().flatten().min()
    }
}
