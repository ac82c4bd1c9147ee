//! What people write today instead: `peers`. A BullMQ worker with undici and an asyncio worker with redis-py and
//! aiohttp, written as their own documentation advises, in turns with the service: the same messages, the same receiver.
//!
//! Needs Node with npm and Python 3 with venv; their packages, at the versions that are committed beside the
//! workers, are installed below `target/`. Each worker is one process, as ours is.
//!
//! Neither worker signs, keeps the order of a chat, keeps workspaces apart, counts errors, switches off, guards against
//! private addresses, or keeps a log of requests and answers.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use super::backlog::even;
use super::process::Usage;
use super::progress;
use super::report::{Report, over};
use super::run::{Backlog, Bench, Run, Tally, wait_all};
use super::scenario::Size;
use super::store;
use support::process::Process;

/// POSTs in flight of each, as of the bare loop.
const IN_FLIGHT: &str = "256";
/// Entries a pipeline.
const PIPELINE: usize = 256;

/// Who delivers beside the service.
#[derive(Debug, Clone, Copy)]
enum Peer {
    BullMq,
    Asyncio,
}

pub(crate) async fn measure(size: &Size) -> Report {
    let tools = Tools::install();
    let mut bench = Bench::start();
    let load = size.spread();
    let backlog = even(&load, size);
    let (mut ours, mut bullmq, mut asyncio) = (Vec::new(), Vec::new(), Vec::new());
    for turn in 1..=size.pairs {
        let turn = format!("turn {turn} of {}", size.pairs);
        progress::step(&format!("{turn}, outbound"));
        ours.push(bench.service(&backlog).await);
        progress::step(&format!("{turn}, BullMQ"));
        bullmq.push(delivered(&mut bench, Peer::BullMq, &tools, &backlog));
        progress::step(&format!("{turn}, asyncio"));
        asyncio.push(delivered(&mut bench, Peer::Asyncio, &tools, &backlog));
    }
    let mut report = Report::of(&ours);
    for (name, runs) in [("bullmq", &bullmq), ("asyncio", &asyncio)] {
        report.measured(&format!("{name}_per_s"), &over(runs, |run| run.per_s));
        report.measured(&format!("{name}_us"), &over(runs, |run| run.deliverer_us));
        report.measured(&format!("{name}_redis_us"), &over(runs, |run| run.redis_us));
        report.measured(&format!("{name}_rss_mb"), &over(runs, |run| run.peak_rss_mib));
        let times: Vec<f64> = ours.iter().zip(runs).map(|(ours, peer)| ours.per_s / peer.per_s).collect();
        report.measured(&format!("times_{name}"), &times);
    }
    report.more.insert("versions".to_owned(), json!(tools.versions()));
    report
}

/// Delivers a backlog with one of them.
fn delivered(bench: &mut Bench, peer: Peer, tools: &Tools, backlog: &Backlog<'_>) -> Run {
    store::empty(&bench.redis);
    let redis = bench.redis.url();
    let messages = (0..backlog.messages).map(|n| {
        let workspace = backlog.load.workspace(n);
        (bench.url("ok", workspace, backlog.endpoints), backlog.load.message(n))
    });
    match peer {
        Peer::BullMq => tools.add_jobs(&redis, messages),
        Peer::Asyncio => append(bench, messages),
    }
    bench.receiver.process.tell("reset");
    let before = bench.others();
    let process = Process::start(&mut match peer {
        Peer::BullMq => tools.node(&["work", &redis, IN_FLIGHT]),
        Peer::Asyncio => tools.python(&[&redis, IN_FLIGHT]),
    });
    wait_all(backlog.messages, &mut bench.receiver);
    let (usage, after) = (Usage::of(process.child.id()), bench.others());
    drop(process);
    let run = bench.run(backlog.messages, usage, &before, &after);
    Run { tally: Tally::of(backlog.messages, &run.stats, 0), ..run }
}

/// What the asyncio worker reads.
fn append(bench: &Bench, messages: impl Iterator<Item = (String, String)>) {
    let mut redis = bench.connect();
    let messages: Vec<_> = messages.collect();
    for some in messages.chunks(PIPELINE) {
        let mut pipeline = redis::pipe();
        for (url, message) in some {
            let cmd = pipeline.cmd("XADD").arg("peers:messages").arg("*");
            cmd.arg("url").arg(url).arg("message").arg(message).ignore();
        }
        pipeline.query::<()>(&mut redis).expect("appended messages");
    }
}

/// Both workers with their packages.
struct Tools {
    folder: PathBuf,
}

impl Tools {
    /// Copies the workers below `target/` and installs their packages there.
    fn install() -> Self {
        progress::step("installing the packages of the peers");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/load/peers");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers");
        std::fs::create_dir_all(&folder).expect("a folder for the peers");
        for file in ["package.json", "bullmq.mjs", "requirements.txt", "streams.py"] {
            std::fs::copy(source.join(file), folder.join(file)).expect("a copied worker");
        }
        let run = |program: &str, arguments: &[&str]| {
            let mut command = Command::new(program);
            command.args(arguments).current_dir(&folder).stdout(Stdio::null());
            let status = command.status().unwrap_or_else(|error| panic!("{program} is needed: {error}"));
            assert!(status.success(), "{program} {arguments:?} failed");
        };
        run("npm", &["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]);
        run("python3", &["-m", "venv", "venv"]);
        run("venv/bin/pip", &["install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"]);
        Self { folder }
    }

    fn node(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("node");
        command.arg(self.folder.join("bullmq.mjs")).args(arguments).stderr(Stdio::inherit());
        command
    }

    fn python(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.folder.join("venv/bin/python"));
        command.arg(self.folder.join("streams.py")).args(arguments).stderr(Stdio::inherit());
        command
    }

    /// Gives BullMQ its jobs.
    fn add_jobs(&self, redis: &str, messages: impl Iterator<Item = (String, String)>) {
        let mut filler = self.node(&["fill", redis]).stdin(Stdio::piped()).spawn().expect("a running Node");
        let mut lines = std::io::BufWriter::new(filler.stdin.take().expect("a standard input that is piped"));
        for (url, message) in messages {
            writeln!(lines, "{url}\t{message}").expect("a reader");
        }
        drop(lines);
        assert!(filler.wait().expect("an end").success(), "BullMQ did not take its jobs");
    }

    fn versions(&self) -> Vec<String> {
        let said = |mut command: Command| {
            let output = command.arg("--version").output().expect("a program that tells its version");
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        let mut versions = vec![
            format!("Node {}", said(Command::new("node"))),
            said(Command::new(self.folder.join("venv/bin/python"))),
        ];
        let pinned = std::fs::read_to_string(self.folder.join("requirements.txt")).expect("the packages");
        versions.extend(pinned.lines().map(str::to_owned));
        let manifest = std::fs::read(self.folder.join("package.json")).expect("the packages");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
        let packages = manifest["dependencies"].as_object().into_iter().flatten();
        versions.extend(packages.map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default())));
        versions
    }
}
