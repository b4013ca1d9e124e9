//! Where results go: lines of text or JSON, pictures with the map drawn in, maps and inputs as files.

mod evidence;
mod files;
mod jsonl;
mod label;
#[cfg(feature = "mqtt")]
mod mqtt;
mod names;
mod overlay;
mod record;
mod recording;
mod stamp;
mod text;
#[cfg(feature = "web")]
mod web;
#[cfg(feature = "window")]
mod window;

pub use evidence::{EvidenceFolder, EvidenceOf};
pub use files::{FrameFiles, InputFiles, MaskFiles};
pub use jsonl::JsonLines;
#[cfg(feature = "mqtt")]
pub use mqtt::{MqttAddress, MqttAddressError, MqttError, MqttOptions, MqttSink};
pub use overlay::OverlayFiles;
pub use record::{FrameResult, Record, SCHEMA, Score, Timings};
pub use recording::{AviReader, ByteSize, Recorder, RecordingOptions};
pub use text::TextLines;
#[cfg(feature = "web")]
pub use web::{WebError, WebOptions, WebSink};
#[cfg(feature = "window")]
pub use window::WindowSink;

/// Why a result could not be passed on; `name` is the file or the stream.
#[derive(Debug, thiserror::Error)]
#[error("{name}: cannot be written ({fault})")]
pub struct SinkError {
    /// The file, the folder, or `stdout`.
    pub name: String,
    /// What the system said.
    pub fault: std::io::Error,
}

impl SinkError {
    /// An error about `name`.
    pub fn new(name: impl Into<String>, fault: std::io::Error) -> Self {
        Self { name: name.into(), fault }
    }

    /// Whether the reader of a pipe has gone away: it has read enough, so that is no failure.
    pub fn is_broken_pipe(&self) -> bool {
        self.fault.kind() == std::io::ErrorKind::BrokenPipe
    }
}

/// Takes results, one after the other, in the thread that infers.
pub trait Sink {
    /// Takes one result. A sink that writes a file notes its name in the record, for the sinks after it.
    ///
    /// # Errors
    /// The result could not be written. The next one may be: a disk can have room again.
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError>;

    /// Writes what is still held back. Called once, after the last result.
    ///
    /// # Errors
    /// It could not be written.
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
