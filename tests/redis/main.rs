//! On a real Redis: the journal's adapter alone, and the program when the store fails.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where its own set-up fails")]

mod chaos;
mod journal;
mod nodes;
mod tally;

/// `make servers` may not pass on another server than the one that it names.
#[test]
fn the_server_is_the_one_that_the_environment_names() {
    let server = support::redis_server::RedisServer::start();
    let info: String = server.call(&["INFO", "server"]);
    let running = info.lines().find_map(|line| line.strip_prefix("executable:")).unwrap();
    if let Some(asked) = std::env::var_os("OUTBOUND_TEST_REDIS") {
        assert_eq!(std::fs::canonicalize(running).unwrap(), std::fs::canonicalize(asked).unwrap(), "{info}");
    }
}
