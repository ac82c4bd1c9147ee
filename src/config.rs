//! Every limit and timeout by name, with its unit and its reason; and what an operator may choose.
//!
//! Bounds of stored forms (attempts kept, sizes of a commit) stand with the contract that they
//! belong to, in [`crate::journal::port`]; bounds of a message in [`crate::message`]; the numbers of
//! the rules in [`crate::workspace::policy`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use self::network::EgressRules;
use crate::seal::Keyring;
use crate::workspace::Policy;

mod descriptors;
pub mod duration;
mod facade;
mod hand_over;
mod journal;
mod mail;
mod refusals;
pub mod network;
mod shard_set;
mod source;
pub mod private;

pub use descriptors::{
    DESCRIPTORS_A_CLUSTER_SHARD, DESCRIPTORS_A_SHARD, DESCRIPTORS_OTHER, DescriptorShares, ENDPOINT_CONNECTIONS_MAX,
    FACADE_CONNECTIONS_MAX, LOOKUPS_MAX, journal_descriptors,
};

pub use duration::Pauses;
pub use facade::*;
pub use hand_over::*;
pub use journal::{COMPRESSION_DEFAULT, Compression, Durability, JournalConfig, RedisFiles, embedded_file};
pub use mail::*;
pub use refusals::*;
pub use shard_set::{InvalidShardSet, SHARDS_MAX, ShardSet};
pub use source::{InvalidJsonPointer, InvalidSourceFields, JsonPointer, SourceFields, SourceForm};

// Intake and shard.

/// Entries that a shard holds in memory at most. Enough for a window of 32 for 48 workspaces and a quarter for what waits.
pub const PERMITS: usize = 2_048;
/// Bytes of entries that a shard holds at most (one entry is always held, however large).
pub const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Entries not yet attempted that one workspace may hold.
pub const ALLOWANCE: usize = 512;
/// While permits are scarce a workspace holds no more than one part in so many of those that are free, so that many slow
/// ones leave some.
pub const FREE_PERMITS_SHARE: usize = 4;
/// But so many in any case: as many as its window may be.
pub const SHARE_MIN: usize = 32;
/// How long they count as scarce after a workspace had to give some back.
pub const SCARCE_FOR: Duration = Duration::from_secs(1);
/// Workspaces give back until one part in so many of the entries, and of the bytes, that a shard may hold is free.
pub const ROOM_TO_READ_ON: usize = 16;
/// Commands that a shard holds in memory at most: of their own, so that a save never waits for a backlog.
pub const COMMAND_PERMITS: usize = 64;
/// Entries of one read at most: few enough that they are still in the processor's caches when their turn
/// comes, enough that Redis spends little on the read itself.
pub const READ_COUNT_MAX: usize = 32;
/// Entries of one read at most while nearly all of them are passed over: few enough that Redis is not held
/// up; enough that little time goes by between two reads.
pub const READ_PASSED_MAX: usize = 512;
/// From so many entries a read on the one behind it begins ahead. An answer that was read ahead has a bound, one that was not has
/// none but the number of its entries: at 512 KiB each 64 MiB.
pub const READ_AHEAD_MIN: usize = 128;
/// Bytes of entries after which a read of Redis ends, whatever producers append: few enough to come in time from far away.
pub const READ_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of a whole stream that are read as they come: together with what Redis' own structures take.
pub const READ_SMALL_BYTES: u64 = 8 * 1024 * 1024;
/// How long a short stream is taken to hold nothing large: too short for many large entries to come.
pub const READ_JUDGED_SHORT: Duration = Duration::from_millis(10);
/// The same of a long one, which takes Redis longer to measure.
pub const READ_JUDGED_LONG: Duration = Duration::from_millis(100);
/// Shards of a thread that read what is there at a time: one reads while the other's entries are taken up. With
/// all of them at it, a delivery took a fifth more of the service. What Redis reads ahead for a shard is not counted.
pub const READERS_MAX: usize = 2;
/// A shard that waited for so long for its turn to read reads whoever else does: commands come with messages, and
/// a store's node that does not answer holds up only its own shards.
pub const READER_WAIT_MAX: Duration = Duration::from_millis(20);
/// The smallest size that an entry is taken to have when a read's count is derived from the byte budget.
pub const ENTRY_BYTES_ASSUMED: usize = 4 * 1024;
/// A thread that comes round within this span has time for another read: about 30 deliveries.
pub const TURN_MAX: Duration = Duration::from_millis(1);
/// Longer turns hold a read up for about so long, no longer.
pub const TURNS_WAIT_MAX: Duration = Duration::from_millis(20);
/// How long a forward read waits for the first entry.
pub const READ_BLOCK: Duration = Duration::from_secs(2);
/// How often commands are looked for while no message may be read, and while messages are read ahead.
pub const COMMAND_POLL: Duration = Duration::from_millis(20);
/// When fewer than [`PERMITS_FREED_MIN`] permits come free within this span, the greatest holder gives back.
pub const GIVE_BACK_AFTER: Duration = Duration::from_millis(50);
/// See [`GIVE_BACK_AFTER`].
pub const PERMITS_FREED_MIN: usize = 64;
/// One part in so many of a reader's time at most goes into reading what is parked once more, to find entries whose
/// ids went backwards.
pub const SEARCH_SHARE: u32 = 10;
/// A bookmark is stored when so many entries were passed over since the last one: after a restart no more of them
/// are passed over once more.
pub const BOOKMARK_EVERY: usize = 1_024;
/// Workspaces that a bookmark names, about 60 bytes each; where more have left something behind, the one before holds.
pub const BOOKMARK_WORKSPACES_MAX: usize = 4_096;
/// Pauses after a failed load, a panic, a reload.
pub const BACKOFF: Pauses = Pauses { first: Duration::from_millis(100), most: Duration::from_secs(30) };
/// How long a workspace without work stays decoded in memory; then it is hibernated to its snapshot until its next mail.
pub const HIBERNATE_AFTER: Duration = Duration::from_secs(2);
/// How long a workspace without work stays in memory.
pub const IDLE_AFTER: Duration = Duration::from_secs(60);
/// Workspaces of a shard in memory at most; beyond it the longest idle one goes first.
pub const ACTIVE_MAX: usize = 16_384;

