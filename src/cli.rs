//! The command line ([contract, section 5](crate::docs::contract#5-command-line)): one file per subcommand.
//!
//! Every flag has an environment variable `OUTBOUND_<FLAG>`; a variable that is set to nothing counts as not set, and so does
//! a switch's that says no; a value of nothing is refused. Exit codes: 0 done, 1 failed, 2 usage or configuration.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Write;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::telemetry::Log;

pub mod client;
pub mod commands;
pub mod credentials;
pub mod data_dir;
pub mod failure;
mod output;
mod runtime;
pub mod transport;
pub mod values;

use credentials::{ADMIN_TOKEN, SECRET_KEY, TOKEN_KEY};

use commands::{
    attempts, completions, demo, discard, nodes, publish, receive, rejected, repair, reseal, serve, shard, token,
    workspaces,
};
use failure::CommandFailure;

/// What was asked for.
#[derive(Debug, Parser)]
#[command(name = "outbound", version, about, max_term_width = 110, after_help = EXAMPLES)]
pub struct Cli {
    /// What the program logs.
    #[command(flatten)]
    pub log: Log,
    /// What the program does.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// What the program does.
#[derive(Debug, Subcommand)]
pub enum CliCommand {
    /// See everything work, in one process, with nothing installed
    Demo(demo::DemoArgs),
    /// Run the service
    Serve(Box<serve::ServeArgs>),
    /// Append messages for a workspace, one JSON object a line
    Publish(publish::PublishArgs),
    /// Run a receiver that prints and verifies every POST that arrives
    Receive(receive::ReceiveArgs),
    /// Print a workspace's log: its last attempts
    Attempts(attempts::AttemptsArgs),
    /// Never send what a workspace has waiting
    Discard(discard::DiscardArgs),
    /// List the workspaces and how they are
    Workspaces(workspaces::WorkspacesArgs),
    /// List, show, requeue and discard what was set aside
    Rejected(rejected::RejectedArgs),
    /// Show which node runs what, and what each shard owes
    Nodes(nodes::NodesArgs),
    /// Make a token that opens one workspace; list or end those that open it
    Token(token::TokenArgs),
    /// Keep what can be read of a damaged workspace, or of a damaged file of the embedded journal
    Repair(repair::RepairArgs),
    /// Encrypt every workspace's secrets with today's key, while no service runs
    Reseal(reseal::ResealArgs),
    /// Print the stream that a workspace's messages belong to
    Shard(shard::ShardArgs),
    /// Print what your shell needs to complete commands and flags
    Completions(completions::CompletionsArgs),
}

impl CliCommand {
    /// Whether it runs until it is told to end, so that its log is what tells of it.
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(self, Self::Serve(_))
    }

