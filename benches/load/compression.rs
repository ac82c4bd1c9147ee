//! What `--journal-compression` costs: `compression`. The backlog of `spread` with the log as JSON and as zstd, in turns.
//! What it saves, `bytes` tells.

use super::report::{Report, Target};
use super::run::Bench;
use super::scenario::Size;
use super::store;
use super::variants::{self, Variant};

/// Smaller logs may cost so much of the rate.
const RATIO_MIN: f64 = 0.97;
const JSON: [&str; 2] = ["--journal-compression", "none"];
const ZSTD: [&str; 2] = ["--journal-compression", "zstd"];

pub(crate) async fn measure(size: &Size) -> Report {
    let forms = [("json", &JSON), ("zstd", &ZSTD)];
    let forms = forms.map(|(name, flags)| Variant::new(name, flags, Bench::on(store::start())));
    let mut report = variants::measure(forms, size, |_| {}).await;
    let ratio = report.median_of("zstd_ratio_to_json");
    report.targets = vec![Target::at_least("rate of zstd / JSON", ratio, RATIO_MIN)];
    report
}
