//! Recording: what the model saw and what it answered, in segments that a cut does not break.
//!
//! A segment is a Motion JPEG film, `<start>.avi`, and a text beside it, `<start>.jsonl`, whose line k is the
//! record of frame k. `<start>` is the time in UTC at which it was begun, such as `20261123T155503.123Z`.
//! While a segment is written, both names end in `.part`; it is finished when both files are on the disk and
//! renamed. What a kill or a power cut leaves behind is recovered by the next recording into the same folder,
//! as `<start>.recovered.avi` and `<start>.recovered.jsonl`.
//!
//! The parts: `recorder` takes results and does not wait for the disk; its thread, `worker`, writes them into
//! a `segment`; `quota` removes the oldest segments; `recover` looks after what was cut off. `avi`, `header`
//! and `reader` know the film's format, `stamp` and `names` the files' names.

mod avi;
mod header;
mod names;
mod quota;
mod reader;
mod recorder;
mod recover;
mod segment;
mod size;
mod worker;

pub use reader::AviReader;
pub use recorder::{Recorder, RecordingOptions};
pub use size::ByteSize;

use std::io;
use std::path::Path;

use super::SinkError;

/// Puts the path to a fault, for `map_err`.
fn at(path: &Path) -> impl Fn(io::Error) -> SinkError {
    move |fault| SinkError::new(path.display().to_string(), fault)
}

/// `Ok` if the file was not there anyway.
fn unless_missing(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}
