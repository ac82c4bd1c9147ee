//! Where, when and how the figures came about: no figure is shown without it.

use std::fmt;
use std::fs;
use std::process::Command;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: f64,
    redis: String,
    date: String,
    pub(crate) command: String,
}

impl Machine {
    /// Looks at this one.
    pub(crate) fn here() -> Self {
        let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
        let processor = cpu.lines().find(|line| line.starts_with("model name")).and_then(value);
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let total = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib = total.and_then(|text| text.split_whitespace().next()?.parse::<f64>().ok());
        let version = Command::new("redis-server").arg("--version").output().ok();
        let version = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let redis = version.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("?").to_owned();
        let given: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
        let more = if given.is_empty() { String::new() } else { format!(" -- {}", given.join(" ")) };
        Self {
            processor: processor.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: kib.unwrap_or_default() / 1024.0 / 1024.0,
            redis,
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            command: format!("cargo bench --bench load{more}"),
        }
    }
}

/// Everything but the command.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_gib, redis, date, .. } = self;
        write!(f, "{date}, {cores} cores ({processor}), {memory_gib:.0} GiB, Redis {redis}")
    }
}
