//! Hands the common input and other people's streams over to the shards. One node at a time reads a source, by a
//! lease; the others look now and then whether it is free.

use std::collections::BTreeMap;
use std::error::Error;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::actor::rejections::Rejections;
use crate::actor::store_watch::cause;
use crate::config::{
    HAND_OVER_BATCH_MAX, HAND_OVER_BLOCK, HAND_OVER_MAX, HAND_OVER_REJECTED_TOLD, HAND_OVER_RETRY,
    HAND_OVER_TOLD_AFTER, SOURCE_LEASE, SOURCE_LOOK_EVERY, SOURCE_RENEW_EVERY, SourceForm,
};
use crate::journal::port::{HandedOver, Holder, Journal, PendingOfOther, StoreError, StoreTrouble};

/// A stream whose entries are handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// The common input, which is ours.
    Common,
    /// Someone else's.
    Foreign(Arc<str>, SourceForm),
}

impl Source {
    fn name(&self) -> Option<&str> {
        match self {
            Self::Common => None,
            Self::Foreign(name, _) => Some(name),
        }
    }

    /// As a sentence begins with it.
    fn named(&self) -> String {
        match self {
            Self::Common => COMMON_INPUT.to_owned(),
            Self::Foreign(name, _) => format!("source {name}"),
        }
    }

    fn shown(&self) -> &str {
        self.name().unwrap_or(COMMON_INPUT)
    }
}

const COMMON_INPUT: &str = "the common input";

/// What an operator should know of the sources that this node reads.
#[derive(Debug, Default)]
pub(super) struct SourceNotices(Mutex<BTreeMap<String, SourceNotice>>);

/// What there is to tell of one.
#[derive(Debug, Default)]
struct SourceNotice {
    /// Why it cannot be handed over.
    trouble: Option<String>,
    /// What other consumers of its group hold.
    pending: Vec<PendingOfOther>,
    /// Entries of the last hand-overs, as long as all of them were set aside; and why the last one was.
    rejected: (usize, String),
}

impl SourceNotices {
    /// One sentence for each source that stands still, for each of which something is not delivered, and for each of which all is
    /// set aside.
    pub(super) fn notices(&self) -> Vec<String> {
        let sources = self.0.lock();
        let troubles = sources.iter().filter_map(|(source, notice)| {
            let why = notice.trouble.as_ref()?;
            Some(format!("{source} cannot be handed over, and waits: {why}"))
        });
        let held = sources.iter().filter(|(_, notice)| !notice.pending.is_empty());
        let rejecting = sources.iter().filter(|(_, notice)| notice.rejected.0 >= HAND_OVER_REJECTED_TOLD);
        troubles
            .chain(held.map(|(source, notice)| held_by_others(source, &notice.pending)))
            .chain(rejecting.map(|(source, notice)| all_rejected(source, &notice.rejected)))
            .collect()
    }

    /// Another node reads the source, and tells what there is to tell of its entries.
    fn forget(&self, source: &Source) {
        if let Some(notice) = self.0.lock().get_mut(&source.named()) {
            *notice = SourceNotice { trouble: notice.trouble.take(), ..SourceNotice::default() };
        }
    }

    fn note_trouble(&self, source: &Source, trouble: Option<String>) {
        let mut sources = self.0.lock();
        if trouble.is_some() || !sources.is_empty() {
            sources.entry(source.named()).or_default().trouble = trouble;
        }
    }

    /// Takes what became of some entries. Answers what there is to tell: that by now so many were set aside in a row.
    fn note_handed(&self, source: &Source, handed: &HandedOver) -> Option<String> {
        let mut sources = self.0.lock();
        let named = source.named();
        let Some(reason) = handed.rejected.last().filter(|_| handed.rejected.len() == handed.count) else {
            if handed.count > 0
                && let Some(notice) = sources.get_mut(&named)
            {
                notice.rejected.0 = 0;
            }
            return None;
        };
        let rejected = &mut sources.entry(named.clone()).or_default().rejected;
        let before = std::mem::replace(rejected, (rejected.0 + handed.count, reason.clone())).0;
        let is_news = before < HAND_OVER_REJECTED_TOLD && rejected.0 >= HAND_OVER_REJECTED_TOLD;
        is_news.then(|| all_rejected(&named, rejected))
    }

    /// Takes what is pending for others. Answers what there is to tell: that someone has some who had none.
    fn note_pending(&self, source: &Source, pending: Vec<PendingOfOther>) -> Option<String> {
        let mut sources = self.0.lock();
        let named = source.named();
        let known = &mut sources.entry(named.clone()).or_default().pending;
        let before = std::mem::replace(known, pending);
        let is_new = |one: &PendingOfOther| before.iter().all(|known| known.consumer != one.consumer);
        known.iter().any(is_new).then(|| held_by_others(&named, known))
    }
}

fn held_by_others(source: &str, pending: &[PendingOfOther]) -> String {
    let count: u64 = pending.iter().map(|one| one.count).sum();
    let named: Vec<String> =
        pending.iter().take(CONSUMERS_NAMED_MAX).map(|one| format!("{:?}", one.consumer)).collect();
    let more = if pending.len() > CONSUMERS_NAMED_MAX { " and others" } else { "" };
    format!(
        "{source}: entries that other consumers of its group `outbound` were given ({count}, pending for {}{more}) are \
         not delivered, since later ones were: append them again if they must be, and acknowledge them (XACK)",
        named.join(", ")
    )
}

