//! The limits of the HTTP facade.

use std::time::Duration;

use super::descriptors::FACADE_CONNECTIONS_MAX;
use super::duration::Pauses;

/// Bytes of a request's body: a message and its wrapping.
pub const REQUEST_BODY_MAX: usize = crate::message::MESSAGE_BYTES_MAX + 1024;
/// A request's head and body must arrive within this.
pub const REQUEST_READ_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's head, its path and all its lines together; more gets 431.
pub const REQUEST_HEAD_MAX: usize = 32 * 1024;
/// Bytes that a connection reads ahead at most. Twice a head, so that one that is somewhat too long is still
/// read, and answered in a way that arrives.
pub const REQUEST_BUFFER_MAX: usize = 2 * REQUEST_HEAD_MAX;
/// Bytes of the form to sign in with: a token of at most 2 KiB, percent-encoded.
pub const SIGN_IN_BODY_MAX: usize = 4 * 1024;
/// Bytes of that form where it brings along what was typed when the session had ended; a larger one is not kept.
pub const UNSENT_FORM_BODY_MAX: usize = 16 * 1024;
/// How long that form may take to arrive.
pub const SIGN_IN_READ_TIMEOUT: Duration = Duration::from_secs(2);
/// Requests of callers with a valid token being answered at a time; more get 503.
pub const REQUESTS_AT_ONCE: usize = 1_024;
/// Of these, those of one workspace's tokens and sessions.
pub const REQUESTS_PER_WORKSPACE_AT_ONCE: usize = 256;
/// Requests of callers without one being answered at a time; more get 503. None of them waits for anything.
pub const STRANGER_REQUESTS_AT_ONCE: usize = 64;
/// Connections on which a valid token was shown, at a time; on further ones callers count as strangers.
pub const CONNECTIONS_MAX: usize = 3_072;
/// Of these, those of one workspace's tokens and sessions.
pub const CONNECTIONS_PER_WORKSPACE_MAX: usize = 512;
/// Connections on which none was shown yet; for a further one the oldest is closed.
pub const STRANGER_CONNECTIONS_MAX: usize = 1_024;
const _: () = assert!(CONNECTIONS_MAX + STRANGER_CONNECTIONS_MAX == FACADE_CONNECTIONS_MAX);
/// Connections to the built-in receiver at a time, whose callers have no tokens.
pub const RECEIVER_CONNECTIONS_MAX: usize = 4_096;
/// How long the mail server may take for a test mail that somebody waits for.
pub const TEST_MAIL_WAIT: Duration = Duration::from_secs(20);
/// Changes that whoever saved too late is told at most.
pub const CHANGES_TOLD_MAX: usize = 10;
/// Tags of one `If-Match`: nobody has seen more revisions at once, and they are stored with the command.
pub const IF_MATCH_TAGS_MAX: usize = 32;
/// Commands of one workspace that wait for their answers; more get 429. A shard takes 1,000 of all.
pub const COMMANDS_PER_WORKSPACE: usize = 64;
/// Workspaces being read whole at a time: each may hold 100 messages of the largest size, 25 MiB, and as much
/// again while it is decoded. Further reads wait.
pub const READS_AT_ONCE: usize = 8;
/// Of these, those of one workspace.
pub const READS_PER_WORKSPACE: usize = 2;
/// Snapshots, histories and rejected entries being read at a time. Further reads wait.
pub const SMALL_READS_AT_ONCE: usize = 64;
/// Of these, those of one workspace.
pub const SMALL_READS_PER_WORKSPACE: usize = 16;
/// Bytes of downloads that wait to be sent; further downloads wait.
pub const DOWNLOAD_BYTES_MAX: usize = 96 * 1024 * 1024;
/// Of these, those of one workspace: its log, however large.
pub const DOWNLOAD_BYTES_PER_WORKSPACE_MAX: usize = 32 * 1024 * 1024;
/// Bytes of other answers that wait to be sent; further answers wait.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Of these, those of one workspace.
pub const ANSWER_BYTES_PER_WORKSPACE_MAX: usize = 8 * 1024 * 1024;
/// Answers up to this size are not counted; the number of connections bounds them.
pub const ANSWER_BYTES_FREE: usize = 16 * 1024;
/// Bytes a second at which an answer must be taken at least, over the whole of it: half a megabit.
pub const DOWNLOAD_RATE_MIN: u64 = 64 * 1024;
/// How far behind that rate a caller may be.
pub const DOWNLOAD_GRACE: Duration = Duration::from_secs(10);
/// Bytes of a body of many messages.
pub const PUBLISHED_BODY_MAX: usize = 4 * 1024 * 1024;
/// Messages of such a body: they are stored in one step, which holds up a Redis for about a millisecond.
pub const PUBLISHED_LINES_MAX: usize = 1_000;
/// Such bodies being taken in at a time; further ones wait.
pub const PUBLISHED_BODIES_AT_ONCE: usize = 16;
/// Of these, those for one workspace.
pub const PUBLISHED_BODIES_PER_WORKSPACE: usize = 4;
/// How long the facade waits for the store to read a workspace or take a message.
pub const STORE_ANSWER_MAX: Duration = Duration::from_secs(5);
/// How often it is asked whether a workspace moved for the live streams of it; read is only what moved.
pub const LIVE_POLL: Duration = Duration::from_secs(1);
/// Pauses between such reads while the store is away.
pub const LIVE_RETRY: Pauses = Pauses { first: Duration::from_secs(1), most: Duration::from_secs(30) };
/// Live streams of this node at a time; more get 429.
pub const LIVE_STREAMS_MAX: usize = 256;
/// Live streams of one workspace on this node at a time; more get 429.
pub const LIVE_STREAMS_PER_WORKSPACE_MAX: usize = 16;
/// A live stream without news says that it is alive this often: more often than common proxies give up.
pub const LIVE_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A caller who takes nothing of his answer for so long is cut.
pub const RESPONSE_STALL_MAX: Duration = Duration::from_secs(10);
/// How old the number of rejected entries may be that readyz tells.
pub const REJECTED_COUNT_MAX_AGE: Duration = Duration::from_secs(5);
/// How often a node looks at how many entries its shards have set aside.
pub const REJECTED_WATCH_EVERY: Duration = Duration::from_secs(5);
/// Kinds of reasons that are counted apart. There are about twenty.
pub const REJECTED_KINDS_MAX: usize = 32;
/// How long readyz waits for that number: far below the time that a probe waits.
pub const REJECTED_COUNT_WAIT: Duration = Duration::from_millis(250);
/// How long the facade's drain waits for requests being answered. A command that is not answered by
/// then is stored and applied all the same.
pub const FACADE_DRAIN_MAX: Duration = Duration::from_secs(10);
/// The shortest admin token.
pub const ADMIN_TOKEN_MIN: usize = 32;
/// Bytes of the key that tokens are signed with, at least: what HMAC-SHA256 puts out (RFC 7518 section 3.2).
pub const TOKEN_KEY_BYTES_MIN: usize = 32;
/// How long the wrong tokens of one address are added up: whoever is told to stop may try again after
/// that at the latest.
pub const WRONG_TOKENS_WINDOW: Duration = Duration::from_secs(60);
/// How long a workspace token lives when nothing else is said.
pub const TOKEN_TTL_DEFAULT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// How long it may live at most.
pub const TOKEN_TTL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long a session of the screen lives: a working day, whatever is done in it.
pub const SESSION_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// A command's answer is waited for this much longer than the lease: a takeover fits in between.
pub const ANSWER_EXTRA: Duration = Duration::from_secs(5);

