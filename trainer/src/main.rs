//! The `trainer` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    comet_trainer::cli::main()
}
