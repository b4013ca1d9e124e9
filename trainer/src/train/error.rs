//! Why training ends with an error.

use std::path::PathBuf;

use super::checkpoint::CheckpointError;
use super::config::ConfigError;
use super::record::Phase;
use super::run_folder::RunError;
use crate::data::DataError;
use crate::metrics::MetricsError;
use crate::model::{ImportError, PretrainedError};

/// Why training ends with an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The settings were refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The run's folder cannot be used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A checkpoint cannot be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The data set cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The weights to start from cannot be used.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The weights that ship with the preset cannot be used.
    #[error(transparent)]
    Pretrained(#[from] PretrainedError),
    /// A file or folder cannot be written or read.
    #[error("{path}: {fault}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's message.
        fault: std::io::Error,
    },
    /// There are fewer images than a batch needs.
    #[error("{0}: too few images for a batch. Add images")]
    TooFewImages(PathBuf),
    /// Images disappeared while the run went on.
    #[error("the images ended after batch {done} of {total}: were files removed while training?")]
    ImagesMissing {
        /// Batches that were trained on.
        done: usize,
        /// Batches of an epoch.
        total: usize,
    },
    /// The validation images could not be evaluated.
    #[error("validation failed")]
    Validation(#[source] Box<MetricsError>),
    /// The thread that prepares images cannot be started.
    #[error("the thread that prepares the images cannot be started ({0})")]
    Feed(std::io::Error),
    /// The device gave no result.
    #[error("the device gave no result ({0})")]
    Device(String),
    /// An image for people cannot be encoded.
    #[error("{path}: cannot be drawn ({fault})")]
    Drawing {
        /// The file that it was for.
        path: PathBuf,
        /// The encoder's message.
        fault: String,
    },
    /// Losses or weights are not finite any more.
    #[error(
        "training has diverged: {what} is not a finite number in {} epoch {epoch}, batch {batch}. {advice}",
        .phase.name()
    )]
    Diverged {
        /// What is not finite.
        what: &'static str,
        /// Which training.
        phase: Phase,
        /// The epoch, counted from 1.
        epoch: usize,
        /// The last batch that was looked at, counted from 1.
        batch: usize,
        /// What to try.
        advice: String,
    },
}