// The operators' screen.

/// Workspaces with messages that wait that are named: those whose oldest has waited longest.
pub const LONGEST_WAITING_SHOWN: usize = 10;
/// Workspaces on a page of the list.
pub const WORKSPACES_SHOWN: usize = 25;
/// Shards that are listed with what they owe: those whose oldest message has waited longest.
pub const OWING_SHARDS_SHOWN: usize = 16;
/// How long the page waits to be told whether its session was ended; then it is shown as long as the session is valid, for it
/// is needed most while the store is away. A form that changes something waits for the store and is refused without it.
pub const OPERATOR_SESSION_WAIT: Duration = Duration::from_millis(500);
/// How long one part of the page waits for the store; a part that got no answer says so, the others are shown.
pub const OVERVIEW_WAIT: Duration = Duration::from_secs(2);
/// How old may be what is summed up of rejected entries and of mails, however many look.
pub const OVERVIEW_MAX_AGE: Duration = Duration::from_secs(3);
/// Rejected entries whose reasons are read for it, the oldest first.
pub const REJECTED_LOOKED_AT: usize = 1_000;
/// Bytes of them after which no more are read.
pub const REJECTED_LOOKED_AT_BYTES: usize = 8 * 1024 * 1024;
/// Of them so many are read at once: each may be of half a MiB.
pub const REJECTED_SUMMED_AT_ONCE: usize = 4;
/// Rejected entries that one click requeues at most.
pub const REQUEUED_AT_ONCE: usize = 1_000;
/// Workspaces that errors switched off whose mails are looked at.
pub const SWITCHED_OFF_LOOKED_AT: usize = 500;
/// Unsent mails that are listed, the newest first.
pub const UNSENT_MAILS_SHOWN: usize = 10;
/// A mail that has been owed for longer than this is late.
pub const MAIL_LATE_AFTER: Duration = Duration::from_secs(60);
/// How often a node tells what it knows, for the operators' screen of any node, where that has changed.
pub const GLANCE_TOLD_EVERY: Duration = Duration::from_secs(2);
/// How often where it has not, so that a node without work is told from one that is silent.
pub const GLANCE_RETOLD_EVERY: Duration = Duration::from_secs(5);
/// What a node told longer ago is not what it knows now.
pub const GLANCE_OLD_AFTER: Duration = Duration::from_secs(15);
/// What a process told last is kept for so long: the hour that its minutes are shown for, and a little more.
pub const GLANCE_KEPT_FOR: Duration = Duration::from_secs(61 * 60);
/// So many processes' are kept at most, those that told last: a node that starts again and again fills no store. Whoever
/// told within [`GLANCE_OLD_AFTER`] is kept in any case, so however many nodes there are, none takes another's place.
pub const GLANCES_KEPT_MAX: usize = 256;
/// Sentences in it about what is wrong.
pub const GLANCE_REASONS_MAX: usize = 16;
