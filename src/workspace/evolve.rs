//! Folding events into state. Total: no error, no wildcard arm, no clock.
#![deny(clippy::wildcard_enum_match_arm)]

use super::event::Event;
use super::state::State;

impl State {
    /// Takes one event in. A sequenced event moves `seq` by one, so that afterwards `seq` is its seq.
    pub fn evolve(&mut self, event: &Event) {
        let _ = event;
        unimplemented!()
    }
}
