//! How the workspaces of a demo fared: the table, and whether its numbers add up.

use std::io::{self, Write};

use crate::cli::failure::CommandError;
use crate::message::WorkspaceId;
use crate::sign::InvalidSecret;
use crate::workspace::configuration::WebhookStatus;
use crate::workspace::event::MailState;

/// How one workspace of the demo fared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DemoRow {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Messages that were published.
    pub published: u64,
    /// Distinct message ids that the receiver got and verified.
    pub delivered: u64,
    /// Messages whose attempt failed, as the API tells.
    pub failed: u64,
    /// Messages that were not sent because the webhook was off, as the API tells.
    pub skipped: u64,
    /// The webhook at the end.
    pub status: WebhookStatus,
    /// The mail to its owner, if one was owed.
    pub mail: Option<MailState>,
}

/// Why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The numbers do not add up.
    #[error(transparent)]
    Disagreement(Disagreement),
    /// Not all of the messages that were asked for were published.
    #[error("only {published} of {n} messages were published before nothing moved any more: please report this")]
    Unpublished {
        /// How many were.
        published: u64,
        /// How many were asked for.
        n: u64,
    },
    /// There is no temporary folder.
    #[error("a temporary folder cannot be made: set TMPDIR to a folder that can be written")]
    Folder(#[source] io::Error),
    /// The service answered with a signing secret that is none.
    #[error("the service's signing secret is not understood: please report this")]
    Secret(#[source] InvalidSecret),
    /// A part of the demo panicked.
    #[error("a part of the demo failed inside the program: please report this")]
    Panicked(#[source] tokio::task::JoinError),
    /// Ctrl-C, or a supervisor's wish to end.
    #[error("stopped before every message had an outcome; the table tells how far it came")]
    Stopped,
}

impl CommandError for DemoError {}

/// What the receiver got, what the API tells and what was published do not add up.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the numbers of workspace {workspace} do not add up: {delivered} delivered, {failed} failed and {skipped} \
     skipped are not the {published} published: please report this"
)]
pub struct Disagreement {
    workspace: WorkspaceId,
    published: u64,
    delivered: u64,
    failed: u64,
    skipped: u64,
}

/// Prints `delivered D of N` and a line for each workspace.
///
/// # Errors
/// Nobody takes the output.
pub fn print_table(rows: &[DemoRow], out: &mut dyn Write) -> io::Result<()> {
    let sum = |of: fn(&DemoRow) -> u64| rows.iter().map(of).sum::<u64>();
    let (published, delivered) = (sum(|row| row.published), sum(|row| row.delivered));
    let width = rows.iter().map(|row| row.workspace.as_str().len()).max().unwrap_or(0).max("workspace".len());
    let mut line = |name: &str, counts: [String; 4], status: &str, mail: &str| {
        let [published, delivered, failed, skipped] = counts;
        let text =
            format!("{name:width$}  {published:>9}  {delivered:>9}  {failed:>6}  {skipped:>7}  {status:18}  {mail}");
        writeln!(out, "{}", text.trim_end())
    };
    let names = ["published", "delivered", "failed", "skipped"].map(ToOwned::to_owned);
    line("workspace", names, "webhook", "mail")?;
    for row in rows {
        let counts = [row.published, row.delivered, row.failed, row.skipped].map(|count| count.to_string());
        line(row.workspace.as_str(), counts, &word(&row.status), &row.mail.as_ref().map_or("-".to_owned(), word))?;
    }
    let sums = [published, delivered, sum(|row| row.failed), sum(|row| row.skipped)].map(|count| count.to_string());
    line("all", sums, "", "")?;
    writeln!(out, "\ndelivered {delivered} of {published}")
}

/// Whether `n` messages were published and every one has exactly one outcome.
///
/// # Errors
/// The first workspace for which that is not so, or how many messages are missing.
pub fn agree(rows: &[DemoRow], n: u64) -> Result<(), DemoError> {
    if let Some(row) = rows.iter().find(|row| row.delivered + row.failed + row.skipped != row.published) {
        let &DemoRow { ref workspace, published, delivered, failed, skipped, .. } = row;
        let workspace = workspace.clone();
        return Err(DemoError::Disagreement(Disagreement { workspace, published, delivered, failed, skipped }));
    }
    let published = rows.iter().map(|row| row.published).sum();
    if published == n { Ok(()) } else { Err(DemoError::Unpublished { published, n }) }
}

/// The word that the API uses.
fn word(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(_) | Err(_) => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<DemoRow> {
        let row = |workspace: &str, delivered, failed, skipped, status, mail| DemoRow {
            workspace: workspace.parse().unwrap(),
            published: 250,
            delivered,
            failed,
            skipped,
            status,
            mail,
        };
        vec![
            row("acme", 250, 0, 0, WebhookStatus::Enabled, None),
            row("umbrella", 0, 11, 239, WebhookStatus::DisabledByErrors, Some(MailState::Sent)),
        ]
    }

    #[test]
    fn the_table_says_how_each_workspace_fared_and_the_last_line_the_sum() {
        let mut out = Vec::new();
        print_table(&rows(), &mut out).unwrap();
        let expected = "\
workspace  published  delivered  failed  skipped  webhook             mail
acme             250        250       0        0  enabled             -
umbrella         250          0      11      239  disabled_by_errors  sent
all              500        250      11      239

delivered 250 of 500
";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_message_without_exactly_one_outcome_is_a_disagreement() {
        agree(&rows(), 500).unwrap();
        for change in [|row: &mut DemoRow| row.delivered += 1, |row: &mut DemoRow| row.skipped -= 1] {
            let mut rows = rows();
            change(&mut rows[1]);
            let error = agree(&rows, 500).unwrap_err().to_string();
            assert!(error.contains("umbrella"), "{error}");
        }
    }

    #[test]
    fn messages_that_were_never_published_are_missing_though_the_rest_agrees() {
        let error = agree(&rows(), 501).unwrap_err().to_string();
        assert!(error.starts_with("only 500 of 501 messages were published"), "{error}");
    }
}
