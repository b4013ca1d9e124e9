//! The command line: one file a command. Results go to stdout, talk to stderr.

mod args;
mod bench;
mod cameras;
mod doctor;
mod exit;
mod inspect;
mod machine;
mod model;
mod outputs;
mod predict;
mod print;
mod run;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use exit::Exit;

/// Runs the command that the program's arguments name.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to stdout, faults to stderr; a closed stream changes nothing.
            let _ = error.print();
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            return exit.into();
        }
    };
    let outcome = match &cli.command {
        Command::Predict(args) => predict::predict(args),
        Command::Run(args) => run::run(args),
        Command::Verify(args) => verify::verify(args),
        Command::Bench(args) => bench::bench(args),
        Command::Inspect(args) => inspect::inspect(args),
        Command::Cameras(args) => cameras::cameras(args),
        Command::Doctor(args) => doctor::doctor(args),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => exit::tell(&error).into(),
    }
}
