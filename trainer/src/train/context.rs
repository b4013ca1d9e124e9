//! What stays the same over the epochs of a run.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;

use super::checkpoint::{CheckpointError, Position};
use super::collapse::divergence_advice;
use super::config::TrainConfig;
use super::error::TrainError;
use super::networks::Networks;
use super::record::EpochRecord;
use super::run_folder::{RunInfo, checkpoint_path};
use super::validate::ValidationSet;
use crate::data::{Sample, TrainingFeed};
use crate::metrics::Evaluation;

/// The checkpoint that a run is continued from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeFrom {
    /// Where it stands.
    Last,
    /// Its best epoch. Later epochs are trained again, with another seed if one is given.
    Best,
}

/// A name that is not that of a checkpoint.
#[derive(Debug, thiserror::Error)]
#[error("unknown checkpoint '{0}'; there are last and best")]
pub struct UnknownCheckpoint(String);

impl std::str::FromStr for ResumeFrom {
    type Err = UnknownCheckpoint;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "last" => Ok(Self::Last),
            "best" => Ok(Self::Best),
            _ => Err(UnknownCheckpoint(name.to_owned())),
        }
    }
}

/// Where a run reads from and writes to.
#[derive(Clone, Debug)]
pub struct TrainPaths {
    /// The data set.
    pub data: PathBuf,
    /// Scenes to paste on.
    pub scenes: Option<PathBuf>,
    /// The run's folder.
    pub out: PathBuf,
    /// torchvision weights of the selector.
    pub init_selector: Option<PathBuf>,
    /// torchvision weights of predictor and detector.
    pub init_predictor: Option<PathBuf>,
    /// Continues the run in `out` from one of its checkpoints.
    pub resume: Option<ResumeFrom>,
}

/// Draws what a run leaves for people. Training calls it and knows nothing of how it is done.
pub trait Drawings {
    /// `curves.svg` of all epochs so far; `target_area` is in percent.
    fn curves(&self, records: &[EpochRecord], target_area: f64) -> String;

    /// A contact sheet of the evaluation's examples, as a PNG file. `samples` are the ones that were evaluated.
    fn sheet(&self, evaluation: &Evaluation, samples: &[Sample]) -> Result<Vec<u8>, image::ImageError>;
}

/// What stays the same over the epochs of a run.
pub(super) struct RunContext<'a> {
    /// All settings, none of them open.
    pub config: TrainConfig,
    pub paths: &'a TrainPaths,
    pub drawings: &'a dyn Drawings,
    pub info: RunInfo,
    pub feed: TrainingFeed,
    pub validation: ValidationSet,
    pub device: Device,
    pub stop: &'a AtomicBool,
    pub started: Instant,
}

impl RunContext<'_> {
    /// Seconds of training so far, over all sessions; `before` are those of earlier ones.
    pub(super) fn seconds(&self, before: f64) -> f64 {
        before + self.started.elapsed().as_secs_f64()
    }

    /// Writes `last.ckpt`.
    pub(super) fn save(
        &self,
        networks: &Networks,
        position: &mut Position,
        before: f64,
    ) -> Result<(), TrainError> {
        position.seconds = self.seconds(before);
        let path = checkpoint_path(&self.paths.out, "last");
        match networks.checkpoint(*position) {
            Ok(checkpoint) => Ok(checkpoint.write(&path)?),
            Err(kind) => Err(CheckpointError { path, kind }.into()),
        }
    }

    /// Writes `best.ckpt`.
    pub(super) fn save_best(&self, networks: &Networks, position: &Position) -> Result<(), TrainError> {
        let path = checkpoint_path(&self.paths.out, "best");
        match networks.weights(*position) {
            Ok(checkpoint) => Ok(checkpoint.write(&path)?),
            Err(kind) => Err(CheckpointError { path, kind }.into()),
        }
    }

    /// Why to stop now, if anything asks for it.
    pub(super) fn interruption(&self) -> Option<&'static str> {
        if self.stop.load(Ordering::Relaxed) {
            return Some("it was interrupted");
        }
        let limit = self.config.max_minutes * 60.0;
        (limit > 0.0 && self.started.elapsed().as_secs_f64() >= limit).then_some("max-minutes is over")
    }

    /// An error if a weight is not a finite number: such networks are never written.
    pub(super) fn require_finite(&self, networks: &Networks, position: &Position) -> Result<(), TrainError> {
        if networks.are_finite() { Ok(()) } else { Err(self.diverged("a weight", position)) }
    }

    /// The error that says that training has diverged within the epoch at `position`.
    pub(super) fn diverged(&self, what: &'static str, position: &Position) -> TrainError {
        let paths = self.paths;
        let is_saved = checkpoint_path(&paths.out, "last").is_file();
        TrainError::Diverged {
            what,
            phase: position.phase,
            epoch: position.epoch + 1,
            batch: position.batch,
            advice: divergence_advice(position.best, self.config.seed, &paths.data, &paths.out, is_saved),
        }
    }
}
