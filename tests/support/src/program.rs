//! The program itself, as a process of its own.

use std::process::{Command, Stdio};

/// The program with an empty environment, so that no variable of the machine is taken for a flag.
pub fn program() -> Command {
    // Cargo and nextest tell it to every test and bench of the package.
    let path = std::env::var_os("CARGO_BIN_EXE_outbound").expect("cargo runs the test");
    let mut command = Command::new(path);
    command.env_clear().stdin(Stdio::null());
    command
}
