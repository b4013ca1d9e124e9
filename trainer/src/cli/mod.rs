//! Commands of `trainer`: one file each.

mod bench;
mod data;
mod eval;
mod exit;
mod export;
mod images;
mod next_steps;
mod stop;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use exit::report;

/// Trains COMET on your own photos, measures it and exports it for comet-edge.
#[derive(Parser)]
#[command(name = "trainer", version, propagate_version = true)]
#[command(after_help = "Examples:
  trainer data plants --out plants --count 3000
  trainer train --data plants --out runs/plants --preset small --size 64
  trainer eval runs/plants --data plants --split val --report plants.html
  trainer export runs/plants --data plants --quantize -o plants.int8.onnx

Exit codes: 0 ok, 1 a gate failed, 2 usage, 3 a model or run was refused or training has diverged, 5 a file cannot be read or written.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains selector and predictor under a detector that is trained first and then frozen.
    Train(Box<train::TrainArgs>),
    /// Measures a run or a model file on labelled images.
    Eval(eval::EvalArgs),
    /// Writes a run as a model file for comet-edge.
    Export(Box<export::ExportArgs>),
    /// Makes and checks data sets.
    Data(data::DataArgs),
    /// Measures the speed of training steps.
    Bench(bench::BenchArgs),
}

/// Parses the arguments and runs a command.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    comet_training_kernels::keep_freed_memory();
    report(match cli.command {
        Command::Train(args) => train::run(&args),
        Command::Eval(args) => eval::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Data(args) => data::run(&args),
        Command::Bench(args) => bench::run(&args),
    })
}
