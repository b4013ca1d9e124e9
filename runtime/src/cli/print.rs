//! Writing to stdout and stderr: data to the one, messages to the other.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::Context;
use serde::Serialize;

/// Writes a message to stderr. If it cannot be written, the program goes on.
///
/// Names come from files and devices: characters that control a terminal are shown as `?`.
pub(super) fn say(text: impl Display) {
    let harmless = |c: char| if c.is_control() && c != '\n' { '?' } else { c };
    let text: String = text.to_string().chars().map(harmless).collect();
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints a value as indented JSON.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print_text(serde_json::to_string_pretty(value)?)
}

/// Prints text and a line end. A pipe that was closed by its reader is not an error.
pub(super) fn print_text(text: impl Display) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("stdout"),
        _ => Ok(()),
    }
}
