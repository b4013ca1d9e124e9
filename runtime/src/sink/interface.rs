//! What every sink does, and how one fails.

use comet_engine::prediction::FrameResult;

use super::printable::printable;

/// Why a result could not be passed on; `name` is the file or the stream.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot be written ({fault})", printable(.name))]
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

    /// Whether the reader of a pipe has gone away: it has read enough, so that is not a failure.
    pub fn is_broken_pipe(&self) -> bool {
        self.fault.kind() == std::io::ErrorKind::BrokenPipe
    }
}

/// Takes results, one after the other, in the thread that runs the model.
pub trait Sink {
    /// Takes one result. A sink that writes a file notes its name in the record, for the sinks after it.
    ///
    /// # Errors
    /// The result could not be written. The next one may be: a disk can have room again.
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError>;

    /// Announces the end without waiting for it, so that several sinks can finish at the same time. May be left out:
    /// [`finish`](Self::finish) does what is missing.
    fn begin_finish(&mut self) {}

    /// Writes what is still held back. Called once, after the last result.
    ///
    /// # Errors
    /// It could not be written, or not in time.
    fn finish(&mut self) -> Result<(), SinkError> {
        Ok(())
    }
}
