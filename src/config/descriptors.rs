//! How the file descriptors of the process are split, so that none of its parts takes what another needs.
//!
//! The shares are estimates from above. What they leave out is met by the system's own error, which is never an
//! endpoint's fault.

/// Descriptors of the log, the data directory, the runtimes, the listener and the mails on their way.
pub const DESCRIPTORS_OTHER: usize = 48;
/// Connections to Redis a shard: commits, blocking reads, and one that takes the place of another.
pub const DESCRIPTORS_A_SHARD: usize = 3;
/// Connections of the facade, however many descriptors there are.
pub const FACADE_CONNECTIONS_MAX: usize = 4_096;
/// What part of the rest the facade gets, up to [`FACADE_CONNECTIONS_MAX`].
const FACADE_PART: usize = 4;
/// What part of the rest lookups of names get.
const LOOKUPS_PART: usize = 8;
/// Descriptors of one lookup: A and AAAA are asked for at the same time.
const DESCRIPTORS_A_LOOKUP: usize = 2;
/// Names that a node looks up at a time, however many descriptors there are.
pub const LOOKUPS_MAX: usize = 1_024;
/// Connections to endpoints that a node has at a time, however many descriptors there are: as many as one address
/// has ports.
pub const ENDPOINT_CONNECTIONS_MAX: usize = 65_536;
/// No part gets less: with so few descriptors the system's own error decides.
const SHARE_MIN: usize = 8;

/// What each part of a node may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptorShares {
    /// Connections of the facade.
    pub facade: usize,
    /// Names that are looked up at a time.
    pub lookups: usize,
    /// Connections to endpoints, in use or kept.
    pub connections: usize,
}

impl DescriptorShares {
    /// Splits `limit` descriptors of a node that runs `shards`.
    #[must_use]
    pub fn of(limit: usize, shards: u16) -> Self {
        let own = DESCRIPTORS_OTHER + DESCRIPTORS_A_SHARD * usize::from(shards);
        let rest = limit.saturating_sub(own);
        let facade = (rest / FACADE_PART).clamp(SHARE_MIN, FACADE_CONNECTIONS_MAX);
        let lookups = (rest / LOOKUPS_PART / DESCRIPTORS_A_LOOKUP).clamp(SHARE_MIN, LOOKUPS_MAX);
        let left = rest.saturating_sub(facade + lookups * DESCRIPTORS_A_LOOKUP);
        Self { facade, lookups, connections: left.clamp(SHARE_MIN, ENDPOINT_CONNECTIONS_MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_common_limits() {
        for (limit, facade, lookups, connections) in [
            (256, 40, 10, 100),
            (1_024, 232, 58, 580),
            (20_000, 4_096, 1_024, 13_760),
            (1_048_576, 4_096, 1_024, 65_536),
            (usize::MAX, 4_096, 1_024, 65_536),
            (64, 8, 8, 8),
        ] {
            let shares = DescriptorShares { facade, lookups, connections };
            assert_eq!(DescriptorShares::of(limit, 16), shares, "{limit}");
        }
    }

    #[test]
    fn no_more_is_given_out_than_there_is() {
        for limit in 200..4_096 {
            let DescriptorShares { facade, lookups, connections } = DescriptorShares::of(limit, 16);
            let own = DESCRIPTORS_OTHER + 16 * DESCRIPTORS_A_SHARD;
            assert!(own + facade + lookups * DESCRIPTORS_A_LOOKUP + connections <= limit, "{limit}");
        }
    }
}
