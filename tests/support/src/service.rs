//! The real program, `outbound serve`, as a process of its own: started, killed and started again on
//! the same data, asked over HTTP.

mod api;

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

pub use self::api::{Api, Reply, message, message_with};
use crate::port::Port;
pub use crate::process::PATIENCE;
use crate::process::{Process, outbound, stop};

/// The admin token of every service under test.
pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The system chooses the port.
const ANY_PORT: &str = "127.0.0.1:0";

/// Lines of the service's log that a failed test shows.
const LOG_SHOWN: usize = 60;

/// A service, running or not, with what it remembers. Killed and forgotten when dropped.
pub struct Service {
    folder: TempDir,
    data_dir: PathBuf,
    arguments: Vec<String>,
    /// What seals secrets from the next start on.
    pub secret_key: Option<String>,
    /// The size in KiB beyond which no file can grow from the next start on, as on a full disk.
    pub file_kib_max: Option<u64>,
    /// How many files it may open from the next start on: the soft limit and the hard one.
    pub open_files: Option<(u32, u32)>,
    process: Option<Process>,
    /// Where it listens and has listened. Whoever still asks there while it is down, or has come back elsewhere, must not be
    /// answered by another test's service or receiver.
    ports: Vec<Port>,
    api: Api,
}

/// How a program ended that was expected to end by itself.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
    pub took: Duration,
}

impl Service {
    /// Starts one and waits until it is ready. `journal` is the value of `--journal`.
    pub async fn start(journal: &str, more: &[&str]) -> Self {
        let mut service = Self::new(journal, more);
        service.launch().await;
        service
    }

    /// One that is not started yet.
    pub fn new(journal: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut arguments: Vec<String> =
            ["serve", "--journal", journal, "--listen", ANY_PORT, "--allow-net", "127.0.0.0/8"]
                .map(str::to_owned)
                .into();
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        Self {
            data_dir: folder.path().join("data"),
            folder,
            arguments,
            secret_key: None,
            file_kib_max: None,
            open_files: None,
            process: None,
            ports: Vec::new(),
            api: Api::new(),
        }
    }

    /// Starts it on the data that it has, and waits until it is ready.
    pub async fn launch(&mut self) {
        self.spawn();
        let began = Instant::now();
        while !self.api.is_ready().await {
            assert!(began.elapsed() < PATIENCE, "the service did not become ready: {}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts it on the data that it has, and waits until it listens.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "the service runs already");
        let log = OpenOptions::new().create(true).append(true).open(self.log_file()).unwrap();
        let port = Port::take();
        let own = |argument: &String| if argument == ANY_PORT { port.address().to_string() } else { argument.clone() };
        let arguments: Vec<String> = self.arguments.iter().map(own).collect();
        let (process, url) = Process::serve(self.command(&arguments).stderr(log));
        self.ports.push(port);
        self.process = Some(process);
        *self.api.address.lock().unwrap() = url.trim_start_matches("http://").parse().unwrap();
    }

    /// `kill -9`, as a crash would be.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// SIGTERM, as a supervisor does; waits for the end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.ask_to_end();
        self.ended().await
    }

    /// SIGTERM.
    pub fn ask_to_end(&self) {
        self.running().signal(Signal::TERM);
    }

    /// Stops it from running, as a machine that sleeps would, until [`Service::resume`].
    pub fn pause(&self) {
        stop(Pid::from_child(&self.running().child));
    }

    /// Lets it run on.
    pub fn resume(&self) {
        self.running().signal(Signal::CONT);
    }

    /// Waits for the end of the process.
    pub async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        let mut process = self.process.take().unwrap();
        while began.elapsed() < PATIENCE {
            if let Some(status) = process.child.try_wait().unwrap() {
                return status;
            }
            // The process is polled: nothing else tells of its end without blocking the test.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the service did not end: {}", self.log());
    }

    /// The facade of the running service.
    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.data_dir.clone()
    }

    /// Starts on that data directory from now on.
    pub fn share_data_dir(&mut self, with: &Self) {
        self.data_dir = with.data_dir();
    }

    /// Changes the value of a flag for the next start.
    pub fn set(&mut self, flag: &str, value: &str) {
        let at = self.arguments.iter().position(|argument| argument == flag).unwrap();
        self.arguments[at + 1] = value.to_owned();
    }

    /// Starts with further arguments from now on.
    pub fn also(&mut self, words: &[&str]) {
        self.arguments.extend(words.iter().map(|&word| word.to_owned()));
    }

    /// What it has logged, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_file()).unwrap_or_default()
    }

    /// Memory that it has resident, in bytes.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most that it had resident since it was started.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, of: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.running().child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(of)).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("a running service")
    }

    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn command(&self, arguments: &[String]) -> Command {
        let limits = self.file_kib_max.map(|kib| format!("trap '' XFSZ; ulimit -f {kib}"));
        let limits =
            limits.or_else(|| self.open_files.map(|(soft, hard)| format!("ulimit -n {hard}; ulimit -Sn {soft}")));
        let mut command = match limits {
            None => outbound(&[]),
            Some(limits) => limited(&limits),
        };
        command.args(arguments).arg("--data-dir").arg(&self.data_dir).env("OUTBOUND_ADMIN_TOKEN", TOKEN);
        command.envs(self.secret_key.iter().map(|key| ("OUTBOUND_SECRET_KEY", key)));
        command
    }

    /// Runs it although it is expected to refuse, and waits for its end.
    pub fn refused(&self) -> Ended {
        run(self.command(&self.arguments), self.folder.path())
    }
}

impl Drop for Service {
    #[expect(clippy::print_stderr, reason = "the test harness shows it with the failure, and only then")]
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = &lines[lines.len().saturating_sub(LOG_SHOWN)..];
            eprintln!("the end of the service's log:\n{}", end.join("\n"));
        }
    }
}

/// The program, started by a shell that has lowered its own limits. A write beyond them fails, and no signal ends the
/// process.
fn limited(limits: &str) -> Command {
    let program = outbound(&[]);
    let mut shell = Command::new("/bin/bash");
    shell.env_clear().args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")]);
    shell.arg(program.get_program()).stdin(Stdio::null());
    shell
}

fn run(mut command: Command, folder: &Path) -> Ended {
    let (stdout, stderr) = (folder.join("refused.stdout"), folder.join("refused.stderr"));
    let began = Instant::now();
    let mut child =
        command.stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap()).spawn().unwrap();
    let mut status = None;
    while status.is_none() && began.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(5));
        status = child.try_wait().unwrap();
    }
    child.kill().ok();
    let code = child.wait().unwrap().code();
    let read = |path| fs::read_to_string(path).unwrap();
    Ended { code, stdout: read(&stdout), stderr: read(&stderr), took: began.elapsed() }
}
