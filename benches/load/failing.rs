//! Some endpoints answer 500: each gets exactly 11 attempts and is left alone, the others get everything.

use serde_json::json;

use super::backlog::{even, pairs};
use super::report::{Report, Target};
use super::run::{Backlog, Run};
use super::scenario::Size;

/// One workspace of so many has an endpoint that fails.
const EVERY: usize = 10;
/// The 11th error in a row switches a webhook off.
const ATTEMPTS: u64 = 11;
/// Messages of each workspace at least, so that the failing ones are owed more than they get.
const MESSAGES_MIN: usize = 20;

fn fails(workspace: usize) -> bool {
    workspace.is_multiple_of(EVERY)
}

pub(crate) async fn measure(size: &Size) -> Report {
    let load = size.spread();
    let messages = size.backlog().max(MESSAGES_MIN * load.workspaces);
    let treatment = |workspace| if fails(workspace) { "fail" } else { "ok" };
    let backlog = Backlog { messages, treatment, ..even(&load, size) };
    let (bare, ours) = pairs(&backlog, size).await;
    let failing = load.workspaces.div_ceil(EVERY);
    let undisturbed = messages - (0..messages).filter(|n| fails(load.workspace(*n))).count();
    let (eleven, off) = (least(&ours, eleven), least(&ours, disabled));
    let delivered = least(&ours, |run| run.stats.delivered as usize);
    let mut report = Report::beside(&ours, &bare);
    report.more.insert("failing_endpoints".to_owned(), json!(failing));
    report.more.insert("with_exactly_11_attempts".to_owned(), json!(eleven));
    report.more.insert("disabled_by_errors".to_owned(), json!(off));
    report.targets = vec![
        Target::exactly("with 11 attempts", eleven, failing),
        Target::exactly("switched off", off, failing),
        Target::exactly("delivered to the rest", delivered, undisturbed),
    ];
    report
}

fn least(runs: &[Run], count: impl Fn(&Run) -> usize) -> usize {
    runs.iter().map(count).min().unwrap_or_default()
}

/// Failing endpoints that got exactly 11 attempts.
fn eleven(run: &Run) -> usize {
    run.stats.failed_by_workspace.iter().filter(|(_, attempts)| *attempts == ATTEMPTS).count()
}

fn disabled(run: &Run) -> usize {
    run.webhooks.iter().filter(|webhook| webhook["status"] == "disabled_by_errors").count()
}
