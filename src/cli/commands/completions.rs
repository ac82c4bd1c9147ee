//! `outbound completions`: what a shell needs to complete our words.

use std::io::Write;

use clap_complete::Shell;

use crate::cli::failure::CommandFailure;

/// The flags of `outbound completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

const AFTER_HELP: &str = "\
Examples:
  outbound completions bash > ~/.local/share/bash-completion/completions/outbound
  outbound completions zsh > \"${fpath[1]}/_outbound\"
  outbound completions fish > ~/.config/fish/completions/outbound.fish";

/// Prints the script for `program`, the whole command line.
///
/// # Errors
/// Nobody takes the output.
pub fn run(args: &CompletionsArgs, mut program: clap::Command, out: &mut dyn Write) -> Result<(), CommandFailure> {
    // The generator takes a failed write for a fault of the program, so it writes to memory.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "outbound", &mut script);
    out.write_all(&script).map_err(CommandFailure::output)
}