    /// What is logged when nothing else is said. Whoever watches the demo watches the messages.
    #[must_use]
    pub fn log_default(&self) -> &'static str {
        match self {
            // Its webhooks are switched off on purpose.
            Self::Demo(_) => "error",
            Self::Serve(_)
            | Self::Publish(_)
            | Self::Receive(_)
            | Self::Attempts(_)
            | Self::Discard(_)
            | Self::Workspaces(_)
            | Self::Rejected(_)
            | Self::Nodes(_)
            | Self::Token(_)
            | Self::Repair(_)
            | Self::Reseal(_)
            | Self::Shard(_)
            | Self::Completions(_) => "info",
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  outbound demo --messages 1000
  outbound serve --journal redis://127.0.0.1:6379
  outbound publish --workspace acme messages.jsonl
  outbound receive --listen 127.0.0.1:9000
  outbound attempts acme
  outbound workspaces --status disabled_by_errors
  outbound rejected list
  outbound nodes
  outbound token --workspace acme --ttl 30d
  outbound shard acme

Every flag can be set by the environment variable that its help names; where both are given, the flag counts.
Exit codes: 0 done, 1 failed, 2 usage or configuration.";

impl Cli {
    /// Reads arguments (the first is the program's name) and the environment.
    ///
    /// # Errors
    /// Help, version, or what is wrong with the arguments, ready to print.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let matches = without_unset_variables(Self::command()).try_get_matches_from(&arguments);
        let matches = matches.map_err(|error| match error.kind() {
            ErrorKind::InvalidUtf8 => Self::command().error(ErrorKind::InvalidUtf8, not_utf8(&arguments)),
            ErrorKind::UnknownArgument => naming_negative_values(error),
            _ => naming_variables(error, &arguments),
        })?;
        Self::from_arg_matches(&matches)
    }
}

/// The variables among `set` that look like ours and that no subcommand knows: mistyped, most often, so that what was meant
/// to hold does not. Not those that Kubernetes sets for services whose names begin so.
fn unknown_variables(set: impl IntoIterator<Item = OsString>) -> Vec<String> {
    fn note_known(command: &clap::Command, known: &mut HashSet<OsString>) {
        known.extend(command.get_arguments().filter_map(clap::Arg::get_env).map(ToOwned::to_owned));
        command.get_subcommands().for_each(|command| note_known(command, known));
    }
    let mut known = HashSet::from([ADMIN_TOKEN, TOKEN_KEY, SECRET_KEY].map(|credential| credential.variable.into()));
    note_known(&Cli::command(), &mut known);
    let unknown = set.into_iter().filter(|name| !known.contains(name)).filter_map(|name| name.into_string().ok());
    let is_ours = |name: &String| {
        let is_theirs = |part: &&str| name.ends_with(part) || name.contains(&format!("{part}_"));
        name.starts_with("OUTBOUND_") && !["_SERVICE_HOST", "_SERVICE_PORT", "_PORT"].iter().any(is_theirs)
    };
    let mut unknown: Vec<String> = unknown.filter(is_ours).collect();
    unknown.sort_unstable();
    unknown
}

/// Which of the arguments and variables is not UTF-8: the library does not say.
fn not_utf8(arguments: &[OsString]) -> String {
    let argument = arguments.iter().find(|argument| argument.to_str().is_none());
    let argument = argument.map(|argument| format!("the argument {:?}", argument.to_string_lossy()));
    let variable = || {
        let odd = |(name, value): &(OsString, OsString)| {
            value.to_str().is_none() && name.to_string_lossy().starts_with("OUTBOUND_")
        };
        std::env::vars_os().find(odd).map(|(name, _)| format!("the value of {}", name.to_string_lossy()))
    };
    let which = argument.or_else(variable).unwrap_or_else(|| "an argument".to_owned());
    format!("{which} is not UTF-8: write it in UTF-8")
}

/// A negative value looks like a flag, and is called one by the library.
fn naming_negative_values(mut error: clap::Error) -> clap::Error {
    let is_negative =
        |flag: &str| flag.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if matches!(error.get(ContextKind::InvalidArg), Some(ContextValue::String(flag)) if is_negative(flag)) {
        let tip = ContextValue::StyledStrs(vec!["no value of this program is negative".into()]);
        error.insert(ContextKind::Suggested, tip);
    }
    error
}

/// What is wrong and came from a variable is told with its name: on the command line it is looked for in vain.
fn naming_variables(mut error: clap::Error, arguments: &[OsString]) -> clap::Error {
    for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
        let Some(ContextValue::String(told)) = error.get(kind) else { continue };
        let Some(flag) = told.split(' ').next().filter(|flag| flag.starts_with("--")) else { continue };
        let is_flag = |argument: &OsString| argument.to_string_lossy().split('=').next() == Some(flag);
        let variable = format!("OUTBOUND_{}", flag.trim_start_matches('-').to_uppercase().replace('-', "_"));
        if !arguments.iter().any(is_flag) && std::env::var_os(&variable).is_some() {
            let named = format!("{variable} ({flag})");
            error.insert(kind, ContextValue::String(named));
        }
    }
    error
}

/// Compose files and unit files set a variable to nothing when they mean "not set", and a switch to `no`.
fn without_unset_variables(command: clap::Command) -> clap::Command {
    let says_no = |value: &OsString| {
        let value = value.to_string_lossy().to_lowercase();
        ["0", "n", "no", "f", "false", "off"].contains(&value.as_str())
    };
    let is_unset = |arg: &clap::Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty() || (!arg.get_action().takes_values() && says_no(&value)))
    };
    command
        .mut_args(|arg| if is_unset(&arg) { arg.env(clap::builder::Resettable::Reset) } else { arg })
        .mut_subcommands(without_unset_variables)
}

