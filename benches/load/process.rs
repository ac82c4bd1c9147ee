//! Processes of the bench's own: this program in another role, and what a process has used.

use std::fs;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use support::process::Process;

/// Starts this program once more in another role.
pub(crate) fn role(arguments: &[&str]) -> Process {
    let program = std::env::current_exe().expect("the path of this program");
    Process::start(Command::new(program).args(arguments).stdin(Stdio::piped()).stderr(Stdio::inherit()))
}

/// Lets this process and those that it starts open as many files as the system allows, and answers how many that are:
/// each endpoint takes one in the service and one in the receiver.
pub(crate) fn raise_open_files() -> usize {
    let limit = getrlimit(Resource::Nofile);
    // Where it may not be raised, it stays as it is.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).ok();
    let now = getrlimit(Resource::Nofile).current;
    now.and_then(|now| usize::try_from(now).ok()).unwrap_or(usize::MAX)
}

/// Bytes of memory that programs may still take.
pub(crate) fn memory_free() -> usize {
    let memory = fs::read_to_string("/proc/meminfo").expect("a system that tells of its memory");
    let line = memory.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|text| text.split_whitespace().next()?.parse::<usize>().ok());
    kib.expect("the memory that is available") * 1_024
}

/// Bytes that fit where the bench's files are.
pub(crate) fn disk_free() -> usize {
    let disk = rustix::fs::statvfs(tempfile::env::temp_dir()).expect("a file system that tells of its space");
    usize::try_from(disk.f_bavail * disk.f_frsize).unwrap_or(usize::MAX)
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
