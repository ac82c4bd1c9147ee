//! What the URL of a Redis may say, before anything is made of it: what is not known is refused, for an operator who wrote it
//! meant something by it.

use redis::{ErrorKind, RedisError};
use url::form_urlencoded;

/// The same URL with the database behind the last slash, without blanks around it and behind commas.
///
/// # Errors
/// It says something that is not known, or twice.
pub(super) fn normalized(url: &str) -> Result<String, RedisError> {
    let url = url.trim();
    let Some((scheme, rest)) = url.split_once("://") else { return Ok(url.to_owned()) };
    if rest.contains('#') {
        let what = "take out what stands behind the # (in a password write %23)";
        return Err(refused(what.to_owned()));
    }
    if scheme.ends_with("unix") {
        let (_, query) = rest.split_once('?').unwrap_or((rest, ""));
        // Its database has no other place.
        return database(query, true).map(|_| url.to_owned());
    }
    // A question mark before the at sign is one of the password.
    let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let database = database(query, false)?;
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let hosts = hosts.split(',').map(str::trim).collect::<Vec<_>>();
    let path = match database {
        None => path.trim().to_owned(),
        Some(database) => with_database(scheme, path.trim(), database)?,
    };
    let user = user.map(|user| format!("{user}@")).unwrap_or_default();
    Ok(format!("{scheme}://{user}{}/{path}", hosts.join(",")))
}

/// What a query says: nothing but the database, and of a socket the login.
fn database(query: &str, is_socket: bool) -> Result<Option<u32>, RedisError> {
    let mut database = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "db" if database.is_some() => return Err(refused("?db= stands twice".to_owned())),
            "db" => {
                let number = value.parse().map_err(|_| refused("?db= is not the number of a database".to_owned()))?;
                database = Some(number);
            }
            "user" | "pass" if is_socket => {}
            // It may be a part of a password.
            _ if is_socket => return Err(refused("behind the ? only db, user and pass are known".to_owned())),
            _ => return Err(refused(format!("`{name}` behind the ? is not known; take it out. Known is db"))),
        }
    }
    Ok(database)
}

fn with_database(scheme: &str, path: &str, database: u32) -> Result<String, RedisError> {
    if scheme.ends_with("+cluster") {
        let is_right = database == 0;
        return is_right.then(String::new).ok_or_else(|| refused("a cluster has no database but 0".to_owned()));
    }
    let path = path.trim_end_matches('/');
    // Sentinels are asked for a name, which comes first.
    let (name, stands) = match path.split_once('/') {
        Some((name, stands)) => (format!("{name}/"), stands),
        None if scheme.ends_with("+sentinel") => (format!("{path}/"), ""),
        None => (String::new(), path),
    };
    if stands.is_empty() || stands == database.to_string() {
        return Ok(format!("{name}{database}"));
    }
    Err(refused(format!("it names two databases, /{stands} and ?db={database}: leave one out")))
}

fn refused(what: String) -> RedisError {
    RedisError::from((ErrorKind::InvalidClientConfig, "the URL cannot be used", what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_and_blanks_are_taken_wherever_they_stand() {
        for (url, meant) in [
            ("redis://a:1", "redis://a:1/"),
            ("redis://a:1/", "redis://a:1/"),
            ("redis://a:1/3", "redis://a:1/3"),
            ("redis://a:1?db=3", "redis://a:1/3"),
            ("redis://a:1/?db=3", "redis://a:1/3"),
            ("redis://a:1/3?db=3", "redis://a:1/3"),
            (" rediss://me:a%40b@a:1?db=3\n", "rediss://me:a%40b@a:1/3"),
            (
                "redis+unix:///run/redis.sock?db=3&user=me&pass=secret",
                "redis+unix:///run/redis.sock?db=3&user=me&pass=secret",
            ),
            ("redis+cluster://me:secret@a:1, b:2", "redis+cluster://me:secret@a:1,b:2/"),
            ("redis+cluster://a:1?db=0", "redis+cluster://a:1/"),
            ("redis+sentinel://a, b/main", "redis+sentinel://a,b/main"),
            ("redis+sentinel://a/main?db=3", "redis+sentinel://a/main/3"),
            ("redis+sentinel://a/main/3?db=3", "redis+sentinel://a/main/3"),
            ("embedded", "embedded"),
        ] {
            assert_eq!(normalized(url).unwrap(), meant, "{url}");
        }
    }

    #[test]
    fn what_is_not_known_or_contradicts_itself_is_named() {
        for (url, part) in [
            ("redis://a/1?db=2", "it names two databases, /1 and ?db=2"),
            ("redis+sentinel://a/main/1?db=2", "it names two databases, /1 and ?db=2"),
            ("redis://a?db=1&db=1", "?db= stands twice"),
            ("redis://a?db=x", "?db= is not the number of a database"),
            ("redis+unix:///run/redis.sock?pass=x&secret", "only db, user and pass are known"),
            ("redis://a?timeout=3", "`timeout` behind the ? is not known"),
            ("redis://a/0?protocol=resp3", "`protocol` behind the ? is not known"),
            ("redis+unix:///run/redis.sock?timeout=3", "only db, user and pass are known"),
            ("redis://a#3", "behind the #"),
            ("rediss://a/#insecure", "behind the #"),
            ("redis+cluster://a?db=3", "a cluster has no database but 0"),
        ] {
            let error = normalized(url).unwrap_err().to_string();
            assert!(error.contains(part) && !error.contains("secret"), "{url}: {error}");
        }
    }
}
