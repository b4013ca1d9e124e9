//! `man`: the manual, from the same definition as the help.

use std::fmt::Write;
use std::fs::create_dir_all;

use anyhow::Context;
use clap::Command;
use clap_mangen::{Man, generate_to};

use super::args::ManArgs;
use super::environment::VARIABLES;
use super::exit::Exit;
use super::print::print_text;

/// Prints the first page, or writes them all.
pub(super) fn man(args: &ManArgs, command: Command) -> anyhow::Result<Exit> {
    let command = with_environment(command);
    match &args.folder {
        None => print_text(page(command)?.trim_end())?,
        Some(folder) => create_dir_all(folder)
            .and_then(|()| generate_to(command, folder))
            .with_context(|| format!("the pages cannot be written to {}", folder.display()))?,
    }
    Ok(Exit::Ok)
}

/// The first page lists the variables that the program reads behind its examples.
fn with_environment(command: Command) -> Command {
    let mut text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    text.push_str("\n\nEnvironment variables:");
    for (name, purpose) in VARIABLES {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n  {name}: {purpose}");
    }
    command.after_long_help(text)
}

fn page(command: Command) -> anyhow::Result<String> {
    let mut page = Vec::new();
    Man::new(command.disable_help_subcommand(true)).render(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_page_names_every_command_and_variable_and_each_command_has_a_page() {
        let command = || {
            let commands = ["run", "predict"].map(|name| Command::new(name).about("does something"));
            Command::new("comet-edge").subcommands(commands)
        };
        let text = page(with_environment(command())).unwrap().replace('\\', "").replace("*(Aq", "'");
        assert!(text.contains("comet-edge-run(1)") && text.contains("comet-edge-predict(1)"), "{text}");
        for (name, purpose) in VARIABLES {
            assert!(text.contains(name) && text.contains(purpose), "{name}: {text}");
        }
        let folder = tempfile::tempdir().unwrap();
        let args = ManArgs { folder: Some(folder.path().join("new/man1")) };
        man(&args, command()).unwrap();
        for page in ["comet-edge.1", "comet-edge-run.1", "comet-edge-predict.1"] {
            assert!(folder.path().join("new/man1").join(page).is_file(), "{page}");
        }
    }
}
