//! The format: by number, everything that programs write into a store that several of them share.
//!
//! | format | what programs of the format before cannot read |
//! |---|---|
//! | 1 | |
//! | 2 | attempts of version 2; the trigger `again`; an attempt whose message was omitted |
//!
//! A program reads every format up to [`FORMAT`]. What it writes while programs of an older format are there is what the
//! oldest of them reads ([`super::codec::in_format`]), so nodes can be replaced one by one. The store says how new a format may be found
//! in it; a program that reads less does not start. Whoever adds a form that older programs cannot read, or would drop,
//! adds a format with it, and what is written instead until all nodes know it. One thing may be dropped without: how many test
//! mails a workspace asked for today, which only bounds them.
//!
//! # How nodes agree
//! By [`agreed`], in this order: a node reads what the store says, tells the registry which format it reads, reads the
//! registry, and then again what the store says. Before the first node writes a newer format it lets the store say so,
//! and then reads the registry once more. So of a node that raises the format and one of an older program that starts
//! meanwhile, one sees the other: either the older one is in the registry and what it reads goes on being written, or it
//! finds that the store says more than it reads, and ends.
//!
//! An operator may keep a node to an older format (`--journal-format`): it then tells, writes and refuses as a program does
//! that reads no newer one, so the older program can come back for as long as one such node is there.

/// The newest format that this program reads and writes.
pub const FORMAT: u32 = 2;

/// A store that may hold a newer format than the operator lets this node read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the store has format {stored} now and --journal-format {allowed} lets this node read no newer one than {allowed}: start \
     it without that flag; a program that reads no newer one cannot come back"
)]
pub struct FormatTooNew {
    /// What the store says.
    pub stored: u32,
    /// What the operator lets this node read.
    pub allowed: u32,
}

/// What follows from the formats that the nodes of a registry read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// The format to write from now on.
    pub write: u32,
    /// What the store is to say first; it is written when the registry, read after that, still agrees.
    pub raise: Option<u32>,
}

/// What to write, and whether the store is to say more. `mine` is the newest format that this node reads, `stored` what
/// the store said before the registry was read, `others` what each record there tells; 0 of a program that tells nothing,
/// which reads format 1. Every record counts, also that of a node which seems to be gone: it may only sleep. Records go a
/// minute after their nodes.
#[must_use]
pub fn agreed(mine: u32, stored: u32, others: impl IntoIterator<Item = u32>) -> Agreement {
    let oldest = others.into_iter().map(|format| format.max(1)).fold(mine, u32::min);
    Agreement { write: oldest.min(stored), raise: (oldest > stored).then_some(oldest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_node_decides_and_the_store_says_it_first() {
        for (what, mine, stored, others, write, raise) in [
            ("alone in a store of today", 2, 2, vec![2], 2, None),
            ("alone in an older store: it says so first", 2, 1, vec![2], 1, Some(2)),
            ("an older node is there", 2, 1, vec![2, 1], 1, None),
            ("a program that tells nothing reads format 1", 2, 1, vec![2, 0], 1, None),
            ("it came while the store was made to say more", 2, 2, vec![2, 1], 1, None),
            ("among nodes of a newer program", 2, 1, vec![2, 3, 3], 1, Some(2)),
            ("a newer program among them", 3, 2, vec![2, 3, 3], 2, None),
            ("the last of them has gone", 3, 2, vec![3, 3], 2, Some(3)),
            ("two formats at once", 3, 1, vec![3], 1, Some(3)),
            ("nobody is told of", 2, 2, vec![], 2, None),
        ] {
            assert_eq!(agreed(mine, stored, others), Agreement { write, raise }, "{what}");
        }
    }
}
