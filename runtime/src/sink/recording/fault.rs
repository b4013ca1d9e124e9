//! Faults of the disk.

use std::io;
use std::path::Path;

use crate::sink::interface::SinkError;

/// Puts the path to a fault, for `map_err`.
pub(super) fn at(path: &Path) -> impl Fn(io::Error) -> SinkError {
    move |fault| SinkError::new(path.display().to_string(), fault)
}

/// `Ok` if the file was not there anyway.
pub(super) fn unless_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
