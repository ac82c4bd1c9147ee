//! How the file descriptors of the process are split, so that none of its parts takes what another needs.
//!
//! The shares are estimates from above. What they leave out is met by the system's own error, which is never an
//! endpoint's fault.

use super::journal::JournalConfig;

/// Descriptors of the log, the data directory, the runtimes, the listener and the mails on their way.
pub const DESCRIPTORS_OTHER: usize = 48;
/// Connections to Redis a shard: commits, blocking reads, and one that takes the place of another.
pub const DESCRIPTORS_A_SHARD: usize = 3;
/// Further ones of a shard of a cluster, which elsewhere all shards share: short calls, answers to commands, and waits until
/// what was stored is as durable as asked for.
pub const DESCRIPTORS_A_CLUSTER_SHARD: usize = 3;
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

/// Descriptors of the journal of a node that runs up to `held` of all `shards` and hands over `sources` of other people.
#[must_use]
pub fn journal_descriptors(journal: &JournalConfig, (held, shards): (usize, u16), sources: usize) -> usize {
    let of_cluster = if journal.is_cluster() {
        // Any node calls any shard. Of each source, the common one among them, one a shard waits until what it handed over
        // is durable.
        usize::from(shards) * (DESCRIPTORS_A_CLUSTER_SHARD + 1 + sources)
    } else {
        0
    };
    DESCRIPTORS_A_SHARD * held + of_cluster + sources
}

impl DescriptorShares {
    /// Splits `limit` descriptors of a node whose journal takes `journal`.
    #[must_use]
    pub fn of(limit: usize, journal: usize) -> Self {
        let rest = limit.saturating_sub(DESCRIPTORS_OTHER + journal);
        let facade = (rest / FACADE_PART).clamp(SHARE_MIN, FACADE_CONNECTIONS_MAX);
        let lookups = (rest / LOOKUPS_PART / DESCRIPTORS_A_LOOKUP).clamp(SHARE_MIN, LOOKUPS_MAX);
        let left = rest.saturating_sub(facade + lookups * DESCRIPTORS_A_LOOKUP);
        Self { facade, lookups, connections: left.clamp(SHARE_MIN, ENDPOINT_CONNECTIONS_MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::journal::RedisFiles;

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
            assert_eq!(DescriptorShares::of(limit, 48), shares, "{limit}");
        }
    }

    #[test]
    fn no_more_is_given_out_than_there_is() {
        for limit in 200..4_096 {
            let DescriptorShares { facade, lookups, connections } = DescriptorShares::of(limit, 48);
            let own = DESCRIPTORS_OTHER + 48;
            assert!(own + facade + lookups * DESCRIPTORS_A_LOOKUP + connections <= limit, "{limit}");
        }
    }

    #[test]
    fn a_cluster_takes_more_of_them_and_so_do_sources_and_a_node_that_is_told_its_shards_fewer() {
        let redis = |url: &str| JournalConfig::Redis {
            url: url.to_owned(),
            prefix: "outbound".to_owned(),
            allow_volatile: false,
            files: RedisFiles::default(),
        };
        let cluster = redis("rediss+cluster://user:password@10.0.0.1,10.0.0.2");
        for (journal, held, sources, descriptors) in [
            (JournalConfig::Embedded(None), 16, 0, 48),
            (redis("redis://127.0.0.1:6379"), 16, 2, 50),
            (redis("redis://127.0.0.1:6379"), 0, 2, 2),
            (redis("redis+sentinel://10.0.0.1,10.0.0.2/main"), 16, 0, 48),
            (cluster.clone(), 16, 0, 112),
            (cluster.clone(), 3, 0, 73),
            (cluster, 16, 2, 146),
        ] {
            assert_eq!(journal_descriptors(&journal, (held, 16), sources), descriptors, "{journal:?} {held} {sources}");
        }
    }
}
