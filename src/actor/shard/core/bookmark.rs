//! How far the shard was read, kept in the store: whoever reads it next begins there and not at the start, and new
//! messages do not wait until a backlog is passed over once more.

use tokio::time::Instant;

use super::ShardCore;
use crate::config::BOOKMARK_WORKSPACES_MAX;
use crate::journal::port::Bookmark;

impl ShardCore {
    /// Reads on where the shard had been read up to. Whoever left something there is parked.
    pub(super) fn read_on_from(&mut self, bookmark: Bookmark, now: Instant) {
        self.intake.read_on_from(bookmark.cursor);
        for (workspace, first, last) in bookmark.left {
            let slot = self.book.ensure(&workspace, now);
            self.book.park(slot, first);
            self.book.park(slot, last);
        }
    }

    /// Stores a bookmark when the one before says too little. What it says stays true, so it waits for its commit.
    pub(super) fn plan_bookmark(&mut self) {
        let Some(passed_over) = self.intake.bookmark_due() else { return };
        let cursor = self.intake.cursor();
        // An entry that was passed over pays for naming a workspace.
        let most = BOOKMARK_WORKSPACES_MAX.min(passed_over);
        let left: Option<Vec<_>> = self.book.unsettled().map(|unsettled| {
            let behind = unsettled.filter(|(_, first, _)| *first <= cursor);
            behind.take(most + 1).map(|(workspace, first, last)| (workspace.clone(), first, last)).collect()
        });
        match left.filter(|left| left.len() <= most) {
            Some(left) => self.mark(Bookmark { cursor, left }),
            None => self.intake.mark_later(),
        }
    }

    /// Stores this bookmark with the next commit.
    pub(super) fn mark(&mut self, bookmark: Bookmark) {
        self.intake.marked();
        self.committer.mark(bookmark);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::actor::admission::{Admission, NodeCap};
    use crate::actor::maps::HashSet;
    use crate::actor::shard::core::ShardAction;
    use crate::actor::shard::entry::ShardIdentity;
    use crate::actor::shard::intake::Limits;
    use crate::journal::port::{Polled, RawEntry, ShardRequest};
    use crate::message::{EntryId, WorkspaceId};
    use crate::workspace::Time;

    fn id(ms: u64) -> EntryId {
        EntryId { ms, n: 0 }
    }

    fn entry(ms: u64, workspace: &str) -> RawEntry {
        let message = r#"{"contact":{},"direction":"sent","timestamp":"t","message_id":"m"}"#;
        let fields = vec![("workspace".into(), workspace.to_owned().into()), ("message".into(), message.into())];
        RawEntry { id: id(ms), fields }
    }

    struct Shard(ShardCore);

    impl Shard {
        fn begin(bookmark: Option<Bookmark>) -> Self {
            let identity = ShardIdentity { shard: 0, shards: 1, prefix: Arc::from("outbound") };
            let admission = Admission::new(NodeCap::new(1), Duration::ZERO);
            let limits = Limits { allowance: 2, bookmark_every: 4, ..Limits::default() };
            let now = Instant::now();
            let mut core = ShardCore::new(identity, limits, || Time::from_unix_ms(0), admission, now);
            assert!(matches!(core.next_action(now), Some(ShardAction::Acquire { .. })));
            core.acquired(Vec::new(), bookmark, &HashSet::default(), now + Duration::from_secs(10), now);
            Self(core)
        }

        /// What a read finds; the bookmark that it leads to.
        fn read(&mut self, messages: Vec<RawEntry>) -> Option<Bookmark> {
            self.0.polled(Polled { messages, ..Polled::default() }, Instant::now());
            self.actions().into_iter().find_map(|action| match action {
                ShardAction::Send(ShardRequest::Commit { batch, .. }) => batch.bookmark,
                _ => None,
            })
        }

        fn actions(&mut self) -> Vec<ShardAction> {
            std::iter::from_fn(|| self.0.next_action(Instant::now())).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_passed_over_is_told_and_not_read_again_before_what_is_new() {
        let mut shard = Shard::begin(None);
        shard.actions();
        shard.0.committed(0, Instant::now() + Duration::from_secs(10), Instant::now());
        // Two are held, of each; three are passed over, then one more.
        let mut entries: Vec<RawEntry> = (1..=5).map(|ms| entry(ms, "slow")).collect();
        entries.push(entry(6, "quick"));
        assert_eq!(shard.read(entries), None);
        let bookmark = shard.read(vec![entry(7, "slow")]).unwrap();
        let left: [(WorkspaceId, _, _); 2] =
            [("slow".parse().unwrap(), id(1), id(7)), ("quick".parse().unwrap(), id(6), id(6))];
        let mut told = bookmark.left.clone();
        told.sort_by_key(|(_, first, _)| *first);
        assert_eq!((bookmark.cursor, told), (id(7), left.to_vec()));

        let mut again = Shard::begin(Some(bookmark));
        let actions = again.actions();
        let caught_up = actions.iter().find_map(|action| match action {
            ShardAction::Send(ShardRequest::CatchUp { from, to, .. }) => Some((*from, *to)),
            _ => None,
        });
        assert_eq!(caught_up, Some((id(1), id(7))), "{actions:?}");
        let now = Instant::now();
        again
            .0
            .caught_up((1..=5).map(|ms| entry(ms, "slow")).chain([entry(6, "quick"), entry(7, "slow")]).collect(), now);
        let slot = again.0.book.find("quick").unwrap();
        let quick = again.0.book.get(slot).unwrap();
        assert!(quick.waiting() == 1 && !quick.is_parked(), "nothing of it is left: {quick:?}");
        let read = again.actions().into_iter().find_map(|action| match action {
            ShardAction::Poll(poll) => poll.messages,
            _ => None,
        });
        assert!(read.is_none_or(|(after, _)| after == id(7)), "{read:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn ids_that_went_backwards_take_the_bookmark_away() {
        let left = vec![("slow".parse().unwrap(), id(1), id(7))];
        let mut shard = Shard::begin(Some(Bookmark { cursor: id(1_000), left }));
        shard.actions();
        shard.0.committed(0, Instant::now() + Duration::from_secs(10), Instant::now());
        shard.0.caught_up(Vec::new(), Instant::now());
        assert_eq!(shard.0.parked(), [""; 0], "what was left is gone");
        shard.read(Vec::new());
        let now = Instant::now();
        shard.0.polled(Polled { length: Some(1), ..Polled::default() }, now);
        let actions = shard.actions();
        let marked = actions.iter().find_map(|action| match action {
            ShardAction::Send(ShardRequest::Commit { batch, .. }) => batch.bookmark.clone(),
            _ => None,
        });
        assert_eq!(marked, Some(Bookmark::default()), "{actions:?}");
        let read = actions.iter().find_map(|action| match action {
            ShardAction::Poll(poll) => poll.messages,
            _ => None,
        });
        assert_eq!(read.map(|(after, _)| after), Some(EntryId::ZERO));
    }
}
