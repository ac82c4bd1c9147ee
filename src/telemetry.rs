//! What the running program says about itself: log lines on stderr.
//!
//! Stdout belongs to what a subcommand prints; logs never mix with it.

use std::io::{IsTerminal, stderr};

use tracing::error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How much is logged, and in which form.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct Log {
    /// What is logged: off, error, warn, info, debug or trace, or by module such as
    /// `info,outbound::actor=debug` [default: info; of the demo: warn]
    #[arg(long = "log", env = "OUTBOUND_LOG", value_name = "LEVEL", global = true)]
    pub filter: Option<String>,
    /// The form of a log line: text to read, json to collect (one object a line)
    #[arg(
        long = "log-format",
        env = "OUTBOUND_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        global = true
    )]
    pub format: Format,
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people, in colour on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why nothing can be logged.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the sentence shows what each field holds")]
pub enum LogError {
    /// The filter is not understood.
    #[error(
        "--log {filter:?} is not understood: write a level such as info, or levels by module such as info,outbound::actor=debug"
    )]
    Filter {
        filter: String,
        #[source]
        source: ParseError,
    },
    /// Somebody else logs already in this process.
    #[error("logging was started twice")]
    Twice(#[source] TryInitError),
}

/// Starts logging, for the whole process and once. `default` is the filter when none is set.
///
/// # Errors
/// See [`LogError`].
pub fn start(log: &Log, default: &str) -> Result<(), LogError> {
    let filter = log.filter.as_deref().unwrap_or(default);
    let filter = EnvFilter::try_new(filter).map_err(|source| LogError::Filter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    match log.format {
        Format::Text => lines.with_ansi(colours()).finish().try_init(),
        Format::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(LogError::Twice)?;
    // A panic is a line of the log, in its form and where the log goes.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(
            at,
            what = panic.payload_as_str().unwrap_or_default(),
            "A part of the program failed; please report it."
        );
    }));
    Ok(())
}

/// Colours are for terminals, unless the reader refuses them (<https://no-color.org>).
fn colours() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
