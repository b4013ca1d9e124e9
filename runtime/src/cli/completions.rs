//! `completions`: what a shell completes, from the same definition as the help.

use clap::Command;
use clap_complete::{Shell, generate};

use super::args::CompletionsArgs;
use super::exit::Exit;
use super::print::print_text;

/// Prints the script that a shell reads.
pub(super) fn completions(args: &CompletionsArgs, command: Command) -> anyhow::Result<Exit> {
    print_text(script(args.shell, command).trim_end())?;
    Ok(Exit::Ok)
}

fn script(shell: Shell, mut command: Command) -> String {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    generate(shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ValueEnum};

    #[test]
    fn every_shell_completes_the_commands_and_their_flags() {
        for shell in Shell::value_variants() {
            let run = Command::new("run").arg(Arg::new("camera").long("camera"));
            let script = script(*shell, Command::new("comet-edge").subcommand(run));
            for word in ["comet-edge", "run", "camera"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
