//! The shards as a whole, over the embedded journal in memory and a real receiver: from `publish` to
//! the POST and back to what the journal says.

mod backlog;
mod bench;
mod forget;
mod hibernation;
mod mails;
mod rules;
mod simulation;
mod supervision;
mod trouble;
mod waiting;

pub(super) use bench::inspect;