fn all_rejected(source: &str, (count, reason): &(usize, String)) -> String {
    let what = match source {
        COMMON_INPUT => "mend its producers",
        _ => "say where it has workspace and message (`--source-fields`, `--source-message`), or mend its producers",
    };
    format!(
        "{source}: its last {count} entries were all set aside, the last one for this: {reason}. Nothing of it is delivered: \
         {what}; what was set aside is delivered then by `outbound rejected requeue --all`"
    )
}

/// Consumers that one sentence names.
const CONSUMERS_NAMED_MAX: usize = 3;

/// Where it is told what became of a source's entries.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceReport {
    /// Why some were set aside.
    pub(super) rejections: Arc<Rejections>,
    /// What an operator should know.
    pub(super) notices: Arc<SourceNotices>,
}

/// Hands a source over for as long as the service runs.
pub(super) async fn hand_over(journal: Arc<dyn Journal>, source: Source, node: String, report: SourceReport) {
    let mut reading = SourceReading { holder: Holder { node, lease: SOURCE_LEASE }, leased: None, has_looked: false };
    let (mut failing, mut since) = (false, None);
    loop {
        // A panic must not end the hand-over for good.
        let step = AssertUnwindSafe(reading.step(&*journal, &source, &report)).catch_unwind().await;
        let step = step.unwrap_or_else(|_| {
            Err(StoreError {
                trouble: StoreTrouble::Refused,
                what: "the hand-over failed inside the service".to_owned(),
                source: None,
            })
        });
        match step {
            Ok(()) => {
                since = None;
                report.notices.note_trouble(&source, None);
                if std::mem::take(&mut failing) {
                    info!(source = source.shown(), "The source is handed over again.");
                }
            }
            Err(error) => {
                reading.leased = None;
                let lasts = since.get_or_insert_with(Instant::now).elapsed() >= HAND_OVER_TOLD_AFTER;
                if lasts || error.trouble == StoreTrouble::Refused {
                    report.notices.note_trouble(&source, Some(cause(&error)));
                }
                if error.trouble != StoreTrouble::Refused {
                    debug!(
                        source = source.shown(),
                        error = &error as &dyn Error,
                        "The source cannot be handed over now."
                    );
                } else if !std::mem::replace(&mut failing, true) {
                    let what = source.shown();
                    warn!(
                        source = what,
                        error = &error as &dyn Error,
                        "The source cannot be handed over; it is tried again."
                    );
                }
                sleep(HAND_OVER_RETRY).await;
            }
        }
    }
}

/// One source, as this node reads it.
struct SourceReading {
    holder: Holder,
    /// When the lease was taken or renewed last; `None`: it is not ours.
    leased: Option<Instant>,
    /// What others hold was looked for since the lease was taken.
    has_looked: bool,
}

impl SourceReading {
    /// Hands some entries over, or waits for some; takes and renews the lease before.
    async fn step(&mut self, journal: &dyn Journal, source: &Source, report: &SourceReport) -> Result<(), StoreError> {
        if self.leased.is_none_or(|since| since.elapsed() >= SOURCE_RENEW_EVERY) {
            let now = Instant::now();
            self.leased = journal.lease_source(source.name(), &self.holder).await?.then_some(now);
            self.take_over_pending(journal, source, &report.notices).await?;
        }
        if self.leased.is_none() {
            self.has_looked = false;
            report.notices.forget(source);
            sleep(SOURCE_LOOK_EVERY).await;
            return Ok(());
        }
        let handed = match source {
            Source::Common => journal.hand_over(HAND_OVER_MAX, HAND_OVER_BLOCK).await?,
            Source::Foreign(name, form) => {
                journal.hand_over_from(name, form, HAND_OVER_BATCH_MAX, HAND_OVER_BLOCK).await?
            }
        };
        handed.rejected.iter().for_each(|reason| report.rejections.count(reason));
        if let Some(news) = report.notices.note_handed(source, &handed) {
            warn!("{news}");
        }
        Ok(())
    }

    /// Looks for what others of the group were given, before anything new is read, and each time that the lease is renewed.
    async fn take_over_pending(
        &mut self,
        journal: &dyn Journal,
        source: &Source,
        notices: &SourceNotices,
    ) -> Result<(), StoreError> {
        let (Source::Foreign(name, _), Some(_)) = (source, self.leased) else { return Ok(()) };
        match journal.take_over_pending(name).await {
            Ok(pending) => {
                self.has_looked = true;
                if let Some(news) = notices.note_pending(source, pending) {
                    warn!("{news}");
                }
            }
            // One shard's server that is away holds up nothing but its own.
            Err(error) if self.has_looked => {
                debug!(source = &**name, error = &error as &dyn Error, "Looked for later.")
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Lets another node read at once.
pub(super) async fn release(journal: &dyn Journal, source: &Source, node: &str) {
    let ended = Holder { node: node.to_owned(), lease: std::time::Duration::ZERO };
    // If this fails, the lease ends by itself.
    drop(tokio::time::timeout(SOURCE_LEASE, journal.lease_source(source.name(), &ended)).await);
}
