//! The test kit of the aggregate.
