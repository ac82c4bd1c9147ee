//! The stored form of events and snapshots.