/// A message that came more recently is on its way and does not wait.
pub const WAITING_MIN: Duration = Duration::from_secs(1);
/// How often a shard tells what waits in it: what is shown of it is at most two seconds old.
pub const WAITING_TOLD_EVERY: Duration = Duration::from_secs(1);

/// A shard that moves to a node which held all of its own counts as missing when it is not there after this.
pub const MOVING_UNHELD_MAX: Duration = Duration::from_secs(2);

/// The pause before a task of the node that panicked begins again.
pub const PANIC_PAUSE: Duration = Duration::from_secs(1);

// Committer and lease.

/// How long a small batch waits for company.
pub const LINGER: Duration = Duration::from_millis(2);
/// A batch of so many steps waits no longer.
pub const LINGER_STEPS: usize = 64;
/// Attempts of a workspace without a snapshot at most: bounds a load.
pub const SNAPSHOT_EVERY: usize = 64;
/// The lease is at least this long; see [`Config::lease`].
pub const LEASE_MIN: Duration = Duration::from_secs(10);
/// How often a lease is renewed when nothing is committed.
pub const RENEW_EVERY: Duration = Duration::from_secs(3);
/// With a commit or renewal unanswered for so long nothing new is attempted.
pub const STORE_SILENT_MAX: Duration = Duration::from_secs(1);
/// How much longer where it waits for a log that is synced once a second: for the sync that was under way, and the next.
pub const STORE_SYNCED_LATER: Duration = Duration::from_secs(2);
/// How long a drain waits for attempts in flight, beyond their own deadline.
pub const DRAIN_EXTRA: Duration = Duration::from_secs(5);

// Nodes that share the work.

