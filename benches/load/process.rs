//! Processes of the bench's own: started, measured and ended.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a process may take to say its first line, and to end when it is asked to.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running process; killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts one whose standard input and output are ours.
    pub(crate) fn start(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{:?} does not start: {error}", command.get_program()));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("its standard output"));
        Self { child, stdin, stdout }
    }

    /// Starts this program once more in another role.
    pub(crate) fn role(arguments: &[&str]) -> Self {
        let program = std::env::current_exe().expect("the path of this program");
        Self::start(Command::new(program).args(arguments).stderr(Stdio::inherit()))
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("its standard output");
        assert!(!line.is_empty(), "the process has ended without a word");
        line.trim_end().to_owned()
    }

    /// Writes a line to its standard input.
    pub(crate) fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("its standard input");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("its standard input");
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().expect("its end");
    }

    /// SIGTERM, and waits for the end.
    pub(crate) fn terminate(&mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).ok();
        let began = Instant::now();
        while self.child.try_wait().expect("its state").is_none() {
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

/// What a process has used of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    /// User and system time, in microseconds.
    pub(crate) cpu_us: f64,
    /// The most memory that it had resident, in MiB.
    pub(crate) peak_rss_mib: f64,
    /// What it has resident now, in MiB.
    pub(crate) rss_mib: f64,
}

impl Usage {
    /// Of a running process, since its start.
    pub(crate) fn of(pid: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
        // The name, in parentheses, may hold blanks; what follows does not. Fields 14 and 15 of proc(5).
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|text| text.parse::<f64>().ok()).sum();
        let ticks_a_second = rustix::param::clock_ticks_per_second() as f64;
        let mib = |name| memory_mib(pid, name).expect("a running process");
        Self { cpu_us: ticks / ticks_a_second * 1e6, peak_rss_mib: mib("VmHWM:"), rss_mib: mib("VmRSS:") }
    }
}

/// A line of proc_pid_status(5) about memory. `None` when the process is gone.
fn memory_mib(pid: u32, name: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}

/// Notes how much memory a process has resident, as time goes by.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Dropped to make it stop.
    running: mpsc::Sender<()>,
    samples: JoinHandle<Vec<f64>>,
}

impl Memory {
    const EVERY: Duration = Duration::from_millis(50);

    pub(crate) fn watch(pid: u32) -> Self {
        let (running, stop) = mpsc::channel();
        let samples = std::thread::spawn(move || {
            let mut samples = Vec::new();
            while stop.recv_timeout(Self::EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                samples.extend(memory_mib(pid, "VmRSS:"));
            }
            samples
        });
        Self { running, samples }
    }

    /// The samples, in MiB, in order.
    pub(crate) fn stop(self) -> Vec<f64> {
        drop(self.running);
        self.samples.join().expect("samples")
    }
}
