//! The program: arguments → telemetry → the subcommand. Everything else is in the library.

use std::io::Write;
use std::process::ExitCode;

use outbound::cli::failure::{CommandFailure, EXIT_USAGE};
use outbound::cli::{self, Cli};
use outbound::telemetry::{self, Format};

/// A message passes through some dozens of short-lived allocations on the thread of its shard.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::from_arguments(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    if let Err(error) = telemetry::start(&cli.log, cli.command.log_default()) {
        return fail(&error.into());
    }
    let is_collected = cli.command.is_service() && cli.log.format == Format::Json;
    // Colours reach a terminal that wants them, and nothing else.
    match cli::run(cli.command, &mut anstream::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if is_collected && tracing::enabled!(tracing::Level::ERROR) => {
            // A line that is no JSON would be the one that is lost.
            let sentences = failure.sentences();
            let (sentence, causes) = sentences.split_first().map_or(("", &[][..]), |(first, rest)| (first, rest));
            tracing::error!(causes = causes.join("; "), "{sentence}");
            failure.exit_code().into()
        }
        Err(failure) => fail(&failure),
    }
}

fn fail(failure: &CommandFailure) -> ExitCode {
    if !failure.is_unread() {
        // With nobody left to read it, the exit code still says it.
        write!(anstream::stderr(), "{failure}").ok();
    }
    failure.exit_code().into()
}

/// Prints what clap has to say: help and version end with 0, anything else is bad usage and ends with 2.
fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print().and_then(|()| std::io::stdout().flush());
    match printed {
        _ if error.use_stderr() => EXIT_USAGE.into(),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&CommandFailure::output(error)),
    }
}
