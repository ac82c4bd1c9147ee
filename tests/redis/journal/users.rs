//! `redis/users.acl`: each user may do what it needs and no more.

use std::fs;

use redis::{Connection, Value};
use serde_json::json;
use tempfile::TempDir;

use support::endpoint::Receiver;
use support::redis_server::RedisServer;
use support::service::{Api, Service, TOKEN, message};

/// A Redis with the users of the file as it is, and one more for the test itself.
fn restricted() -> (RedisServer, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("users.acl");
    let users = include_str!("../../../redis/users.acl");
    fs::write(&file, users.replace("user default off", "user default on nopass ~* &* +@all")).unwrap();
    (RedisServer::start_with(&["--aclfile", file.to_str().unwrap()]), folder)
}

fn login(redis: &RedisServer, user: &str) -> Connection {
    let url = format!("redis://{user}:change-me-{user}@127.0.0.1:{}", redis.port());
    redis::Client::open(url).unwrap().get_connection().unwrap()
}

/// Whether Redis lets the user do it.
fn may(connection: &mut Connection, words: &[&str]) -> bool {
    let mut cmd = redis::cmd(words[0]);
    cmd.arg(&words[1..]);
    match cmd.query::<Value>(connection) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Some("NOPERM"), "{words:?}: {error}");
            false
        }
    }
}

/// The operators' screen, which is signed out of again.
async fn overview(api: &Api) -> String {
    let at = |path: &str| format!("http://{}{path}", api.address());
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let form = |path: &str, fields: String| {
        client.post(at(path)).header("content-type", "application/x-www-form-urlencoded").body(fields)
    };
    let begun = form("/operator/session", format!("token={TOKEN}")).send().await.unwrap();
    let cookie = begun.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let page = client.get(at("/")).header("accept", "text/html").header("cookie", &cookie).send().await.unwrap();
    let page = page.text().await.unwrap();
    let seal = page.split_once("name=\"csrf\" value=\"").unwrap().1.split('"').next().unwrap().to_owned();
    let ended = form("/operator/session/end", format!("csrf={seal}")).header("cookie", cookie).send().await.unwrap();
    assert_eq!(ended.status(), 303);
    page
}

#[tokio::test]
async fn the_service_needs_no_more_than_its_user_may_and_producers_only_append() {
    let (redis, _folder) = restricted();
    let () = redis.call(&["ACL", "SETUSER", "outbound", "~orders"]);
    // A source of which everything was handed over: its reader waits for more.
    let text = message("+1", "m-0");
    let _: String = redis.call(&["XADD", "orders", "*", "workspace", "acme", "message", &text]);
    let () = redis.call(&["XGROUP", "CREATE", "orders", "outbound", "$"]);
    let receiver = Receiver::start();
    let flags = ["--shards", "1", "--journal-compression", "zstd", "--error-limit", "0", "--source", "orders"];
    let service = Service::start(&redis.url(), &flags).await;
    let api = service.api();
    api.save("acme", &json!({"url": receiver.url("acme")})).await.ok();
    let mut producer = login(&redis, "producer");
    for (stream, id) in [("outbound:messages", "m-1"), ("outbound:{0}:messages", "m-2")] {
        let text = message("+1", id);
        assert!(may(&mut producer, &["XADD", stream, "*", "workspace", "acme", "message", &text]), "{stream}");
        api.until("acme", "it is sent", |webhook| webhook["last_attempt"]["message_id"] == id).await;
    }
    assert!(may(&mut producer, &["XADD", "outbound:{0}:messages", "*", "workspace", "acme", "message", "no JSON"]));
    support::process::until("it is set aside", async || api.get("/v1/rejected").await.ok()["rejected"] != json!([]))
        .await;
    assert_eq!(api.test("acme", None).await.ok()["attempt"]["outcome"], "delivered");
    // A part that takes too long is left out of a page.
    support::process::until("the overview is whole", async || {
        let page = overview(&api).await;
        page.contains("1 workspace in all") && page.contains("1 entry") && !page.contains("Not known now.")
    })
    .await;
    api.call(reqwest::Method::POST, "/v1/workspaces/acme/repair", None).await.unwrap().ok();
    api.call(reqwest::Method::DELETE, "/v1/workspaces/acme", None).await.unwrap();
    assert!(!service.log().contains("NOPERM") && !service.log().contains("may do everything"), "{}", service.log());

    for words in [
        ["XREAD", "STREAMS", "outbound:messages", "0"].as_slice(),
        &["XRANGE", "outbound:{0}:messages", "-", "+"],
        &["XDEL", "outbound:{0}:messages", "1-0"],
        &["XADD", "outbound:{0}:commands", "*", "workspace", "acme", "command", "{}"],
        &["GET", "outbound:{0}:snapshot:acme"],
        &["SET", "outbound:{0}:snapshot:acme", "{}"],
        &["KEYS", "*"],
        &["FLUSHALL"],
    ] {
        assert!(!may(&mut producer, words), "{words:?}");
    }
    let mut operator = login(&redis, "operator");
    assert!(may(&mut operator, &["XRANGE", "outbound:{0}:messages", "-", "+"]));
    assert!(may(&mut operator, &["GET", "outbound:{0}:snapshot:acme"]));
    for words in [["XADD", "outbound:messages", "*", "a", "b"].as_slice(), &["DEL", "outbound:meta"], &["GET", "other"]]
    {
        assert!(!may(&mut operator, words), "{words:?}");
    }
    let mut own = login(&redis, "outbound");
    for words in [["FLUSHALL"].as_slice(), &["GET", "other"], &["CONFIG", "SET", "maxmemory", "1"], &["ACL", "LIST"]] {
        assert!(!may(&mut own, words), "{words:?}");
    }
}

#[tokio::test]
async fn a_user_that_may_do_everything_is_warned_of() {
    let redis = RedisServer::start();
    let service = Service::start(&redis.own_url(), &["--shards", "1"]).await;
    let log = service.log();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("user may do everything")).collect();
    assert!(lines.len() == 1 && lines[0].contains("WARN") && lines[0].contains("redis/users.acl"), "{log}");
}
