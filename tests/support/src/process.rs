//! Programs as processes of their own, outbound among them: started, read, told, stopped, ended.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to print a line, and to end when it is asked to. Nothing takes as long: this
/// only turns a hang into a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(10);

/// Waits until something is so.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain until {what}");
        moment(LOOK).await;
    }
}

/// Lets others run for so long, also where the clock of the runtime stands still.
pub async fn moment(span: Duration) {
    // The callers look again at what they wait for.
    tokio::task::spawn_blocking(move || std::thread::sleep(span)).await.expect("a thread that sleeps");
}

/// The program with an empty environment, so that no variable of the machine is taken for a flag.
pub fn outbound(arguments: &[&str]) -> Command {
    // Cargo and nextest tell it to every test and bench of the package.
    let path = std::env::var_os("CARGO_BIN_EXE_outbound").expect("cargo runs the test");
    let mut command = Command::new(path);
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

/// Stops a process from running, and waits until none of its threads runs: a signal takes effect when the system gets to it.
pub fn stop(process: Pid) {
    kill_process(process, Signal::STOP).expect("a signal to a process of our own");
    let threads = format!("/proc/{}/task", process.as_raw_nonzero());
    let is_stopped = || {
        let mut threads = fs::read_dir(&threads).expect("the threads of a process of our own");
        // The state stands behind the name in brackets; a thread that ended meanwhile has none.
        let state = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("stat")).ok();
        threads.all(|thread| {
            let state = thread.ok().and_then(state);
            state.is_none_or(|state| state.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T')))
        })
    };
    let began = Instant::now();
    while !is_stopped() {
        assert!(began.elapsed() < PATIENCE, "a process does not stop");
        std::thread::sleep(Duration::from_millis(1)); // Until it has.
    }
}

/// What a program that must have succeeded printed.
#[track_caller]
pub fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A running process whose lines are read; killed when dropped.
#[derive(Debug)]
pub struct Process {
    pub child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    /// Starts one whose standard output is ours, and its standard input if it is piped.
    pub fn start(command: &mut Command) -> Self {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{:?} does not start: {error}", command.get_program()));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        // It reads until the process has ended, so that the process is never kept from printing.
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                sender.send(line).ok();
            }
        });
        Self { child, stdin, lines }
    }

    /// Starts a service; answers with its URL too, without a slash at its end.
    pub fn serve(command: &mut Command) -> (Self, String) {
        let process = Self::start(command);
        loop {
            let line = process.line();
            if let Some(url) = line.strip_prefix("listening on ") {
                return (process, url.trim_end_matches('/').to_owned());
            }
        }
    }

    /// The next line that it prints.
    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("the process prints a line")
    }

    /// Writes a line to its standard input.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("a standard input that is piped");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits for the end.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
        let began = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(began.elapsed() < PATIENCE, "a process does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
