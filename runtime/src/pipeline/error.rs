//! Why a run, or one prediction of it, fails.

use comet_engine::image::ImageError;
use comet_engine::model::ModelError;

use crate::sink::SinkError;
use crate::source::SourceError;

/// Why there is no prediction for a frame.
#[derive(Debug, thiserror::Error)]
pub enum PredictError {
    /// The frame cannot be decoded: the next one may be good.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The model failed: it will fail on the next frame too.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The source is lost.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The model failed on an image.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A result could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The source panicked.
    #[error("the source {0} panicked")]
    Panicked(String),
    /// A thread could not be started.
    #[error("a thread cannot be started ({0})")]
    Thread(std::io::Error),
}
