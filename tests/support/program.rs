//! The program itself, as a process of its own.

use std::process::{Command, Stdio};

/// The program with an empty environment, so that no variable of the machine is taken for a flag.
#[allow(dead_code, reason = "not every test starts it")]
pub(crate) fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outbound"));
    command.env_clear().stdin(Stdio::null());
    command
}
