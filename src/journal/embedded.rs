//! The embedded adapter: one redb file.