/// Does it. `out` gets what the subcommand prints.
///
/// # Errors
/// [`CommandFailure::exit_code`] tells usage from failure.
pub fn run(command: CliCommand, out: &mut dyn Write) -> Result<(), CommandFailure> {
    match command {
        CliCommand::Demo(args) => demo::run(&args, out),
        CliCommand::Serve(args) => {
            let unknown = unknown_variables(std::env::vars_os().map(|(name, _)| name));
            if !unknown.is_empty() {
                let variables = unknown.join(", ");
                tracing::warn!(
                    variables,
                    "These variables are none of this program's: are they spelled as `outbound serve --help` says?"
                );
            }
            serve::run(&args, out)
        }
        CliCommand::Publish(args) => publish::run(&args, out),
        CliCommand::Receive(args) => receive::run(&args, out),
        CliCommand::Attempts(args) => attempts::run(&args, out),
        CliCommand::Discard(args) => discard::run(&args, out),
        CliCommand::Workspaces(args) => workspaces::run(&args, out),
        CliCommand::Rejected(args) => rejected::run(&args, out),
        CliCommand::Nodes(args) => nodes::run(&args, out),
        CliCommand::Token(args) => token::run(&args, out),
        CliCommand::Repair(args) => repair::run(&args, out),
        CliCommand::Reseal(args) => reseal::run(&args, out),
        CliCommand::Shard(args) => shard::run(&args, out),
        CliCommand::Completions(args) => completions::run(&args, Cli::command(), out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(command: &clap::Command, check: &mut dyn FnMut(&clap::Command, &clap::Arg)) {
        for arg in command.get_arguments() {
            check(command, arg);
        }
        for command in command.get_subcommands() {
            visit(command, check);
        }
    }

    #[test]
    fn clap_finds_no_contradiction_in_the_commands() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable_of_its_own_name() {
        visit(&Cli::command(), &mut |command, arg| {
            let Some(flag) = arg.get_long() else { return };
            let name = format!("OUTBOUND_{}", flag.to_uppercase().replace('-', "_"));
            assert_eq!(
                arg.get_env().and_then(|name| name.to_str()),
                Some(name.as_str()),
                "{} --{flag}",
                command.get_name()
            );
        });
    }

    /// A script's variable that is not set stands as a value of nothing: that means neither all nor a default.
    #[test]
    fn no_value_may_be_empty() {
        fn check(command: &clap::Command, path: &[&str]) {
            // --log is read later, and refused as any other text that is no filter; an orchestrator that assigns no shard says
            // nothing.
            let may_be = |arg: &clap::Arg| ["filter", "static_shards"].contains(&arg.get_id().as_str());
            let takes_value = |arg: &&clap::Arg| arg.get_action().takes_values() && !may_be(arg);
            for arg in command.get_arguments().filter(takes_value) {
                let flag = arg.get_long().map(|flag| format!("--{flag}"));
                let arguments = path.iter().map(ToString::to_string).chain(flag).chain([String::new()]);
                let refused = Cli::command().try_get_matches_from(arguments).unwrap_err();
                let is_refused = matches!(refused.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
                assert!(is_refused, "{path:?} {}: {refused}", arg.get_id());
            }
            for command in command.get_subcommands() {
                check(command, &[path, &[command.get_name()]].concat());
            }
        }
        check(&Cli::command(), &["outbound"]);
    }

    #[test]
    fn every_flag_has_a_help_text_and_what_may_hold_a_password_is_not_shown_there() {
        visit(&Cli::command(), &mut |command, arg| {
            let name = format!("{} {}", command.get_name(), arg.get_id());
            assert!(arg.get_help().is_some(), "{name}");
            let secret = ["journal", "smtp_url", "secret", "server", "canary"].contains(&arg.get_id().as_str());
            assert_eq!(arg.is_hide_env_values_set(), secret, "{name}");
        });
    }

    #[test]
    fn a_mistyped_variable_is_told_and_what_others_set_is_not() {
        let set = ["OUTBOUND_TIMOUT", "OUTBOUND_TIMEOUT", "OUTBOUND_REVOKE", "OUTBOUND_SECRET_KEY", "PATH"];
        let theirs = [
            "OUTBOUND_SERVICE_HOST",
            "OUTBOUND_PORT",
            "OUTBOUND_PORT_8080_TCP_ADDR",
            "OUTBOUND_REDIS_SERVICE_PORT_TCP",
        ];
        assert_eq!(unknown_variables(set.into_iter().chain(theirs).map(OsString::from)), ["OUTBOUND_TIMOUT"]);
    }

    #[test]
    fn every_subcommand_gives_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(&format!("outbound {}", command.get_name())), "{help}");
        }
    }
}
