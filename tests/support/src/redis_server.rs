//! A Redis of one test's own: on a free port, with its files in a folder of its own.
//!
//! Needs `redis-server` 7.0 or newer on the path, or the path of a server in [`PROGRAM_VARIABLE`].

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::{Connection, FromRedisValue, Value};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::port::Port;
use crate::process::{PATIENCE, stop};

/// The environment variable that names the server to run.
const PROGRAM_VARIABLE: &str = "OUTBOUND_TEST_REDIS";

/// A running server. Killed and removed when dropped.
#[derive(Debug)]
pub struct RedisServer {
    folder: TempDir,
    port: Port,
    config: Vec<String>,
    child: Option<Child>,
}

/// The files of a server as they were.
#[derive(Debug)]
pub struct DataCopy(TempDir);

impl RedisServer {
    /// Starts one that keeps what it is given (an append-only file) and evicts nothing.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with further configuration: `&["--maxmemory", "20mb"]`. The last of several holds.
    pub fn start_with(config: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder for Redis");
        let config = config.iter().map(|&word| word.to_owned()).collect();
        let mut server = Self { folder, port: Port::take(), config, child: None };
        // Another program, which is no test, may take the port between our look and Redis' bind.
        let started = (0..5).any(|_| {
            let started = server.launch();
            if !started {
                server.port = Port::take();
            }
            started
        });
        assert!(started, "redis-server did not start: {}", server.log());
        server
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// For the service, as the user that it has in `redis/users.acl`.
    pub fn url(&self) -> String {
        format!("redis://outbound:change-me-outbound@127.0.0.1:{}", self.port())
    }

    /// For whoever may do everything.
    pub fn own_url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port())
    }

    /// The process id; 0 while it is down.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Kills it without warning, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().ok();
            child.wait().expect("waiting for the killed Redis");
        }
    }

    /// Starts it again on the same port with the files that it has.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.launch(), "redis-server did not start again: {}", self.log());
    }

    /// Stops it from running without closing anything: it answers nobody until [`Self::resume`].
    pub fn pause(&self) {
        stop(self.process());
    }

    /// Lets it run on.
    pub fn resume(&self) {
        kill_process(self.process(), Signal::CONT).expect("a signal to our own Redis");
    }

    /// Has it write its append-only file anew, as it does by itself when that has grown.
    pub fn rewrite_log(&self) {
        let () = self.call(&["BGREWRITEAOF"]);
        let wait = Instant::now() + PATIENCE;
        loop {
            let info: String = self.call(&["INFO", "persistence"]);
            let is = |line: &str| info.lines().any(|one| one == line);
            if is("aof_rewrite_in_progress:0") && is("aof_rewrite_scheduled:0") {
                assert!(is("aof_last_bgrewrite_status:ok"), "the rewrite failed: {}", self.log());
                return;
            }
            assert!(Instant::now() < wait, "the rewrite does not end: {}", self.log());
            sleep(Duration::from_millis(5));
        }
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Copies the files that a restart would read.
    pub fn copy_data(&self) -> DataCopy {
        let copy = tempfile::tempdir().expect("a folder for the copy");
        copy_folder(self.folder.path(), copy.path());
        DataCopy(copy)
    }

    /// Kills it, puts the files back as they were, and starts it: a Redis that lost what it had
    /// acknowledged since.
    pub fn roll_back(&mut self, to: &DataCopy) {
        self.kill();
        let fresh = tempfile::tempdir().expect("a folder for Redis");
        copy_folder(to.0.path(), fresh.path());
        self.folder = fresh;
        self.restart();
    }

    /// Runs one command.
    pub fn call<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let (name, arguments) = words.split_first().expect("a command");
        let mut cmd = redis::cmd(name);
        for argument in arguments {
            cmd.arg(*argument);
        }
        cmd.query(&mut self.connection()).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Every key, sorted.
    pub fn keys(&self) -> Vec<String> {
        let mut keys: Vec<String> = self.call(&["KEYS", "*"]);
        keys.sort();
        keys
    }

    fn connection(&self) -> Connection {
        let client = redis::Client::open(self.own_url()).expect("the URL of Redis");
        client.get_connection_with_timeout(Duration::from_secs(5)).expect("a connection to Redis")
    }

    /// Whether it came up on its port.
    fn launch(&mut self) -> bool {
        // The newest servers come without TLS, which is the same in all of them: the one on the path has it.
        let named = std::env::var_os(PROGRAM_VARIABLE).filter(|_| !self.config.iter().any(|word| word == "--tls-port"));
        let program = named.unwrap_or_else(|| "redis-server".into());
        // The users that an operator is told to have, though with keys of any prefix; the test itself may do everything.
        let users = self.folder.path().join("users.acl");
        let text = include_str!("../../../redis/users.acl");
        let text = text.replace("user default off", "user default on nopass ~* &* +@all");
        fs::write(&users, text.replace(" ~outbound:* ", " ~* ")).expect("a file of users");
        let child = Command::new(program)
            .args(["--port", &self.port().to_string(), "--bind", "127.0.0.1", "--daemonize", "no"])
            // Without fsync every answered write is in the file: with everysec, Redis puts the
            // writing itself off while an fsync is under way, and a kill would lose it.
            .args(["--appendonly", "yes", "--appendfsync", "no", "--save", ""])
            .args(["--loglevel", "notice", "--logfile", "redis.log"])
            .arg("--dir")
            .arg(self.folder.path())
            .arg("--aclfile")
            .arg(&users)
            .args(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let (port, deadline) = (self.port(), Instant::now() + PATIENCE);
        let child = self.child.insert(child.expect("redis-server 7 must be installed"));
        while Instant::now() < deadline {
            if child.try_wait().expect("the state of Redis").is_some() {
                self.child = None;
                return false;
            }
            if answers(port, child.id()) {
                return true;
            }
            sleep(Duration::from_millis(10));
        }
        self.kill();
        false
    }

    fn process(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("a running Redis"))
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("redis.log")).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether that Redis is ready on the port: one that loads answers PING with an error. Another test's may have taken the port.
fn answers(port: u16, pid: u32) -> bool {
    let who = || {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
        let mut connection = client.get_connection_with_timeout(Duration::from_millis(500))?;
        redis::cmd("PING").query::<Value>(&mut connection)?;
        redis::cmd("INFO").arg("server").query::<String>(&mut connection)
    };
    who().is_ok_and(|info| info.lines().any(|line| line == format!("process_id:{pid}")))
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a folder to copy") {
        let entry = entry.expect("an entry of the folder");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            fs::create_dir(&target).expect("a folder in the copy");
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file in the copy");
        }
    }
}
