//! What an error of Redis means for the one who sent the command.

use redis::{ErrorKind, RedisError, Value};

use crate::journal::port::{StoreError, StoreTrouble};

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// Refused before anything ran, by a Redis that is not itself at the moment: sending it again is
    /// safe, later and on a new connection.
    NotRun,
    /// The connection failed; whether the command ran is unknown.
    Unknown,
    /// Redis is out of memory; nothing ran.
    Full,
    /// An error that stays.
    Refused,
}

/// Judges an error.
pub(super) fn classify(error: &RedisError) -> ErrorClass {
    match error.code() {
        Some(
            "NOSCRIPT" | "UNBLOCKED" | "LOADING" | "BUSY" | "READONLY" | "MISCONF" | "NOREPLICAS" | "MASTERDOWN"
            | "CLUSTERDOWN" | "TRYAGAIN" | "MOVED" | "ASK",
        ) => ErrorClass::NotRun,
        // Said to a new connection, which Redis then closes.
        Some("ERR") if error.detail().is_some_and(|text| text.starts_with("max number of clients")) => {
            ErrorClass::NotRun
        }
        Some("OOM") => ErrorClass::Full,
        Some(_) => ErrorClass::Refused,
        None if matches!(error.kind(), ErrorKind::Io | ErrorKind::Parse) => ErrorClass::Unknown,
        None => ErrorClass::Refused,
    }
}

/// Whether the connection is to be given up and a new one tried after a pause.
pub(super) fn is_away(error: &RedisError) -> bool {
    matches!(classify(error), ErrorClass::NotRun | ErrorClass::Unknown)
}

/// What an error says of Redis. One that answers and runs nothing refuses, whatever it calls that, unless it says that another
/// one is to be asked, or that it is not there yet.
pub(super) fn trouble(error: &RedisError) -> StoreTrouble {
    match classify(error) {
        ErrorClass::Unknown => StoreTrouble::Away,
        ErrorClass::NotRun if error.code().is_some_and(|code| LATER.contains(&code)) => StoreTrouble::Away,
        ErrorClass::Full => StoreTrouble::Full,
        ErrorClass::NotRun | ErrorClass::Refused => StoreTrouble::Refused,
    }
}

/// How those errors begin that mean another server, or a moment later.
const LATER: [&str; 7] = ["ASK", "CLUSTERDOWN", "LOADING", "MOVED", "NOSCRIPT", "TRYAGAIN", "UNBLOCKED"];

/// An error for the caller, which says what was being done.
pub(super) fn store_error(what: &str, error: RedisError) -> StoreError {
    let trouble = trouble(&error);
    let advice = match trouble {
        StoreTrouble::Away => "Redis is away",
        StoreTrouble::Full => "Redis is full; free memory or raise maxmemory",
        StoreTrouble::Refused => "Redis refused; see the cause",
    };
    StoreError { trouble, what: format!("{what}: {advice}"), source: Some(Box::new(error)) }
}

/// An answer that this program does not understand.
pub(super) fn unexpected(what: &'static str) -> RedisError {
    RedisError::from((
        ErrorKind::UnexpectedReturnType,
        "an answer of Redis has another form than expected",
        what.into(),
    ))
}

/// No answer in time. The connection must be dropped: the answer may still come.
pub(super) fn timed_out() -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "Redis did not answer in time").into()
}

/// The same answer with an error of the server as an error.
pub(super) fn checked(answer: Result<Value, RedisError>) -> Result<Value, RedisError> {
    match answer? {
        Value::ServerError(error) => Err(error.into()),
        value => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_before_the_script_ran_is_sent_again_and_a_script_error_is_not() {
        let server = |text: &str| {
            let line = format!("-{text}\r\n");
            let Ok(Value::ServerError(error)) = redis::parse_redis_value(line.as_bytes()) else {
                panic!("{text} is an error of the server");
            };
            classify(&error.into())
        };
        for text in [
            "NOSCRIPT No matching script",
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
            "ERR max number of clients reached",
            "LOADING Redis is loading the dataset in memory",
            "BUSY Redis is busy running a script",
            "READONLY You can't write against a read only replica.",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOREPLICAS Not enough good replicas to write.",
            "MASTERDOWN Link with MASTER is down",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "MOVED 3999 127.0.0.1:6381",
            "ASK 3999 127.0.0.1:6381",
        ] {
            assert_eq!(server(text), ErrorClass::NotRun, "{text}");
        }
        let said = |text: &str| {
            let Ok(Value::ServerError(error)) = redis::parse_redis_value(format!("-{text}\r\n").as_bytes()) else {
                panic!("{text} is an error of the server");
            };
            trouble(&error.into())
        };
        for code in [
            "READONLY",
            "MISCONF",
            "NOREPLICAS",
            "BUSY",
            "MASTERDOWN",
            "ERR max number of clients",
            "NOPERM",
            "WRONGTYPE",
        ] {
            assert_eq!(said(&format!("{code} it says so")), StoreTrouble::Refused, "{code}");
        }
        for code in LATER {
            assert_eq!(said(&format!("{code} 1 127.0.0.1:6381")), StoreTrouble::Away, "{code}");
        }
        assert_eq!((trouble(&timed_out()), said("OOM command not allowed")), (StoreTrouble::Away, StoreTrouble::Full));
        assert_eq!(server("OOM command not allowed when used memory > 'maxmemory'."), ErrorClass::Full);
        assert_eq!(server("WRONGTYPE Operation against a key"), ErrorClass::Refused);
        assert_eq!(server("ERR The ID specified in XADD is equal or smaller"), ErrorClass::Refused);
        assert_eq!(classify(&timed_out()), ErrorClass::Unknown);
    }
}
