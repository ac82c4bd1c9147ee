use crate::workspace::decide;
use crate::workspace::event::{Event, MessagesSkipped};
use crate::workspace::scenario::*;
use crate::workspace::state::{Skipped, State};

fn skip(entries: &[u64], ms: i64) -> impl FnOnce(&State) -> Option<Event> {
    let entries: Vec<_> = entries.iter().copied().map(entry).collect();
    move |_| decide::skip(&entries, at(ms))
}

fn skipped(count: u64, newest: u64, ms: i64) -> Event {
    Event::MessagesSkipped(MessagesSkipped { at: at(ms), count, newest: entry(newest) })
}

#[test]
fn skipped_messages_are_counted_with_the_newest_among_them() {
    let state = given([]).when(skip(&[4, 9, 2], 20)).then([skipped(3, 9, 20)]);
    let expected = Skipped { count: 3, first_at: Some(at(20)), last_at: Some(at(20)), newest: Some(entry(9)) };
    assert_eq!((state.skipped, state.seq), (expected, 0));
}

#[test]
fn skips_add_up_and_the_newest_is_the_greatest_entry() {
    let state = given([skipped(3, 9, 20)]).when(skip(&[5], 30)).then([skipped(1, 5, 30)]);
    let expected = Skipped { count: 4, first_at: Some(at(20)), last_at: Some(at(30)), newest: Some(entry(9)) };
    assert_eq!(state.skipped, expected);
    let state = given([skipped(3, 9, 20)]).when(skip(&[10], 30)).then([skipped(1, 10, 30)]);
    assert_eq!(state.skipped.newest, Some(entry(10)));
}

#[test]
fn no_entries_are_no_event() {
    given([]).when(skip(&[], 20)).then_nothing();
}
