//! `man`: the manual, from the same definition as the help.

use std::fs::create_dir_all;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::{Man, generate_to};

use super::exit::Exit;
use super::print::print_text;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  comet-edge man | man -l -
  comet-edge man ~/.local/share/man/man1   then: man comet-edge-run")]
pub(super) struct ManArgs {
    /// Write a page a command into DIR; without it the first page goes to stdout
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// Prints the first page, or writes them all.
pub(super) fn man(args: &ManArgs, command: Command) -> anyhow::Result<Exit> {
    match &args.folder {
        None => print_text(page(command)?.trim_end())?,
        Some(folder) => create_dir_all(folder)
            .and_then(|()| generate_to(command, folder))
            .with_context(|| format!("the pages cannot be written to {}", folder.display()))?,
    }
    Ok(Exit::Ok)
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
    fn the_first_page_names_every_command_and_each_has_a_page() {
        let command = || {
            let commands = ["run", "predict"].map(|name| Command::new(name).about("does something"));
            Command::new("comet-edge").subcommands(commands)
        };
        let text = page(command()).unwrap().replace('\\', "");
        assert!(text.contains("comet-edge-run(1)") && text.contains("comet-edge-predict(1)"), "{text}");
        let folder = tempfile::tempdir().unwrap();
        let args = ManArgs { folder: Some(folder.path().join("new/man1")) };
        man(&args, command()).unwrap();
        for page in ["comet-edge.1", "comet-edge-run.1", "comet-edge-predict.1"] {
            assert!(folder.path().join("new/man1").join(page).is_file(), "{page}");
        }
    }
}
