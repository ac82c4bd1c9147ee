use proptest::prelude::*;

use super::*;

const HOUR: i64 = 3_600_000;

/// Our clock.
fn now() -> Time {
    Time::from_unix_ms(1_800_000_000_000)
}

fn showing(ahead: i64) -> Time {
    Time::from_unix_ms(now().unix_ms() - ahead)
}

/// What is known when our clock is so far ahead of the store's and of these endpoints', one a workspace.
fn witnesses(store: Option<i64>, endpoints: &[(&str, i64)], at: Instant) -> ClockWitnesses {
    let mut witnesses = ClockWitnesses::default();
    witnesses.saw_store(store.map(showing), now(), at);
    for (n, (host, ahead)) in endpoints.iter().enumerate() {
        witnesses.saw_endpoint(&format!("w{n}").parse().unwrap(), host, showing(*ahead), now(), at);
    }
    witnesses
}

fn state(store: Option<i64>, endpoints: &[(&str, i64)]) -> ClockState {
    let at = Instant::now();
    witnesses(store, endpoints, at).offsets(now(), at).state()
}

#[test]
fn beyond_two_minutes_by_both_it_is_off_by_one_of_them_it_is_a_warning() {
    let all = |ahead| [("a", ahead), ("b", ahead), ("c", ahead)];
    let two = 120_000;
    for (store, endpoints, expected) in [
        (Some(0), all(0), ClockState::Right),
        (None, all(0), ClockState::Right),
        (Some(HOUR), all(HOUR), ClockState::Off),
        (Some(-HOUR), all(-HOUR), ClockState::Off),
        (Some(two), all(two), ClockState::Right),
        (Some(two + 1), all(two + 1), ClockState::Off),
        (Some(-two), all(-two), ClockState::Right),
        (Some(-two - 1), all(-two - 1), ClockState::Off),
        (Some(HOUR), all(0), ClockState::StoreDiffers),
        (Some(0), all(HOUR), ClockState::EndpointsDiffer),
        (None, all(HOUR), ClockState::EndpointsDiffer),
        // Ours stands between theirs, so it is none that both call wrong.
        (Some(HOUR), all(-HOUR), ClockState::StoreDiffers),
        // One receiver's clock, or two, are theirs.
        (Some(HOUR), [("a", HOUR), ("b", 0), ("c", 0)], ClockState::StoreDiffers),
        (Some(HOUR), [("a", HOUR), ("b", HOUR), ("c", 0)], ClockState::Off),
        // Three workspaces, two hosts: both must say so.
        (Some(HOUR), [("a", HOUR), ("a", HOUR), ("b", 0)], ClockState::StoreDiffers),
        (Some(HOUR), [("a", HOUR), ("a", HOUR), ("b", HOUR)], ClockState::Off),
        (Some(HOUR), [("a", HOUR), ("a", HOUR), ("a", HOUR)], ClockState::Off),
        // Far from everything that a clock shows.
        (Some(i64::MIN / 2), all(i64::MIN / 2), ClockState::Off),
    ] {
        assert_eq!(state(store, &endpoints), expected, "{store:?} {endpoints:?}");
    }
    assert_eq!(state(Some(HOUR), &all(HOUR)[..2]), ClockState::StoreDiffers, "two workspaces are too few");
    assert_eq!(state(None, &[]), ClockState::Right);
}

#[test]
fn what_is_old_and_what_our_clock_showed_before_it_was_set_tell_nothing() {
    let at = Instant::now();
    let off = [("a", HOUR), ("b", HOUR), ("c", HOUR)];
    let mut known = witnesses(Some(HOUR), &off, at);
    let later = |passed: Duration| (now().plus(passed), at + passed);
    let (time, then) = later(CLOCK_SEEN_MAX - Duration::from_secs(1));
    assert_eq!(known.offsets(time, then).state(), ClockState::Off);
    let (time, then) = later(CLOCK_SEEN_MAX);
    assert_eq!(known.offsets(time, then), ClockOffsets::default());

    let mut known = witnesses(Some(HOUR), &off, at);
    assert_eq!(known.offsets(showing(HOUR), at + Duration::from_secs(1)), ClockOffsets::default());
}

#[test]
fn a_host_counts_once_by_its_newest_date_and_a_workspace_by_its_newest_host() {
    let at = Instant::now();
    let mut known = witnesses(None, &[("a", HOUR), ("b", HOUR), ("c", HOUR)], at);
    let later = at + Duration::from_secs(1);
    known.saw_endpoint(&"w3".parse().unwrap(), "a", now(), now(), later);
    known.saw_endpoint(&"w1".parse().unwrap(), "d", now(), now(), later);
    let offsets = known.offsets(now(), later);
    assert_eq!((offsets.ahead_of_endpoints_ms, offsets.hosts), (Some(0), 3));
}

#[test]
fn the_oldest_make_room() {
    let at = Instant::now();
    let mut known = ClockWitnesses::default();
    for n in 0..=CLOCK_WITNESSES_MAX {
        let then = at + Duration::from_millis(n as u64);
        known.saw_endpoint(&format!("w{n}").parse().unwrap(), &format!("h{n}"), now(), now(), then);
    }
    assert_eq!(known.endpoints.len(), CLOCK_WITNESSES_MAX);
    assert!(!known.endpoints.contains_key("w0"));
}

#[test]
fn the_sentence_says_how_far_it_is_from_each() {
    let offsets =
        |store, endpoints| ClockOffsets { ahead_of_store_ms: store, ahead_of_endpoints_ms: endpoints, hosts: 3 };
    assert_eq!(
        offsets(Some(-HOUR), Some(-HOUR + 1_500)).sentence().unwrap(),
        "The clock of this machine is 60 minutes behind that of the store and 59 minutes behind those of endpoints \
         (the median of 3 hosts): set this machine's clock; endpoints may refuse what it signs, so answers 401 and 403 \
         are logged and not counted until then"
    );
    assert_eq!(
        offsets(Some(49 * HOUR), Some(-1_000)).sentence().unwrap(),
        "The clock of this machine is 49 hours ahead of that of the store and 1 second behind those of endpoints (the \
         median of 3 hosts): check both"
    );
    assert_eq!(
        offsets(None, Some(HOUR)).sentence().unwrap(),
        "The clock of this machine is 60 minutes ahead of those of endpoints (the median of 3 hosts): check it"
    );
    assert_eq!(offsets(Some(119_999), None).sentence(), None);
}

proptest! {
    #[test]
    fn it_is_off_exactly_when_the_store_and_more_than_half_of_the_hosts_say_so_of_one_side(
        store in -300_000..300_000_i64,
        endpoints in prop::collection::vec(-300_000..300_000_i64, 3..12),
    ) {
        let hosts: Vec<String> = (0..endpoints.len()).map(|n| n.to_string()).collect();
        let known: Vec<_> = hosts.iter().map(String::as_str).zip(endpoints.iter().copied()).collect();
        let say = |is: &dyn Fn(i64) -> bool| is(store) && endpoints.iter().filter(|ahead| is(**ahead)).count() * 2 > endpoints.len();
        let expected = say(&|ahead| ahead > 120_000) || say(&|ahead| ahead < -120_000);
        prop_assert_eq!(state(Some(store), &known) == ClockState::Off, expected);
    }
}