/// How often a node reads who else is there and who holds what.
pub const NODES_LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often while shards move: whoever takes one over does so within this time after it was released.
pub const NODES_LOOK_SOON: Duration = Duration::from_millis(50);
/// How often a node's record is written while nothing in it changes.
pub const NODE_WRITTEN_EVERY: Duration = Duration::from_secs(1);
/// A node whose record was not written for so long is gone: a few writes, and less than the shortest lease, so that
/// who takes over is decided when that ends.
pub const NODE_GONE_AFTER: Duration = Duration::from_secs(5);
/// The record of a node that is gone is shown for so long, then deleted.
pub const NODE_SHOWN_FOR: Duration = Duration::from_secs(60);
/// While a node could not look for longer than this, the others may not have been able to write either: that time
/// is held against none.
pub const NODES_BLIND_AFTER: Duration = Duration::from_secs(1);
/// A shard that was given away and that nobody took for so long keeps no other one from moving.
pub const MOVE_MAX: Duration = Duration::from_secs(5);
/// How long a node that ends waits for the store when it says so.
pub const WITHDRAW_MAX: Duration = Duration::from_secs(1);

// Redis.

/// How long Redis may take for an answer; a blocking read may take so much longer than it blocks.
/// Under the shortest lease, above the pauses of a fork or an fsync.
pub const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long connecting and the handshake may take.
pub const STORE_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a seed of a cluster, or a sentinel, is waited for before the next one is asked beside it: many times what one
/// takes that is well, and little of a fail-over.
pub const SEED_SILENT_MAX: Duration = Duration::from_millis(250);
/// How long a primary that seeds named may be silent to whoever connects, before they are asked whether it still is one.
pub const NAMED_SILENT_MAX: Duration = Duration::from_millis(500);
/// How long a Redis that refused a commit because it is full is taken to be full: commits come without bodies meanwhile.
pub const STORE_FULL_CHECK: Duration = Duration::from_secs(1);
/// How often TCP asks a silent Redis whether it is there.
pub const STORE_KEEPALIVE: Duration = Duration::from_secs(10);
/// How long sent bytes may stay unacknowledged by TCP before the connection counts as dead.
pub const STORE_UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);
/// Pauses between tries to reach Redis.
pub const STORE_BACKOFF: Pauses = Pauses { first: Duration::from_millis(20), most: Duration::from_secs(1) };
/// How often a node asks the store how it is.
pub const STORE_WATCH_EVERY: Duration = Duration::from_secs(1);
/// Shards of a cluster whose nodes are asked each time: more nodes than that hold few shards each.
pub const CLUSTER_QUESTIONS_MAX: u16 = 16;
/// After how long it is told that a shard's streams cannot be read though the store answers: it refuses at once, and a
/// connection that is lost is made anew within less.
pub const READS_FAILING_TOLD: Duration = Duration::from_secs(5);
/// How often a trouble of the store that lasts is told again.
pub const STORE_TOLD_EVERY: Duration = Duration::from_secs(60);
/// How long one WAIT or WAITAOF waits at most; it is made again for as long as it takes. Longer than the second between two
/// fsyncs of a Redis with `appendfsync everysec`.
pub const DURABLE_WAIT: Duration = Duration::from_secs(2);
/// How often a Redis that does not sync each write any more is asked whether it does again, within that time.
pub const DURABLE_LOOK_EVERY: Duration = Duration::from_millis(100);
/// Callers that wait together for their writes to be durable: all that may commit, publish or save at a time.
pub const DURABLE_WAITING_MAX: usize = 4_096;
/// How long a start waits for slots of a cluster that no node has: one that is just being set up gets a moment.
pub const CLUSTER_SLOTS_WAIT: Duration = Duration::from_secs(3);
/// A shared connection that was idle for so long is asked for a sign of life first.
pub const STORE_IDLE_CHECK: Duration = Duration::from_secs(1);
/// Requests of one shard connection that wait to be sent: one load for every entry and command that a shard
/// holds, and a few more. Beyond it the shard connection fails.
pub const SHARD_REQUESTS_WAITING_MAX: usize = PERMITS + COMMAND_PERMITS + 64;
/// Requests of one shard connection that are sent and unanswered: bounds the answers under way.
pub const SHARD_REQUESTS_UNANSWERED_MAX: usize = 64;
/// A commit of fewer attempts is a script's call on Redis: a transaction costs more by itself and less by attempt.
pub const TRANSACTION_ATTEMPTS_MIN: usize = 16;
/// How long a rejected entry is nobody else's while it is requeued to another server: longer than its append can take.
pub const REQUEUE_CLAIM: Duration = Duration::from_secs(30);
/// Answers kept of a shard: more than can be waited for at a time.
pub const ANSWERS_RETAINED: usize = 1_000;
/// How long a listener for answers blocks; without waiters it ends after that.
pub const ANSWER_BLOCK: Duration = Duration::from_secs(2);

