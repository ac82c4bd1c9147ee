//! What the shards run with.

use std::sync::Arc;
use std::time::Duration;

use crate::config::SourceForm;
use crate::deliver;
use crate::journal::port::{Journal, NodeRecord};
use crate::notify::Mailer;
use crate::seal::Keyring;
use crate::workspace::Policy;
use crate::workspace::time::Clock;

/// What the shards run with.
#[derive(Clone)]
pub struct ShardOptions {
    /// Where everything is stored.
    pub journal: Arc<dyn Journal>,
    /// What the journal's keys start with; named in the reason of an entry in the wrong shard.
    pub prefix: Arc<str>,
    /// Hands mails over; without one nothing is owed.
    pub mailer: Option<Mailer>,
    /// How attempts are made.
    pub deliver: deliver::CourierOptions,
    /// The rules' numbers.
    pub policy: Policy,
    /// Attempts in flight on this node.
    pub in_flight_max: usize,
    /// What this node tells the others of itself: its id above all.
    pub node: NodeRecord,
    /// Streams of other people whose entries are handed over.
    pub sources: Vec<Arc<str>>,
    /// How their entries are read.
    pub source_form: SourceForm,
    /// How long a lease lasts.
    pub lease: Duration,
    /// Threads that run shards.
    pub arbiters: usize,
    /// Seals what is confidential before it is stored.
    pub keyring: Arc<Keyring>,
    /// Reads the wall clock.
    pub clock: Clock,
}
