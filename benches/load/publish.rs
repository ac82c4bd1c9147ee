//! Publishing over HTTP on the embedded journal: `publish`. One message a request, in turns with `outbound publish`, which
//! sends many in one. Both are answered when the messages are on disk. Nothing is sent on: the workspace has no webhook.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;
use support::process::{PATIENCE, outbound};
use support::service::TOKEN;

use super::progress;
use super::report::{Report, Target};
use super::run::Tally;
use super::scenario::Size;
use super::service::Outbound;
use super::store::workspace;

/// What many in one request are to reach, as a multiple of one a request in the same run.
const RATIO_MIN: f64 = 5.0;
/// One a request made 5,900 a second on two cores before there were many in one.
const PER_S_MIN: f64 = 5.0 * 5_900.0;
/// One a request takes longer, so it gets a part of the messages only.
const SINGLES_PART: usize = 5;

pub(crate) async fn measure(size: &Size) -> Report {
    let (many, few) = (size.backlog(), (size.backlog() / SINGLES_PART).max(1));
    let (mut singles, mut lines, mut ratios, mut tally) = (Vec::new(), Vec::new(), Vec::new(), Tally::default());
    for turn in 1..=size.pairs {
        let turn = format!("turn {turn} of {}", size.pairs);
        progress::step(&format!("{turn}, one message a request"));
        let (single, one) = published(few, size, RequestForm::Single).await;
        progress::step(&format!("{turn}, outbound publish"));
        let (line, other) = published(many, size, RequestForm::Lines).await;
        ratios.push(line / single);
        singles.push(single);
        lines.push(line);
        tally = [tally, one, other].into_iter().sum();
    }
    let mut report = Report { tally, ..Report::default() };
    report.measured("one_a_request_per_s", &singles);
    let per_s = report.measured("many_a_request_per_s", &lines);
    let ratio = report.measured("ratio_to_one_a_request", &ratios);
    report.targets = vec![
        Target::at_least("many a request / one a request", ratio, RATIO_MIN),
        Target::at_least("messages published/s", per_s, PER_S_MIN),
    ];
    report
}

/// How messages are published.
#[derive(Debug, Clone, Copy)]
enum RequestForm {
    /// One a request, many requests at a time.
    Single,
    /// By `outbound publish`.
    Lines,
}

/// Publishes messages to a service with an empty journal; answers with how many a second, and what became of them.
async fn published(messages: usize, size: &Size, form: RequestForm) -> (f64, Tally) {
    let load = size.hot();
    let folder = tempfile::tempdir().expect("a folder");
    let texts: Vec<String> = (0..messages).map(|n| load.message(n)).collect();
    let file = folder.path().join("messages.jsonl");
    fs::write(&file, texts.join("\n")).expect("a file of messages");
    let service = Outbound::start("embedded", &folder.path().join("data"), &[]);
    service.ready().await;
    let began = Instant::now();
    match form {
        RequestForm::Single => service.publish(0, texts).await,
        RequestForm::Lines => {
            let mut command =
                outbound(&["publish", "--workspace", &workspace(0), "--json", "--server", service.base()]);
            let command = command.arg(&file).env("OUTBOUND_ADMIN_TOKEN", TOKEN).stderr(Stdio::inherit());
            let output = command.output().expect("outbound publish");
            let told: Value = serde_json::from_slice(&output.stdout).expect("its result");
            assert_eq!(told["published"], messages, "{told}");
        }
    }
    let per_s = messages as f64 / began.elapsed().as_secs_f64();
    // A message counts as published once it is durable, so each is skipped in the end.
    let waits = Instant::now();
    let skipped = loop {
        let webhooks = service.webhooks(0..1).await;
        let skipped = webhooks[0]["skipped"]["count"].as_u64().unwrap_or_default();
        if skipped == messages as u64 || waits.elapsed() > PATIENCE {
            break skipped;
        }
        tokio::time::sleep(super::run::LOOK_EVERY).await;
    };
    (per_s, Tally { sent: messages as u64, skipped, ..Tally::default() })
}