/// Bytes of a dictionary that attempts are compressed with; more gains nothing
/// ([performance](crate::docs::performance#the-physical-limits)).
pub const DICTIONARY_BYTES_MAX: usize = 16 * 1024;
/// Bytes of an attempt's stored form at most: its message, what is kept of the response with every
/// character escaped, and the rest.
pub const UNPACKED_BYTES_MAX: usize = 1024 * 1024;
const _: () = {
    let malformed = MALFORMED_LINES_MAX * MALFORMED_LINE_BYTES_MAX;
    let escaped = 6 * (RESPONSE_BODY_RETAINED_MAX + RESPONSE_HEADER_BYTES_RETAINED_MAX + malformed);
    assert!(crate::message::MESSAGE_BYTES_MAX + 2 * escaped <= UNPACKED_BYTES_MAX);
};

/// Workspaces that the walk over old logs looks at together, once in [`LOG_WALK_PAUSE`].
pub const LOG_WALK_PAGE: usize = 100;
/// See [`LOG_WALK_PAGE`].
pub const LOG_WALK_PAUSE: Duration = Duration::from_secs(1);
/// How long after a walk the next one begins at the latest.
pub const LOG_WALK_EVERY: Duration = Duration::from_secs(60 * 60);

// Attempts.

/// Bytes read of a response.
pub const RESPONSE_READ_MAX: usize = 16 * 1024;
/// Bytes retained of a response's body.
pub const RESPONSE_BODY_RETAINED_MAX: usize = 4 * 1024;
/// Headers of a response; more is an error of kind `protocol`. It is hyper's own default and only named here:
/// hyper allocates as soon as a number is set. `tests/delivery` holds it.
pub const RESPONSE_HEADERS_MAX: usize = 100;
/// Bytes retained of a response's headers, names and values.
pub const RESPONSE_HEADER_BYTES_RETAINED_MAX: usize = 16 * 1024;
/// How long the body of a successful response is waited for, within the deadline: the status has decided
/// already (contract section 2).
pub const DELIVERED_BODY_MAX: Duration = Duration::from_secs(1);
/// An attempt that is woken so much after its deadline waits on for as long as it was late: its answer may be in the socket.
pub const WOKEN_LATE_MIN: Duration = Duration::from_millis(20);
/// An attempt that ends so long after its deadline without an answer tells that this process stood still: it is not counted.
pub const STANDSTILL_MIN: Duration = Duration::from_secs(2);
/// Bytes read behind the head of a response, however little body is in them: chunks may be one byte each, and their sizes
/// of any length. Several times what is read of a body.
pub const RAW_BODY_BYTES_MAX: usize = 8 * RESPONSE_READ_MAX;
/// Bytes of a response's head that are held back until it is whole, and recorded to name what is malformed in it.
pub const RAW_HEAD_BYTES_MAX: usize = 32 * 1024;
/// Bytes of a longer one: hyper refuses it before it has read so much, with an error that says so.
pub const OVERLONG_HEAD_BYTES_MAX: usize = 512 * 1024;
/// Bytes of interim responses (1xx) in front of the one that counts: the hints of many pages.
pub const INTERIM_BYTES_MAX: usize = 512 * 1024;
/// Malformed lines of a head that are logged.
pub const MALFORMED_LINES_MAX: usize = 4;
/// Bytes logged of each.
pub const MALFORMED_LINE_BYTES_MAX: usize = 256;
/// Age at which a connection is not used again, so that a changed DNS record is followed (contract section 2).
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);
/// How much earlier than an endpoint's `Keep-Alive: timeout` an idle connection is given up: what is under way
/// then must not cross with its close.
pub const KEEP_ALIVE_MARGIN: Duration = Duration::from_secs(1);
/// How long an idle connection is kept: under the 5 s after which Node closes it.
pub const POOL_IDLE: Duration = Duration::from_secs(4);
/// How often connections that were idle for so long are looked for.
pub const POOL_EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// How long a connection that nobody needs any more may take to close: an endpoint that reads nothing would
/// keep what it was sent in memory.
pub const CLOSE_MAX: Duration = Duration::from_secs(5);
/// Bytes of a request that the system takes beyond what it can send: an endpoint that has answered and leaves more than
/// that unread does not keep its connection.
pub const UNSENT_BYTES_MAX: u32 = 16 * 1024;
/// How often TCP asks an endpoint that is silent whether it is there, so that no router in between forgets it.
pub const ENDPOINT_KEEPALIVE: Duration = Duration::from_secs(15);
/// Idle connections that a thread keeps for one scheme, host and port, as many as may be in flight there; further
/// ones close.
pub const POOL_IDLE_PER_HOST_MAX: usize = 2_048;
/// How long every request to an endpoint that broke a connection gets a connection of its own.
pub const NO_REUSE_FOR: Duration = Duration::from_secs(10 * 60);
/// Endpoints that are remembered for [`NO_REUSE_FOR`]; the connections of further ones are reused.
pub const NO_REUSE_MAX: usize = 1_024;
/// How long a connection to one address of an endpoint is waited for until the next address is tried beside it: the delay
/// that RFC 8305 (section 5) recommends.
pub const CONNECT_ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Addresses of a name that one attempt tries: as many as begin within a deadline of four seconds though all are silent.
pub const CONNECT_ADDRESSES_MAX: usize = 16;
/// How long the address is tried first that took a connection when others did not: then these get their turn again, for they
/// may be mended, and the load was meant for all.
pub const PREFERRED_ADDRESS_FOR: Duration = Duration::from_secs(10 * 60);
/// How long an attempt waits for what this machine has too little of (a connection's place, a lookup's turn): short, so
/// that nearly all of its deadline is left to the endpoint. Who waits longer is tried again with all of it.
pub const OWN_WAIT_MAX: Duration = Duration::from_millis(100);
/// How often the system's files about names may be looked at for a change.
pub const NAME_FILES_CHECK: Duration = Duration::from_secs(1);
/// How long a name is asked for without both families' answers until one is enough: name servers exist that never say
/// that a name has no IPv6 address, and RFC 8305 (section 3) does not wait for them either.
pub const NAME_FAMILIES_WAIT: Duration = Duration::from_millis(300);
/// Name servers that are asked, as many as the system's resolver asks.
pub const NAME_SERVERS_MAX: usize = 3;
/// Answers of name servers that a thread keeps, each for as long as its TTL says.
pub const NAMES_CACHED_MAX: u64 = 4_096;
/// How long it is believed that a name has no address: whoever mends a record tests soon after.
pub const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(10);
/// Names without an answer that a thread remembers: together they get at most half of the places for lookups.
pub const SILENT_NAMES_MAX: usize = 4_096;
/// How long a failure that this node's own network may have caused is held, until another host was reached
/// ([contract, section 2](crate::docs::contract#2-the-post-out)).
pub const OUTAGE_WINDOW: Duration = Duration::from_secs(10);
/// Hosts that fail while none is reached, at least, to make it an outage of this node.
pub const OUTAGE_HOSTS_MIN: usize = 3;
/// How often a host that failed is tried during an outage.
pub const OUTAGE_PROBE_EVERY: Duration = Duration::from_secs(1);
/// Hosts that failed and are remembered: further ones are attempted as ever.
pub const OUTAGE_HOSTS_MAX: usize = 4_096;
/// How far our clock must be from the store's and the endpoints' to be called off: signatures are refused from about
/// five minutes on.
pub const CLOCK_OFF_MIN: Duration = Duration::from_secs(120);
/// Workspaces whose endpoints must have sent a `Date`, at least: one owner alone says nothing of our clock.
pub const CLOCK_WORKSPACES_MIN: usize = 3;
/// Workspaces whose endpoints' clocks are remembered; the oldest make room.
pub const CLOCK_WITNESSES_MAX: usize = 64;
/// How long what another clock showed is believed.
pub const CLOCK_SEEN_MAX: Duration = Duration::from_secs(10 * 60);
/// Our clock was set when it moved by so much more or less than the time that passed; what was compared before is forgotten.
pub const CLOCK_JUMP_MIN: Duration = Duration::from_secs(30);
/// How often the `Date` of an endpoint's responses is looked at.
pub const ENDPOINT_DATE_EVERY: Duration = Duration::from_secs(10);
/// Pauses before a workspace's attempts are tried again that our own system could not make (no file descriptor, no
/// port, no network): as often as it takes. A host is tried once a second while the network is away.
pub const UNABLE_PAUSES: Pauses = Pauses { first: Duration::from_millis(100), most: Duration::from_secs(1) };

