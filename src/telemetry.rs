//! What the running program says about itself: log lines on stderr.
//!
//! Stdout belongs to what a subcommand prints; logs never mix with it.

use std::cell::Cell;
use std::io::{IsTerminal, stderr};

use tracing::{debug, error};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, ParseError};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How much is logged, and in which form.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Logging")]
pub struct Log {
    /// What is logged: off, error, warn, info, debug or trace; and by module, which changes that module alone, such as
    /// `info,outbound::actor=debug` [default: info; of the demo: error]
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

/// The modules of this program that a filter can name, behind `outbound::`.
const MODULES: [&str; 14] = [
    "actor",
    "app",
    "cli",
    "config",
    "deliver",
    "docs",
    "http",
    "journal",
    "message",
    "notify",
    "seal",
    "sign",
    "telemetry",
    "workspace",
];

/// Says as an error what whoever asked is told anyway; a filter that names it goes first.
const UNHEARD: &str = "rustls_platform_verifier=off";

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
    /// A part of the filter would silence everything, or nothing.
    #[error(
        "--log: {part:?} is neither a level (off, error, warn, info, debug, trace) nor a module of outbound \
         (outbound::NAME, where NAME is one of {}); another crate is named with its level, such as hyper=debug",
        MODULES.join(", ")
    )]
    Unknown { part: String },
    /// Somebody else logs already in this process.
    #[error("logging was started twice")]
    Twice(#[source] TryInitError),
}

/// Starts logging, for the whole process and once. `default` is the filter when none is set, and the level of
/// what a filter does not name.
///
/// # Errors
/// See [`LogError`].
pub fn start(log: &Log, default: &str) -> Result<(), LogError> {
    let filter = log.filter.as_deref().map_or_else(|| Ok(default.to_owned()), |filter| checked(filter, default))?;
    let filter = EnvFilter::try_new(format!("{UNHEARD},{filter}"))
        .map_err(|source| LogError::Filter { filter: log.filter.clone().unwrap_or_default(), source })?;
    // Where nobody takes the log any more, that cannot be told there either, and ends nothing.
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).log_internal_errors(false);
    match log.format {
        Format::Text => lines.with_ansi(colours()).finish().try_init(),
        Format::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(LogError::Twice)?;
    // A panic is a line of the log, in its form and where the log goes.
    std::panic::set_hook(Box::new(|panic| {
        let at = panic.location().map(ToString::to_string).unwrap_or_default();
        let what = panic.payload_as_str().unwrap_or_default();
        if OVER_DAMAGE.get() {
            return debug!(at, what, "What is stored cannot be read.");
        }
        error!(at, what, "A part of the program failed; please report it.");
    }));
    Ok(())
}

thread_local! {
    /// Whether this thread reads what may be damaged.
    static OVER_DAMAGE: Cell<bool> = const { Cell::new(false) };
}

/// Runs what may panic over something that is damaged where it is stored, and does not unwind: that is told by whoever calls
/// it, and is no fault of the program.
pub fn over_damage<T>(work: impl FnOnce() -> T) -> T {
    let before = OVER_DAMAGE.replace(true);
    let done = work();
    OVER_DAMAGE.set(before);
    done
}

/// The filter, with `default` for what it does not name. The library takes every word that is no level for a
/// module's name, and a filter that names modules alone for one that silences all others: a mistyped level would
/// silence the whole program.
fn checked(filter: &str, default: &str) -> Result<String, LogError> {
    let is_level = |text: &str| text.parse::<LevelFilter>().is_ok();
    let mut parts: Vec<&str> = Vec::new();
    for part in filter.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (target, has_level) = part.split_once('=').map_or((part, false), |(target, _)| (target.trim(), true));
        // Braces hold a span's fields, whose form the library judges.
        let known = part.contains(['[', '{', '}', ']'])
            || (!has_level && is_level(target))
            || is_module(target)
            || (has_level && is_crate(target) && !is_level(target));
        if !known {
            return Err(LogError::Unknown { part: part.to_owned() });
        }
        parts.push(part);
    }
    match parts.as_slice() {
        [] => Err(LogError::Unknown { part: filter.to_owned() }),
        parts if parts.iter().any(|part| is_level(part)) => Ok(parts.join(",")),
        parts => Ok(format!("{default},{}", parts.join(","))),
    }
}

/// Whether the text names this program or one of its modules.
fn is_module(target: &str) -> bool {
    let mut path = target.split("::");
    path.next() == Some("outbound") && path.next().is_none_or(|module| MODULES.contains(&module))
}

/// Whether the text can name another crate, or a module of one.
fn is_crate(target: &str) -> bool {
    let word = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let mut path = target.split("::");
    path.next().is_some_and(|name| word(name) && name != "outbound") && path.all(word)
}

/// Colours are for terminals, unless the reader refuses them (<https://no-color.org>).
fn colours() -> bool {
    stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_are_those_of_the_program() {
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut modules: Vec<_> = names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned)).collect();
        modules.retain(|name| !["lib", "main"].contains(&name.as_str()));
        modules.sort_unstable();
        assert_eq!(modules, MODULES);
    }

    #[test]
    fn what_a_filter_does_not_name_stays_at_the_default() {
        let checked = |filter| checked(filter, "info").ok();
        for (filter, whole) in [
            ("debug", "debug"),
            ("WARN", "WARN"),
            (" info , outbound::actor=debug,", "info,outbound::actor=debug"),
            ("outbound::deliver=trace", "info,outbound::deliver=trace"),
            ("hyper=debug", "info,hyper=debug"),
            ("off,redis::aio=trace", "off,redis::aio=trace"),
            ("outbound", "info,outbound"),
        ] {
            assert_eq!(checked(filter).as_deref(), Some(whole), "{filter}");
        }
        for filter in ["warning", "blah", "info,foo", "", " ", ",", "warn=info", "outbound::blah=debug", "outbound::"] {
            assert_eq!(checked(filter), None, "{filter}");
        }
        for filter in ["info;debug", "info debug", "=debug", "hyper", "outbound:actor=debug", "hyper::=debug"] {
            assert_eq!(checked(filter), None, "{filter}");
        }
    }
}
