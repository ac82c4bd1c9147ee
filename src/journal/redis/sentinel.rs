//! Redis Sentinel: which node is the primary now. It is asked for every connection, and a connection ends when its node
//! is no primary any more; so whoever connects again follows a fail-over.

use redis::{ConnectionInfo, RedisError};

use super::connection::{Connection, open};
use super::error::unexpected;
use super::reply;
use super::seeds::{SeedAnswer, Seeds};
use crate::config;

/// Where sentinels listen unless they say otherwise.
const PORT: u16 = 26_379;

/// What a URL `redis+sentinel://user:password@a,b,c/NAME/DATABASE` names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SentinelUrl {
    /// The sentinels, each as a URL without user and password.
    pub(super) sentinels: Vec<String>,
    /// What they call the primary.
    pub(super) name: String,
    /// The primary as a URL, but for its address.
    pub(super) primary: String,
}

/// Reads the URL; `None` if it does not name sentinels, or no primary.
pub(super) fn parse(url: &str) -> Option<SentinelUrl> {
    let (scheme, rest) = url.split_once("+sentinel://")?;
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (format!("{user}@"), rest),
        None => (String::new(), rest),
    };
    let (hosts, path) = rest.split_once('/')?;
    let (name, database) = path.trim_end_matches('/').split_once('/').unwrap_or((path.trim_end_matches('/'), ""));
    if name.is_empty() {
        return None;
    }
    let has_port = |host: &str| host.rsplit_once(':').is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
    let sentinel = |host: &str| {
        let host = host.trim();
        if has_port(host) && !host.ends_with(']') {
            format!("{scheme}://{host}")
        } else {
            format!("{scheme}://{host}:{PORT}")
        }
    };
    let sentinels = hosts.split(',').map(sentinel).collect();
    let (name, primary) = (name.to_owned(), format!("{scheme}://{user}primary/{database}"));
    Some(SentinelUrl { sentinels, name, primary })
}

/// How the error begins of a sentinel that does not know the name.
pub(super) const NO_SUCH_PRIMARY: &str = "no primary is called";

/// How the error begins of a sentinel that asks for a login and refuses that of the URL.
pub(super) const NO_LOGIN: &str = "the login was refused by the sentinel";

/// Connects to the primary that the first sentinel names which answers and is right.
///
/// # Errors
/// No sentinel answers, none knows the name, or the one that they name is no primary (any more, or yet). Of several
/// reasons, that of a sentinel that answered.
pub(super) async fn connect(sentinels: &Seeds, name: &str, primary: &ConnectionInfo) -> Result<Connection, RedisError> {
    let ask = async |sentinel| match address(sentinel, name, primary).await {
        Ok(info) => match connect_to_primary(&info).await {
            Ok(connection) => Ok(SeedAnswer::Sure(Ok(connection))),
            Err(error) => Ok(SeedAnswer::Unsure(Err(error))),
        },
        Err(error) if error.to_string().contains(NO_SUCH_PRIMARY) || error.to_string().contains(NO_LOGIN) => {
            Ok(SeedAnswer::Unsure(Err(error)))
        }
        Err(error) => Err(error),
    };
    sentinels.ask(ask).await?
}

/// Where the primary is.
///
/// # Errors
/// As [`connect`].
pub(super) async fn find(
    sentinels: &Seeds,
    name: &str,
    primary: &ConnectionInfo,
) -> Result<ConnectionInfo, RedisError> {
    sentinels.ask(async |sentinel| address(sentinel, name, primary).await.map(SeedAnswer::Sure)).await
}

async fn address(
    sentinel: &ConnectionInfo,
    name: &str,
    primary: &ConnectionInfo,
) -> Result<ConnectionInfo, RedisError> {
    let mut connection = match open(sentinel).await {
        Ok(connection) => connection,
        // Sentinels have users of their own; often the same as their Redis.
        Err(error) if error.code() == Some("NOAUTH") => log_in(sentinel, primary).await?,
        Err(error) => return Err(error),
    };
    let mut ask = redis::cmd("SENTINEL");
    ask.arg("get-master-addr-by-name").arg(name);
    let answer = match connection.call(&ask, config::STORE_TIMEOUT).await {
        Err(error) if error.code() == Some("NOAUTH") => {
            log_in(sentinel, primary).await?.call(&ask, config::STORE_TIMEOUT).await?
        }
        answer => answer?,
    };
    let [host, port] = match answer {
        // The same as a primary that is away: there may be one soon.
        redis::Value::Nil => {
            return Err(away(format!("{NO_SUCH_PRIMARY} {name} by the sentinel at {}", sentinel.addr())));
        }
        answer => reply::tuple(answer)?,
    };
    let port = u16::try_from(reply::number(port)?).map_err(|_| unexpected("a port out of range"))?;
    Ok(primary.clone().set_addr(super::cluster::address(primary.addr(), reply::text(host)?, port)))
}

async fn log_in(sentinel: &ConnectionInfo, primary: &ConnectionInfo) -> Result<Connection, RedisError> {
    let settings = primary.redis_settings().clone().set_db(0);
    open(&sentinel.clone().set_redis_settings(settings)).await.map_err(|error| match error.kind() {
        redis::ErrorKind::Io => error,
        _ => away(format!("{NO_LOGIN} at {}: {error}", sentinel.addr())),
    })
}

/// A node that was demoted meanwhile would answer reads with what it had.
async fn connect_to_primary(info: &ConnectionInfo) -> Result<Connection, RedisError> {
    let mut connection = super::cluster::open_named(info, "the primary that the sentinels name").await?;
    let role = connection.call(&redis::cmd("ROLE"), config::STORE_TIMEOUT).await.and_then(reply::list)?;
    match role.into_iter().next().map(reply::text) {
        Some(Ok(role)) if role == "master" => Ok(connection),
        _ => Err(away(format!("{} is not the primary", info.addr()))),
    }
}

fn away(what: String) -> RedisError {
    std::io::Error::other(what).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_url_names_the_sentinels_the_primary_and_how_to_log_in_there() {
        let read = parse("rediss+sentinel://me:secret@a:7,b,[::1]:8,[::2]/main/3").unwrap();
        assert_eq!(read.sentinels, ["rediss://a:7", "rediss://b:26379", "rediss://[::1]:8", "rediss://[::2]:26379"]);
        assert_eq!((read.name.as_str(), read.primary.as_str()), ("main", "rediss://me:secret@primary/3"));
        assert_eq!(parse("redis+sentinel://a/main").unwrap().primary, "redis://primary/");
        for url in ["redis+sentinel://a", "redis+sentinel://a/", "redis://a/main", "redis+cluster://a"] {
            assert_eq!(parse(url), None, "{url}");
        }
    }
}
