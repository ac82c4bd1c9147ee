//! The live stream of a workspace: server-sent events, one for each new attempt and each change of the
//! webhook's state. The API (`/v1/workspaces/{ws}/attempts/live`) and the screen send the same.
//!
//! A stream begins with the present state. Every event's `id` is a seq, so a client that lost its
//! connection and comes back with `Last-Event-ID` gets the attempts since then; of what is no longer
//! among the last 100 a `gap` tells. A stream ends when the service does, and when the token that it was
//! opened with expires or is revoked.
//!
//! Nothing waits in a queue: what is new follows from the seq that a client has and from what is durable
//! now, and is made when the client takes it. One task reads for all streams of a workspace. Who takes
//! nothing is cut by `server`.

mod cursor;
pub(super) mod stream;
pub(super) mod watch;
