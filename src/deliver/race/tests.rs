//! Machines that live, refuse or are gone, on a clock that stands while nothing waits for it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::*;

/// What a machine does with a connection.
#[derive(Debug, Clone, Copy)]
enum Machine {
    /// It takes it after so long.
    Takes(Duration),
    Refuses,
    /// Nothing leads there.
    NoRoute,
    /// It drops whatever comes.
    Gone,
    /// This machine has no descriptor left.
    Short,
}

use Machine::{Gone, NoRoute, Refuses, Short, Takes};

const AT_ONCE: Machine = Takes(Duration::ZERO);
const LIMIT: Duration = Duration::from_secs(5);

fn address(n: usize) -> SocketAddr {
    format!("192.0.2.{n}:443").parse().unwrap()
}

/// Which machine took the connection or why none did, after how long, and how many were tried.
async fn raced(machines: &[Machine], further: usize) -> (Result<usize, io::ErrorKind>, Duration, Vec<usize>) {
    let began = Instant::now();
    let (free, tried) = (Cell::new(further), RefCell::new(Vec::new()));
    let further = || free.get().checked_sub(1).map(|left| free.set(left));
    let connect = |to: SocketAddr| {
        let n = (0..machines.len()).find(|n| address(*n) == to).unwrap();
        tried.borrow_mut().push(n);
        let machine = machines[n];
        async move {
            match machine {
                Takes(after) => tokio::time::sleep(after).await, // The machine's own time.
                Refuses => return Err(io::ErrorKind::ConnectionRefused.into()),
                NoRoute => return Err(io::ErrorKind::NetworkUnreachable.into()),
                Short => return Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error())),
                Gone => std::future::pending().await,
            }
            Ok(n)
        }
    };
    let addresses = (0..machines.len()).map(address).collect();
    let end = race(addresses, ((), further), began + LIMIT, connect).await;
    (end.map(|(n, ())| n).map_err(|error| error.kind()), began.elapsed(), tried.into_inner())
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_gone_costs_a_delay_and_one_that_refuses_nothing() {
    let (delay, none) = (CONNECT_ATTEMPT_DELAY, Duration::ZERO);
    let ms = Duration::from_millis;
    for (machines, won, after) in [
        (&[AT_ONCE, AT_ONCE][..], 0, none),
        (&[Gone, AT_ONCE], 1, delay),
        (&[Gone, Gone, Gone, AT_ONCE], 3, 3 * delay),
        (&[Refuses, NoRoute, Refuses, AT_ONCE], 3, none),
        (&[Refuses, Gone, AT_ONCE], 2, delay),
        (&[Short, AT_ONCE], 1, none),
        // Far away and living: it is not given up for the next one.
        (&[Takes(ms(400)), Gone], 0, ms(400)),
        (&[Takes(ms(400)), Takes(ms(100))], 1, delay + ms(100)),
        (&[Takes(ms(300)), Takes(ms(100))], 0, ms(300)),
    ] {
        let (end, took, _) = raced(machines, 16).await;
        assert_eq!((end, took), (Ok(won), after), "{machines:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_none_takes_it_the_error_that_says_most_is_told() {
    use io::ErrorKind::{ConnectionRefused, NetworkUnreachable, TimedOut};
    let (none, short) = (Duration::ZERO, io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()).kind());
    for (machines, kind, after) in [
        (&[Refuses, Refuses][..], ConnectionRefused, none),
        (&[NoRoute, NoRoute], NetworkUnreachable, none),
        (&[NoRoute, Refuses], ConnectionRefused, none),
        (&[Refuses, Short, Refuses], short, none),
        (&[Gone], TimedOut, LIMIT),
        (&[Gone, Gone, Gone], TimedOut, LIMIT),
        // A host that was reached is no silent one, whatever the others do.
        (&[Gone, Refuses], ConnectionRefused, LIMIT),
        (&[Refuses, Gone], ConnectionRefused, LIMIT),
        (&[NoRoute, Gone], TimedOut, LIMIT),
    ] {
        let (end, took, tried) = raced(machines, 16).await;
        assert_eq!((end, took, tried.len()), (Err(kind), after, machines.len()), "{machines:?}");
    }
    assert_eq!(raced(&[], 16).await.0, Err(io::ErrorKind::AddrNotAvailable));
}

/// A race must not take the descriptors of other attempts.
#[tokio::test(start_paused = true)]
async fn without_a_further_place_the_oldest_makes_room() {
    let far = Takes(Duration::from_secs(1));
    for (machines, further, won) in [
        (&[Gone, Gone, AT_ONCE][..], 0, Ok(2)),
        (&[Gone, Gone, far], 0, Ok(2)),
        // Whether it takes connections is not known, for want of a place of ours.
        (&[far, Gone, Gone], 0, Err(io::ErrorKind::Other)),
        (&[far, Refuses], 0, Err(io::ErrorKind::Other)),
        (&[far, Gone, Gone], 2, Ok(0)),
        // What has failed leaves its place.
        (&[Refuses, far, Gone], 1, Ok(1)),
    ] {
        assert_eq!(raced(machines, further).await.0, won, "{machines:?} {further}");
    }
}

#[track_caller]
fn assert_turns(addresses: &[&str], preferred: Option<&str>, turns: &[&str]) {
    let addresses = addresses.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 443)).collect();
    let found = in_turn(addresses, preferred.map(|ip| ip.parse().unwrap()));
    assert_eq!(found.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>(), turns);
}

#[test]
fn families_take_turns_and_the_preferred_address_is_first_while_it_is_an_answer() {
    let both = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1", "2001:db8::2"];
    let turns = ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2", "192.0.2.3"];
    assert_turns(&both, None, &turns);
    assert_turns(&both, Some("192.0.2.9"), &turns);
    let from_six = ["2001:db8::2", "192.0.2.1", "2001:db8::1", "192.0.2.2", "192.0.2.3"];
    assert_turns(&both, Some("2001:db8::2"), &from_six);
    assert_turns(&["192.0.2.1", "192.0.2.2", "192.0.2.1"], None, &["192.0.2.1", "192.0.2.2"]);
    assert_turns(&[], None, &[]);
    let many: Vec<String> = (1..=40).map(|n| format!("192.0.2.{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_turns(&many, None, &many[..CONNECT_ADDRESSES_MAX]);
    // The one that is known to work is never left out.
    let last = [&many[39..], &many[..CONNECT_ADDRESSES_MAX - 1]].concat();
    assert_turns(&many, Some(many[39]), &last);
}

#[test]
fn an_address_is_preferred_for_a_while_from_when_it_won_against_another() {
    let (preferred, now) = (PreferredAddress::default(), Instant::now());
    let (first, other) = (address(1).ip(), address(2).ip());
    preferred.note(first, Some(first), now);
    assert_eq!(preferred.get(now), None);
    preferred.note(other, Some(first), now);
    let before_the_end = now + PREFERRED_ADDRESS_FOR - Duration::from_millis(1);
    preferred.note(other, Some(other), before_the_end);
    assert_eq!(preferred.get(before_the_end), Some(other));
    assert_eq!(preferred.get(now + PREFERRED_ADDRESS_FOR), None);
}
