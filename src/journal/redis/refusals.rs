//! What Redis refused lately although it answers. Each refusal is noted where it is met, whoever asked: a caller is told of his
//! own, and an operator of all of them.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use redis::RedisError;
use tokio::time::Instant;

use super::error::trouble;
use crate::config::{REFUSAL_TOLD_FOR, ShardSet};
use crate::journal::port::{PublishError, ReadError, RequeueError, StoreError, StoreTrouble, SubmitError};

/// See the module. Bounded by what the port asks for, and by the shards.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<BTreeMap<RefusedCall, LastRefusal>>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RefusedCall {
    /// What was asked for, as the end of "the store refuses".
    what: &'static str,
    /// Where: a shard's number, a key, or nothing.
    place: String,
}

#[derive(Debug)]
struct LastRefusal {
    why: String,
    last: Instant,
}

/// What an error of the port says of the store, if that is what failed.
pub(super) trait OfStore {
    /// See the trait.
    fn of_store(&self) -> Option<&StoreError>;
}

/// How a new connection is called.
const CONNECTION: &str = "a new connection";

impl Refusals {
    /// Notes what came of a call of the port, and hands it on.
    pub(super) fn note<T, E: OfStore>(
        &self,
        what: &'static str,
        shard: Option<u16>,
        result: Result<T, E>,
    ) -> Result<T, E> {
        let place = shard.map(|shard| shard.to_string()).unwrap_or_default();
        match result.as_ref().map_err(OfStore::of_store) {
            Ok(_) => self.done(RefusedCall { what, place }),
            Err(Some(error)) if error.trouble == StoreTrouble::Refused => {
                self.refused(RefusedCall { what, place }, cause(error));
            }
            Err(_) => {}
        }
        result
    }

    /// The same of a new connection to the server that holds `key`; where one server holds all of them, of no key.
    pub(super) fn note_connection<T>(&self, key: &str, result: &Result<T, RedisError>) {
        let call = RefusedCall { what: CONNECTION, place: key.to_owned() };
        match result {
            Ok(_) => self.done(call),
            Err(error) if trouble(error) == StoreTrouble::Refused => self.refused(call, error.to_string()),
            Err(_) => {}
        }
    }

    /// Whether a new connection is among what is refused.
    pub(super) fn of_connections(&self) -> bool {
        self.0.lock().keys().any(|call| call.what == CONNECTION)
    }

    /// One sentence for all places where the same is refused for the same reason.
    pub(super) fn sentences(&self, now: Instant) -> Vec<String> {
        let mut noted = self.0.lock();
        noted.retain(|_, refusal| now < refusal.last + REFUSAL_TOLD_FOR);
        let mut shards: BTreeMap<(&str, &str), Vec<u16>> = BTreeMap::new();
        for (call, refusal) in &*noted {
            shards.entry((call.what, &refusal.why)).or_default().extend(call.place.parse::<u16>());
        }
        let sentence = |((what, why), shards): ((&str, &str), Vec<u16>)| {
            let shards: ShardSet = shards.into_iter().collect();
            let place = match shards.len() {
                0 => String::new(),
                1 => format!(" in shard {shards}"),
                _ => format!(" in shards {shards}"),
            };
            format!("the store refuses {what}{place}: {why}")
        };
        shards.into_iter().map(sentence).collect()
    }

    fn refused(&self, call: RefusedCall, why: String) {
        self.0.lock().insert(call, LastRefusal { why, last: Instant::now() });
    }

    fn done(&self, call: RefusedCall) {
        let mut noted = self.0.lock();
        if !noted.is_empty() {
            noted.remove(&call);
        }
    }
}

fn cause(error: &StoreError) -> String {
    error.source.as_ref().map_or_else(|| error.to_string(), ToString::to_string)
}

impl OfStore for StoreError {
    fn of_store(&self) -> Option<&StoreError> {
        Some(self)
    }
}

impl OfStore for ReadError {
    fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Load(_) => None,
        }
    }
}

impl OfStore for SubmitError {
    fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) | Self::Unanswered(error) => Some(error),
            Self::OutcomeUnknown | Self::MaybeStored | Self::TooMany | Self::Full => None,
        }
    }
}

impl OfStore for PublishError {
    fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Full => None,
        }
    }
}

impl OfStore for RequeueError {
    fn of_store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::Gone { .. } | Self::Invalid { .. } | Self::Full => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::redis::error::store_error;

    fn answered(line: &str) -> Result<(), StoreError> {
        let Ok(redis::Value::ServerError(error)) = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()) else {
            panic!("{line} is an error of the server");
        };
        Err(store_error("a test", error.into()))
    }

    #[test]
    fn what_is_refused_is_told_once_a_reason_until_it_is_done_or_a_minute_has_gone() {
        let (refusals, wrong) = (Refusals::default(), "WRONGTYPE Operation against a key");
        let sentences = |later| refusals.sentences(Instant::now() + later);
        for shard in [0, 1, 3] {
            refusals.note("saving", Some(shard), answered(wrong)).unwrap_err();
        }
        refusals.note("counting", None, answered("NOPERM this user")).unwrap_err();
        refusals.note("saving", Some(4), answered("LOADING Redis is loading")).unwrap_err();
        let now = sentences(std::time::Duration::ZERO);
        assert_eq!(now.len(), 2, "{now:?}");
        assert!(now[0].starts_with("the store refuses counting: ") && now[0].contains("this user"), "{now:?}");
        assert!(
            now[1].starts_with("the store refuses saving in shards 0-1,3: ")
                && now[1].contains("Operation against a key"),
            "{now:?}"
        );
        refusals.note("saving", Some(1), Ok::<(), StoreError>(())).unwrap();
        refusals.note("counting", None, Ok::<(), StoreError>(())).unwrap();
        let then = sentences(std::time::Duration::ZERO);
        assert!(then.len() == 1 && then[0].contains("in shards 0,3: "), "{then:?}");
        assert_eq!(sentences(REFUSAL_TOLD_FOR), Vec::<String>::new());
    }
}
