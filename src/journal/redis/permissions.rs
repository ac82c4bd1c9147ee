//! What the service's Redis user may do. A command that it lacks is found at the start: a script that is refused one ends
//! where it stands, and what it would have read or written is taken by nobody for damage.

use redis::RedisError;

use super::connection::Connection;
use super::reply;
use super::script::ALLOWED;
use super::start_error::RedisStartError;
use crate::config::{Durability, STORE_TIMEOUT};

/// Stands for a key.
const KEY: &str = "KEY";

/// What the scripts call, and what is asked beside them.
const NEEDED: [&str; 29] = [
    "DEL KEY",
    "EXISTS KEY",
    "GET KEY",
    "HDEL KEY f",
    "HEXISTS KEY f",
    "HGET KEY f",
    "HGETALL KEY",
    "HKEYS KEY",
    "HLEN KEY",
    "HMGET KEY f",
    "HSET KEY f v",
    "HSETNX KEY f v",
    "MEMORY USAGE KEY",
    "SCAN 0",
    "SET KEY v",
    "TIME",
    "XADD KEY * f v",
    "XDEL KEY 0-1",
    "XINFO STREAM KEY",
    "XLEN KEY",
    "XRANGE KEY - +",
    "XREAD STREAMS KEY 0",
    "XREVRANGE KEY + -",
    "XSETID KEY 0-1",
    "XTRIM KEY MAXLEN 0",
    "ZADD KEY 0 m",
    "ZCARD KEY",
    "ZRANGE KEY 0 0",
    "ZREM KEY m",
];

/// The same where something is waited for to become durable.
const NEEDED_TO_WAIT: [&str; 2] = ["EVAL x 0", "WAIT 0 0"];

/// The same of someone else's stream.
const NEEDED_OF_SOURCE: [&str; 7] = [
    "TYPE KEY",
    "XACK KEY outbound 0-1",
    "XCLAIM KEY outbound outbound 0 0-1",
    "XGROUP CREATE KEY outbound 0",
    "XINFO GROUPS KEY",
    "XPENDING KEY outbound",
    "XREADGROUP GROUP outbound outbound STREAMS KEY 0",
];

/// Refuses a user that lacks something that the service needs. `meta` is the first of the keys that it is needed for.
///
/// # Errors
/// [`RedisStartError`] names what is missing.
pub(super) async fn check(
    connection: &mut Connection,
    meta: &str,
    durability: Durability,
) -> Result<(), RedisStartError> {
    let waits = if durability == Durability::Memory { &[][..] } else { &NEEDED_TO_WAIT };
    let pattern = format!("~{}*", meta.trim_end_matches("meta"));
    check_all(connection, meta, &pattern, &[&NEEDED, waits].concat()).await
}

/// The same for a stream of somebody else's that is to be handed over.
///
/// # Errors
/// [`RedisStartError`] names what is missing.
pub(super) async fn check_source(connection: &mut Connection, source: &str) -> Result<(), RedisStartError> {
    check_all(connection, source, &format!("~{source}"), &NEEDED_OF_SOURCE).await
}

async fn check_all(
    connection: &mut Connection,
    key: &str,
    pattern: &str,
    commands: &[&str],
) -> Result<(), RedisStartError> {
    let answers = ask(connection, key, commands).await.map_err(RedisStartError::of_refusal)?;
    let answered = |word: &str| {
        let found = commands.iter().zip(&answers).filter(|(_, answer)| *answer == word);
        found.map(|(command, _)| *command).collect::<Vec<&str>>()
    };
    let (unknown, denied) = (answered("unknown"), answered("may not"));
    if !unknown.is_empty() {
        return Err(RedisStartError::Renamed(unknown.into_iter().map(name).collect::<Vec<_>>().join(", ")));
    }
    if denied.is_empty() {
        return Ok(());
    }
    let user = user(connection).await.unwrap_or_else(|| "USER".to_owned());
    let of_keys = |commands: &[&str]| commands.iter().filter(|command| command.contains(KEY)).count();
    if of_keys(&denied) == of_keys(commands) {
        return Err(RedisStartError::KeysDenied { user, pattern: pattern.to_owned() });
    }
    let rights = denied.into_iter().map(|command| format!("+{}", name(command))).collect::<Vec<_>>().join(" ");
    Err(RedisStartError::CommandsDenied { user, rights })
}

