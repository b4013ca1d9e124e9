//! The command `comet-edge`; everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    comet_edge::cli::main()
}
