//! Wrong tokens, by address: counted, told and logged within bounds.
//!
//! A token of 256 random bits needs no slowing against guessing, and a right one always opens, so that
//! nobody who shares an address with a guesser is locked out. What is bounded is what guesses cost:
//! lines in the log. Whoever sends many is told to stop.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::request::Parts;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::jwt::InvalidToken;
use crate::config::WRONG_TOKENS_WINDOW;
use crate::http::problem::{Problem, ProblemKind};

/// Failures of one address that are answered with what is wrong; the next is told to stop.
const FAILURES_MAX: u32 = 10;
/// Addresses that are counted apart within a window; all others count as one.
const ADDRESSES_MAX: usize = 4_096;
/// Failures that are logged within a window, of all addresses.
const LOGGED_MAX: u64 = 100;

/// Where a request came from: the connection's other end, which may be a proxy. What a header says of
/// it is not believed, for anybody can write one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// The address of a request's connection.
pub(in crate::http) fn peer(parts: &Parts) -> IpAddr {
    parts.extensions.get::<PeerAddress>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0)
}

/// The failures of the present window.
#[derive(Debug, Default)]
pub(in crate::http) struct Failures(Mutex<FailureWindow>);

#[derive(Debug, Default)]
struct FailureWindow {
    began: Option<Instant>,
    by_network: HashMap<IpAddr, u32>,
    /// Of all that are not counted apart in `by_network`.
    others: u32,
    logged: u64,
    unlogged: u64,
}

impl Failures {
    /// Counts a wrong token from `address` and says what to answer.
    pub(in crate::http) fn count(&self, address: IpAddr, why: InvalidToken) -> Problem {
        let mut window = self.0.lock();
        let now = Instant::now();
        if window.began.is_none_or(|began| now.duration_since(began) >= WRONG_TOKENS_WINDOW) {
            if window.unlogged > 0 {
                tracing::warn!(count = window.unlogged, "more wrong tokens were presented than are logged one by one");
            }
            *window = FailureWindow { began: Some(now), ..FailureWindow::default() };
        }
        if window.logged < LOGGED_MAX {
            window.logged += 1;
            tracing::warn!(%address, reason = why.detail(), "a wrong token was presented");
        } else {
            window.unlogged += 1;
        }
        let count = window.of(network(address));
        *count = count.saturating_add(1);
        if *count <= FAILURES_MAX {
            return Problem::new(ProblemKind::Unauthorized, why.detail());
        }
        let detail = format!("{}; too many wrong ones came from your address, wait a minute", why.detail());
        Problem::new(ProblemKind::TooManyFailures, detail)
    }
}

impl FailureWindow {
    fn of(&mut self, network: IpAddr) -> &mut u32 {
        if self.by_network.len() < ADDRESSES_MAX || self.by_network.contains_key(&network) {
            self.by_network.entry(network).or_default()
        } else {
            &mut self.others
        }
    }
}

/// What counts as one: an IPv4 address, or the first 64 bits of an IPv6 one, of which a single
/// subscriber has all the rest (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(failures: &Failures, address: &str, times: usize) -> Vec<ProblemKind> {
        (0..times).map(|_| failures.count(address.parse().unwrap(), InvalidToken::Unknown).kind()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn the_eleventh_failure_of_a_minute_is_told_to_stop_and_a_minute_later_not_any_more() {
        let failures = Failures::default();
        assert_eq!(answers(&failures, "192.0.2.1", 10), [ProblemKind::Unauthorized; 10]);
        assert_eq!(answers(&failures, "::ffff:192.0.2.1", 1), [ProblemKind::TooManyFailures]);
        assert_eq!(answers(&failures, "192.0.2.2", 1), [ProblemKind::Unauthorized]);
        tokio::time::advance(WRONG_TOKENS_WINDOW).await;
        assert_eq!(answers(&failures, "192.0.2.1", 1), [ProblemKind::Unauthorized]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_addresses_of_one_ipv6_subscriber_count_as_one() {
        let failures = Failures::default();
        for n in 0..10 {
            answers(&failures, &format!("2001:db8:1:2::{n}"), 1);
        }
        assert_eq!(answers(&failures, "2001:db8:1:2:ffff::1", 1), [ProblemKind::TooManyFailures]);
        assert_eq!(answers(&failures, "2001:db8:1:3::1", 1), [ProblemKind::Unauthorized]);
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_beyond_the_bound_count_as_one_and_known_ones_as_before() {
        let failures = Failures::default();
        for n in 0..u32::try_from(ADDRESSES_MAX).unwrap() {
            answers(&failures, &Ipv4Addr::from_bits(n).to_string(), 1);
        }
        for n in 0..10 {
            assert_eq!(answers(&failures, &format!("198.51.100.{n}"), 1), [ProblemKind::Unauthorized]);
        }
        assert_eq!(answers(&failures, "198.51.100.11", 1), [ProblemKind::TooManyFailures]);
        assert_eq!(answers(&failures, "0.0.0.1", 1), [ProblemKind::Unauthorized]);
        assert_eq!(failures.0.lock().by_network.len(), ADDRESSES_MAX);
    }
}