/// What Redis says of each command.
async fn ask(connection: &mut Connection, key: &str, commands: &[&str]) -> Result<Vec<String>, RedisError> {
    let hash = connection.call(redis::cmd("SCRIPT").arg("LOAD").arg(ALLOWED), STORE_TIMEOUT).await;
    let mut question = redis::cmd("EVALSHA");
    question.arg(hash.and_then(reply::text)?).arg(0);
    for command in commands {
        let words: Vec<&str> = command.split(' ').map(|word| if word == KEY { key } else { word }).collect();
        question.arg(words.len()).arg(words);
    }
    let answers = connection.call(&question, STORE_TIMEOUT).await.and_then(reply::list)?;
    answers.into_iter().map(reply::text).collect()
}

/// A command as rights name it: `hset`, `xinfo|stream`.
fn name(command: &str) -> String {
    let mut words = command.split(' ').map(str::to_lowercase);
    let first = words.next().unwrap_or_default();
    match words.next().filter(|_| ["memory", "xinfo", "xgroup"].contains(&&*first)) {
        Some(second) => format!("{first}|{second}"),
        None => first,
    }
}

/// Who we are to Redis; a user with least privilege may not even ask.
async fn user(connection: &mut Connection) -> Option<String> {
    connection.call(redis::cmd("ACL").arg("WHOAMI"), STORE_TIMEOUT).await.and_then(reply::text).ok()
}

/// Warns where the user may do everything: whoever has its password can redirect webhooks and read secrets.
pub(super) async fn warn_of_everything(connection: &mut Connection, place: &str) {
    let Some(user) = user(connection).await else { return };
    let mut ask = redis::cmd("ACL");
    // Nothing that the service needs.
    ask.arg("DRYRUN").arg(&user).arg("FLUSHALL");
    let may = connection.call(&ask, STORE_TIMEOUT).await.and_then(reply::text);
    if may.is_ok_and(|answer| answer == "OK") {
        tracing::warn!(
            place,
            user,
            "The service's Redis user may do everything, and so may whoever else logs in so: redirect webhooks, read \
             secrets. Use the users of redis/users.acl."
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::redis::script::TEXTS;

    /// The names in `call('NAME'`, with the second word where that is a part of the name.
    fn called_by(text: &str) -> Vec<String> {
        let calls = ["redis.call('", "redis.pcall('", "read('", "local read = {'"].iter();
        let behind = calls.flat_map(|call| text.split(call).skip(1));
        let words = behind.filter_map(|rest| {
            let mut words = rest.split('\'').step_by(2);
            Some(format!("{} {}", words.next()?, words.next().unwrap_or_default()))
        });
        words.map(|command| name(&command)).collect()
    }

    #[test]
    fn whatever_a_script_calls_is_asked_for_at_the_start() {
        let asked: Vec<String> = NEEDED.iter().chain(&NEEDED_OF_SOURCE).map(|command| name(command)).collect();
        let called: Vec<String> = TEXTS.iter().flat_map(|text| called_by(text)).collect();
        assert!(called.len() > 50 && called.iter().any(|name| name == "xinfo|stream"), "{called:?}");
        for name in called {
            assert!(asked.contains(&name), "{name} is not asked for");
        }
    }

    /// One that is missing behind the first write would tear what is stored together.
    #[test]
    fn what_a_script_runs_behind_its_first_look_at_rights_is_among_what_it_looks_at() {
        let bound = include_str!("../../../redis/bound.lua");
        let mut found = 0;
        for text in TEXTS.iter().filter(|text| text.contains("need('")) {
            let behind = &text[text.find("need('").unwrap()..];
            let words = behind.split("need(").skip(1).filter_map(|rest| rest.split(')').next());
            let asked: Vec<String> = words.flat_map(|words| words.split('\'').skip(1).step_by(2)).map(name).collect();
            let mut called = called_by(behind);
            if behind.contains("bound(") {
                called.extend(called_by(bound));
            }
            found += called.len();
            for name in called {
                assert!(asked.contains(&name), "{name} is not asked for: {asked:?}");
            }
        }
        assert!(found > 20, "{found}");
    }

    #[test]
    fn the_users_that_operators_are_told_to_have_may_do_it() {
        let users = include_str!("../../../redis/users.acl");
        let user = users.lines().find(|line| line.starts_with("user outbound ")).unwrap();
        let rights: Vec<&str> = user.split(' ').collect();
        for command in NEEDED.iter().chain(&NEEDED_TO_WAIT).chain(&NEEDED_OF_SOURCE) {
            let right = format!("+{}", name(command));
            assert!(rights.contains(&right.as_str()), "{right}");
        }
    }
}
