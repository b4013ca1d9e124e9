//! The command line: one file a command. Results go to stdout, messages to stderr.

mod args;
mod bench;
mod cameras;
mod completions;
mod config;
mod doctor;
mod environment;
mod exit;
mod inspect;
mod machine;
mod man;
mod model;
mod notify;
mod outputs;
mod predict;
mod print;
mod prove;
mod reload;
mod run;
mod run_sinks;
mod signals;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Cli, Command};
use exit::Exit;

/// Runs the command that the program's arguments name.
pub fn main() -> ExitCode {
    let typed = std::env::args_os().collect();
    let arguments = match config::expand(typed, environment::all(), &Cli::command()) {
        Ok(arguments) => arguments,
        Err(error) => {
            print::say(format_args!("error: {error}"));
            return Exit::Usage.into();
        }
    };
    let cli = match Cli::try_parse_from(arguments) {
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
        Command::Prove(args) => prove::prove(args),
        Command::Doctor(args) => doctor::doctor(args),
        Command::Completions(args) => completions::completions(args, Cli::command()),
        Command::Man(args) => man::man(args, Cli::command()),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error).into(),
    }
}
