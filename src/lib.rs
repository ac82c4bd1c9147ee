//! `outbound` POSTs every new WhatsApp message of a workspace once, as JSON, to the URL that the
//! workspace configured. This page is the map: the path of a message, the rooms in reading order, and
//! what is always true.
//!
//! # The path of a message
//!
//! ```text
//!  producer ─XADD─▶ source ─hand-over─▶ {k}:messages ─┐
//!  producer ─XADD───────────────────────▶             ├─▶ Intake ─▶ Shard ─▶ Workspace actor ─▶ Courier ─POST─▶ endpoint
//!  facade ──submit──▶ {k}:commands ───────────────────┘  permits    route       decide              │
//!     ▲  ▲                                                                      │         ▲         │ outcome
//!     │  └─ answer ── {k}:answers ◀──┐                                          │         └─────────┘
//!     │ reads                        │                                          │ events, settled entries
//!     └── snapshot + attempts + journal ◀── one atomic commit ── Committer ◀────┘      then: Mailer
//! ```
//!
//! One direction: input → decision → attempt → outcome → decision → commit. The facade never talks to
//! an actor: it submits a command durably and waits for its answer, which is written in the commit that settles
//! the command. Reads come straight from the journal.
//!
//! # Rooms, in reading order
//!
//! - [`message`]: the inbound message, checked and otherwise left byte for byte.
//! - [`workspace`]: the aggregate. Pure: state, events, commands, what follows from what.
//! - [`journal`]: the port with its written contract, its conformance laws, and the two adapters,
//!   Redis and one embedded file. Redis can hold attempts compressed, with a dictionary that is part of the program.
//! - [`actor`]: the running shards: intake, permits, the book, workspace actors, the committer. The
//!   only room that names actix.
//! - [`seal`]: what is confidential, encrypted wherever it is stored once a key is configured. The only room that names the cipher.
//! - [`sign`]: Standard Webhooks, sign and verify.
//! - [`deliver`]: one attempt: the target (what a webhook's requests share), courier, connections, egress guard,
//!   classification of outcomes.
//! - [`notify`]: the mails to the owner of a webhook: it was switched off, it fails, it delivers again.
//! - [`http`]: the thin facade with its description, the screen, and the built-in receiver. The
//!   only room that names axum.
//! - [`cli`]: the command line, one file a subcommand.
//! - [`app`]: wiring, start order, drain order.
//! - [`config`]: every limit and timeout by name.
//! - [`telemetry`]: what is logged, and how.
//! - [`docs`]: the pages: the [contract](docs::contract) (what the outside sees), the [design](docs::design) (why the
//!   inside is as it is), [performance](docs::performance) (limits and how to measure), and pages for
//!   [operators](docs::operations) and [integrators](docs::integrators).
//!
//! Imports point one way. `message` uses no other room, `workspace` only `message`; `seal` uses both. `config` uses these
//! three. `sign`, `telemetry`, `journal`, `deliver` and `notify` use what stands before them, `notify` the mails of `journal`
//! too. `actor` uses all of these, `http` all but `actor` and of `deliver` only the egress guard; `app` and `cli` use
//! everything. The table `ROOMS` in `tests/tidy` says it exactly and keeps it true.
//!
//! # Invariants
//!
//! - `workspace` does no I/O, reads no clock and draws no randomness; `evolve` cannot fail.
//! - An entry is settled in the same atomic commit as the events that it caused, and stays in its
//!   stream until then. So a crash loses nothing, and repeats at most what was not yet durable.
//! - An entry in a shard's book is never taken up a second time, whether the forward read or a catch-up finds it.
//! - A POST is made at most once for each entry, unless the service crashes, loses its lease, or Redis loses what it
//!   acknowledged before the outcome is durable; an error is never sent again.
//! - A mail goes out only after the event that owes it is durable.
//! - Loads and catch-ups are sent on the connection of the commits, after every commit made before them.
//! - Permits bound what is in memory, whatever the backlog. A thread that has enough to do reads once in 20 ms at most.
//! - A shipped dictionary is never changed or removed, for compressed attempts name it.
//! - Every queue, map, body and wait has a bound with a name.

pub mod actor;
pub mod app;
pub mod cli;
pub mod config;
pub mod deliver;
pub mod docs;
pub mod http;
pub mod journal;
pub mod message;
pub mod notify;
pub mod seal;
pub mod sign;
pub mod telemetry;
pub mod workspace;
