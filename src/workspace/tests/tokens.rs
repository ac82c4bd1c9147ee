//! Revocation of tokens.

use crate::workspace::decide;
use crate::workspace::event::{Event, Forgotten, MailState};
use crate::workspace::scenario::*;
use crate::workspace::state::State;

fn revoke(_: &State) -> Vec<Event> {
    decide::revoke_tokens("ops", at(900))
}

#[test]
fn a_revocation_changes_nothing_but_the_generation() {
    for past in [vec![], vec![switched_on(), counted(failure(1), 1)], streak(MailState::Owed), vec![revoked(1)]] {
        let before = state_of(&past);
        let after = given(past).when(revoke).then([revoked(900)]);
        let token_generation = before.token_generation + 1;
        assert_eq!(after, State { seq: before.seq + 1, token_generation, ..before });
    }
}

#[test]
fn what_was_revoked_stays_so_when_the_workspace_is_forgotten() {
    let forgotten = Event::Forgotten(Forgotten { at: at(950), by: "admin".to_owned() });
    let state = given([switched_on(), revoked(900)]).when(|_: &State| Some(forgotten.clone())).then([forgotten]);
    assert_eq!(state, State { seq: 2, forgotten: 2, token_generation: 1, ..State::default() });
}