/// How long Redis is waited for at the start.
pub const START_WAIT: Duration = Duration::from_secs(10);

/// An attempt's deadline when nothing else is said, as it is written on the command line.
pub const TIMEOUT_DEFAULT: &str = "5s";
/// The longest deadline that may be chosen: a lease outlives it, and a drain waits for it.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(300);
/// Attempts in flight on a node when nothing else is said.
pub const IN_FLIGHT_DEFAULT: u32 = 4_096;
/// Attempts in flight that may be chosen at most: about as many ports as one address has.
pub const IN_FLIGHT_MAX: u32 = 65_536;
/// The greatest error limit that may be chosen: sums with it cannot overflow.
pub const ERROR_LIMIT_MAX: u32 = 1_000_000;

/// Shards when nothing else is said; fixed at the first start.
pub const SHARDS_DEFAULT: u16 = 16;

/// What the service runs with. The command line makes it; `app` takes it.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is remembered.
    pub journal: JournalConfig,
    /// When what is stored there counts as stored.
    pub durability: Durability,
    /// How the log is stored there, when that is a Redis.
    pub compression: Compression,
    /// The newest format that this node reads and writes there; `None` is the program's.
    pub format: Option<u32>,
    /// Node id, lock, admin token, embedded file.
    pub data_dir: PathBuf,
    /// Shards to create; `None` takes what is stored, else [`SHARDS_DEFAULT`].
    pub shards: Option<u16>,
    /// Streams of other people whose entries are handed over.
    pub sources: Vec<String>,
    /// How their entries are read.
    pub source_form: SourceForm,
    /// The shards that this node runs, whoever else is there; `None` shares them among the nodes.
    pub static_shards: Option<ShardSet>,
    /// The rules' numbers.
    pub policy: Policy,
    /// One deadline for an attempt, from DNS to the last byte.
    pub timeout: Duration,
    /// Attempts in flight on this node.
    pub in_flight_max: usize,
    /// What the egress guard lets through.
    pub reach: EgressRules,
    /// The mail server; without one mails end as `no_mail_server`.
    pub mail: Option<MailConfig>,
    /// Seals what is confidential wherever it rests; without a key nothing is sealed.
    pub keyring: Arc<Keyring>,
    /// Keys that something may be sealed with and that this node may start without, by id.
    pub without_keys: Vec<String>,
    /// Where the facade listens.
    pub listen: std::net::SocketAddr,
    /// The facade's address as the outside sees it, for links.
    pub public_url: Option<String>,
    /// Threads that run shards.
    pub arbiters: usize,
    /// File descriptors that the process may open.
    pub descriptors: usize,
    /// How endpoints' names are resolved.
    pub names: NameSource,
    /// Asked whether the network works, in place of the hosts that fail.
    pub canary: Option<Url>,
    /// How long the log of a workspace is kept in which nothing happens; without one it stays.
    pub log_max_age: Option<Duration>,
}

/// Where the system says how names are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameSource {
    /// The name servers and how they are asked.
    pub resolv_conf: PathBuf,
    /// Names that are answered without asking.
    pub hosts: PathBuf,
    /// The port of the name servers, which `resolv_conf` cannot say.
    pub port: u16,
}

impl Default for NameSource {
    fn default() -> Self {
        Self { resolv_conf: "/etc/resolv.conf".into(), hosts: "/etc/hosts".into(), port: 53 }
    }
}

impl Config {
    /// How long a lease lives: an attempt must fit in with room to spare.
    #[must_use]
    pub fn lease(&self) -> Duration {
        LEASE_MIN.max(self.timeout + Duration::from_secs(5))
    }

    /// How long a caller waits for a command's answer ([contract, section 4](crate::docs::contract#4-http)).
    #[must_use]
    pub fn answer_wait(&self) -> Duration {
        self.lease() + ANSWER_EXTRA
    }
}
