//! Redis Sentinel: the primary is found, and another one when that has failed.

use std::fs;
use std::process::{Child, Command, Stdio};

use outbound::journal::Journal as _;
use outbound::journal::redis::Redis;
use tempfile::TempDir;

use crate::journal::kit::{holder, message, options};
use support::port::Port;
use support::process::until;
use support::proxy::{Mode, Proxy};
use support::redis_server::RedisServer;

/// A sentinel of its own; killed when dropped.
pub(crate) struct Sentinel {
    pub(crate) port: Port,
    _folder: TempDir,
    child: Child,
}

impl Sentinel {
    /// So many must agree that the primary is down.
    pub(crate) fn start(primary: &RedisServer, quorum: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = Port::take();
        let config = folder.path().join("sentinel.conf");
        let (number, primary) = (port.number(), primary.port());
        let text = format!(
            "port {number}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {primary} {quorum}\n\
             sentinel down-after-milliseconds main 3000\nsentinel failover-timeout main 6000\n",
            folder.path().display()
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new("redis-server");
        command.arg(&config).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { port, _folder: folder, child: command.spawn().unwrap() }
    }

    pub(crate) fn says(&self, word: &str) -> bool {
        let Ok(client) = redis::Client::open(format!("redis://127.0.0.1:{}", self.port.number())) else { return false };
        let Ok(mut connection) = client.get_connection() else { return false };
        let told = redis::cmd("SENTINEL").arg("master").arg("main").query::<Vec<String>>(&mut connection);
        told.is_ok_and(|told| told.chunks(2).any(|pair| pair.concat() == word))
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The second one that is named does not answer.
#[tokio::test]
async fn a_name_that_the_sentinels_do_not_know_is_refused() {
    let primary = RedisServer::start();
    let sentinel = Sentinel::start(&primary, 1);
    until("it knows the primary", async || sentinel.says("namemain")).await;
    let url = format!("redis+sentinel://127.0.0.1:{},127.0.0.1:1/mian", sentinel.port.number());
    let ended = support::service::Service::new(&url, &[]).refused();
    assert!(ended.stderr.contains("the sentinels know no primary called mian: write the name of"), "{}", ended.stderr);
    for scheme in ["redis", "redis+cluster"] {
        let refused = Redis::connect(&options(&format!("{scheme}://127.0.0.1:{}", sentinel.port.number()))).await;
        let sentence = refused.map(|_| ()).unwrap_err().to_string();
        assert!(sentence.contains("is a sentinel: write redis+sentinel://HOST:PORT/NAME"), "{scheme}: {sentence}");
    }
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

/// As sentinels do that stand in another network than the service, or whose primary has just died.
#[tokio::test]
async fn a_primary_that_sentinels_name_and_nobody_reaches_is_named() {
    let mut primary = RedisServer::start();
    let sentinel = Sentinel::start(&primary, 1);
    until("it knows the primary", async || sentinel.says("namemain")).await;
    primary.kill();
    // The last one that is named does not answer: its silence says less.
    let url = format!("redis+sentinel://127.0.0.1:{},127.0.0.1:1/main", sentinel.port.number());
    let ended = support::service::Service::new(&url, &[]).refused();
    let sentence = format!("the primary that the sentinels name, 127.0.0.1:{}, cannot be reached", primary.port());
    assert!(ended.stderr.contains(&sentence), "{}", ended.stderr);
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

#[tokio::test]
async fn a_sentinel_with_the_login_of_the_redis_is_taken_and_one_with_another_is_named() {
    let primary = RedisServer::start();
    let sentinel = Sentinel::start(&primary, 1);
    until("it knows the primary", async || sentinel.says("namemain")).await;
    let set = |password: &str| {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}", sentinel.port.number())).unwrap();
        let mut set = redis::cmd("ACL");
        set.arg("SETUSER").arg("outbound").arg("reset").arg("on").arg(format!(">{password}")).arg("+@all").arg("~*");
        let mut connection = client.get_connection().unwrap();
        set.query::<()>(&mut connection).unwrap();
        redis::cmd("ACL").arg("SETUSER").arg("default").arg("off").query::<()>(&mut connection).ok();
    };
    set("change-me-outbound");
    let url = format!("redis+sentinel://outbound:change-me-outbound@127.0.0.1:{}/main", sentinel.port.number());
    Redis::connect(&options(&url)).await.unwrap();
    let mut change = redis::cmd("ACL");
    change.arg("SETUSER").arg("outbound").arg("resetpass").arg(">of-the-sentinels-alone");
    let own = format!("redis://outbound:change-me-outbound@127.0.0.1:{}", sentinel.port.number());
    change.query::<()>(&mut redis::Client::open(own).unwrap().get_connection().unwrap()).unwrap();
    let ended = support::service::Service::new(&url, &[]).refused();
    assert!(ended.stderr.contains("a sentinel refused the login"), "{}", ended.stderr);
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[tokio::test]
async fn a_sentinel_that_hangs_is_not_asked_for_every_connection() {
    let primary = RedisServer::start();
    let sentinel = Sentinel::start(&primary, 1);
    until("it knows the primary", async || sentinel.says("namemain")).await;
    let hung = Proxy::start(sentinel.port.number()).await;
    hung.set(Mode::BlackHole);
    let first = hung.redis_url().replace("redis://", "");
    let url = format!("redis+sentinel://{first},127.0.0.1:{}/main", sentinel.port.number());
    let journal = Redis::connect(&options(&url)).await.unwrap();
    let asked = hung.accepted();
    assert!(asked > 0, "it is the first one that is named");
    for _ in 0..4 {
        journal.acquire(0, &holder("node-a")).await.unwrap().connection.release().await.unwrap();
    }
    // The other one may have been slow for a moment.
    assert!(hung.accepted() <= asked + 1, "{} connections", hung.accepted() - asked);
}

#[tokio::test]
async fn another_primary_is_followed_when_the_first_one_has_failed() {
    let mut primary = RedisServer::start();
    let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    let sentinel = Sentinel::start(&primary, 1);
    until("it knows the replica", async || sentinel.says("num-slaves1")).await;
    // The first one that is named does not answer.
    let url = format!("redis+sentinel://127.0.0.1:1,127.0.0.1:{}/main/0", sentinel.port.number());
    let journal = Redis::connect(&options(&url)).await.unwrap();
    let acme = "acme".parse().unwrap();
    journal.publish(&acme, &message("before")).await.unwrap();
    let stored = || replica.call::<usize>(&["XLEN", "outbound:{0}:messages"]);
    until("the replica has it", async || stored() == 1).await;
    primary.kill();
    let publishes = async || journal.publish(&acme, &message("after")).await.is_ok();
    until("the other one takes it", publishes).await;
    // Once more where the answer of one that is stored was lost.
    assert!(stored() >= 2, "{}", stored());
    assert!(replica.call::<String>(&["INFO", "replication"]).contains("role:master"));
}
