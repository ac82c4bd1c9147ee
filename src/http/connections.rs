//! The open connections: how many there may be, and which goes first.
//!
//! A connection is a *stranger's* until a token was shown on it that opens something. Strangers have so many connections; a
//! further one is taken in and the oldest of them closed, so that who holds connections open keeps nobody
//! out. Addresses are not told apart: many callers share a proxy's.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::Extensions;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::shares::{Share, Shares};
use crate::config::{CONNECTIONS_MAX, CONNECTIONS_PER_WORKSPACE_MAX};
use crate::message::WorkspaceId;

/// All connections.
pub(super) struct Connections {
    /// Places of connections on which a valid token was shown.
    known: Shares,
    strangers: Mutex<Strangers>,
    strangers_max: usize,
}

/// Strangers' connections by their number: the lowest is the oldest.
#[derive(Default)]
struct Strangers {
    next: u64,
    open: BTreeMap<u64, Arc<Notify>>,
}

impl Connections {
    /// Known ones get three times the places of strangers, up to [`CONNECTIONS_MAX`]; a workspace never more than half of them.
    pub(super) fn new(strangers_max: usize) -> Arc<Self> {
        let known_max = (3 * strangers_max).min(CONNECTIONS_MAX);
        let known = Shares::new(known_max, CONNECTIONS_PER_WORKSPACE_MAX.min(known_max / 2));
        Arc::new(Self { known, strangers: Mutex::default(), strangers_max })
    }

    /// Takes a stranger's connection in.
    pub(super) fn open(self: &Arc<Self>) -> OpenConnection {
        let close = Arc::new(Notify::new());
        let mut strangers = self.strangers.lock();
        let number = strangers.next;
        strangers.next += 1;
        if strangers.open.len() >= self.strangers_max {
            strangers.close_oldest();
        }
        strangers.open.insert(number, Arc::clone(&close));
        let connection =
            CountedConnection { number, close, standing: Mutex::new(Standing::Stranger), all: Arc::clone(self) };
        OpenConnection(ConnectionHandle(Arc::new(connection)))
    }

    /// Closes the connection that a stranger holds longest: its descriptor is needed.
    pub(super) fn close_oldest(&self) {
        self.strangers.lock().close_oldest();
    }
}

impl Strangers {
    fn close_oldest(&mut self) {
        if let Some((_, close)) = self.open.pop_first() {
            close.notify_one();
        }
    }
}

struct CountedConnection {
    number: u64,
    close: Arc<Notify>,
    standing: Mutex<Standing>,
    all: Arc<Connections>,
}

enum Standing {
    Stranger,
    Known(#[expect(dead_code, reason = "held, not read")] Share),
    Ended,
}

/// A connection, for who answers on it; goes along with every request.
#[derive(Clone)]
pub(super) struct ConnectionHandle(Arc<CountedConnection>);

/// The request that came with `extensions` showed a token that the store knows of no end of, of a workspace or of the operator.
pub(super) fn prove(extensions: &Extensions, workspace: Option<&WorkspaceId>) {
    if let Some(connection) = extensions.get::<ConnectionHandle>() {
        connection.prove(workspace);
    }
}

impl ConnectionHandle {
    /// From now on no stranger takes its place. Where the workspace has its part of the places of known connections, or all
    /// are taken, it stays as it is.
    fn prove(&self, workspace: Option<&WorkspaceId>) {
        let connection = &self.0;
        let mut standing = connection.standing.lock();
        if matches!(*standing, Standing::Stranger)
            && let Ok(share) = connection.all.known.try_take(workspace, 1)
        {
            *standing = Standing::Known(share);
            connection.all.strangers.lock().open.remove(&connection.number);
        }
    }

    /// Closes the connection, whatever is under way on it.
    pub(super) fn close(&self) {
        self.0.close.notify_one();
    }

    /// Waits until it is to be closed.
    pub(super) async fn closed(&self) {
        self.0.close.notified().await;
    }
}

/// A connection while it is open; dropped, its place is free.
pub(super) struct OpenConnection(pub(super) ConnectionHandle);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let connection = &self.0.0;
        *connection.standing.lock() = Standing::Ended;
        connection.all.strangers.lock().open.remove(&connection.number);
    }
}
