//! The networks of a run with their optimizers, and how they go into checkpoints and come back.

use std::fs;
use std::path::{Path, PathBuf};

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, ModuleOptimizer};
use burn::store::ModuleRecord;
use burn::tensor::{Bytes, Device};
use comet_edge::image::Preprocess;
use comet_edge::model::DataSummary;
use comet_edge::storage::write_atomically;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, CheckpointError, CheckpointErrorKind, Position};
use super::config::{ConfigError, TrainConfig};
use super::objective::frozen;
use crate::model::{Comet, CometConfig, ResNet18};

const COMET: &str = "comet.bpk";
const DETECTOR: &str = "detector.bpk";
const OPTIMIZERS: [&str; 3] = ["detector-optimizer.bpk", "selector-optimizer.bpk", "predictor-optimizer.bpk"];

/// Why a run's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The folder holds no run.
    #[error("{0}: holds no run (no run.json); expected the folder that 'trainer train --out' wrote")]
    NoRun(PathBuf),
    /// The folder holds a run already.
    #[error("{0}: holds a run already. Use --resume to go on, or another --out")]
    Exists(PathBuf),
    /// The run was ended before its first checkpoint.
    #[error("{0}: there is nothing to resume (no last.ckpt). Remove the folder and start without --resume")]
    NothingToResume(PathBuf),
    /// The run has not reached its first COMET checkpoint.
    #[error("{0}: has no checkpoint of COMET yet; let 'trainer train --resume' run longer")]
    NoCheckpoint(PathBuf),
    /// A file of the run cannot be read.
    #[error("{path}: {fault}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// The settings cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The checkpoint cannot be read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What a run knows about its data; `run.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunInfo {
    /// Class names in the order of the logits.
    pub classes: Vec<String>,
    /// Preprocessing with the training pictures' mean and deviation.
    pub preprocess: Preprocess,
    /// Numbers about the data.
    pub data: DataSummary,
    /// Name of the training device.
    pub device: String,
    /// Where the data were.
    #[serde(default)]
    pub sources: Sources,
}

/// The folders that a run was started with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// The data set.
    pub data: Option<PathBuf>,
    /// Scenes to paste on.
    pub scenes: Option<PathBuf>,
}

impl RunInfo {
    pub(super) fn write(&self, run: &Path) -> Result<(), RunError> {
        let path = run.join("run.json");
        let fail = |fault: String| RunError::File { path: path.clone(), fault };
        let text = serde_json::to_vec_pretty(self).map_err(|error| fail(error.to_string()))?;
        write_atomically(&path, &text).map_err(|error| fail(error.to_string()))
    }

    pub(super) fn read(run: &Path) -> Result<Self, RunError> {
        let path = run.join("run.json");
        let text = fs::read_to_string(&path).map_err(|_| RunError::NoRun(run.to_owned()))?;
        serde_json::from_str(&text).map_err(|error| RunError::File { path, fault: error.to_string() })
    }
}

/// The path of a run's checkpoint: `best` or `last`.
pub(super) fn checkpoint_path(run: &Path, which: &str) -> PathBuf {
    run.join(format!("{which}.ckpt"))
}

/// Networks in training.
pub(super) struct Networks {
    pub comet: Comet,
    pub detector: ResNet18,
    pub detector_optimizer: ModuleOptimizer,
    pub selector_optimizer: ModuleOptimizer,
    pub predictor_optimizer: ModuleOptimizer,
}

impl Networks {
    /// Random weights from the run's seed, on an autodiff device.
    pub(super) fn new(config: &TrainConfig, classes: usize, device: &Device) -> Self {
        device.seed(config.seed);
        let networks = comet_config(config, classes);
        let optimizer = || {
            let clipping =
                (config.clip_norm > 0.0).then_some(GradientClippingConfig::Norm(config.clip_norm as f32));
            // Burn's default epsilon is 1e-5; PyTorch's is used here.
            AdamWConfig::new()
                .with_epsilon(1e-8)
                .with_weight_decay(config.weight_decay as f32)
                .with_grad_clipping(clipping)
                .init()
        };
        Self {
            comet: networks.init(device),
            detector: networks.classifier().init(device),
            detector_optimizer: optimizer(),
            selector_optimizer: optimizer(),
            predictor_optimizer: optimizer(),
        }
    }

    /// Everything that a resumed run needs.
    pub(super) fn checkpoint(&self, position: Position) -> Result<Checkpoint, CheckpointErrorKind> {
        let mut checkpoint = self.weights(position)?;
        let optimizers = [&self.detector_optimizer, &self.selector_optimizer, &self.predictor_optimizer];
        for (name, optimizer) in OPTIMIZERS.into_iter().zip(optimizers) {
            let bytes = optimizer.into_bytes().map_err(mismatch)?;
            checkpoint.parts.insert(name.to_owned(), bytes.to_vec());
        }
        Ok(checkpoint)
    }

    /// The weights alone: what `best.ckpt` holds.
    pub(super) fn weights(&self, position: Position) -> Result<Checkpoint, CheckpointErrorKind> {
        // BatchNorm queues its last update of the running statistics until somebody asks for them; a record
        // does not ask. `valid` does.
        let _ = (self.comet.valid(), self.detector.valid());
        let comet = self.comet.clone().into_record().into_bytes().map_err(mismatch)?;
        let detector = self.detector.clone().into_record().into_bytes().map_err(mismatch)?;
        let parts = [(COMET.to_owned(), comet.to_vec()), (DETECTOR.to_owned(), detector.to_vec())];
        Ok(Checkpoint { position, parts: parts.into() })
    }

    /// Takes weights and optimizer states back.
    pub(super) fn restore(self, checkpoint: &Checkpoint) -> Result<Self, CheckpointErrorKind> {
        let record = |name: &str| {
            ModuleRecord::from_bytes(Bytes::from_bytes_vec(checkpoint.part(name)?)).map_err(mismatch)
        };
        let optimizer = |index: usize, optimizer: ModuleOptimizer| {
            let name = OPTIMIZERS.get(index).copied().unwrap_or_default();
            let bytes = Bytes::from_bytes_vec(checkpoint.part(name)?);
            optimizer.from_bytes(bytes).map_err(mismatch)
        };
        Ok(Self {
            comet: self.comet.try_load_record(record(COMET)?).map_err(mismatch)?,
            detector: self.detector.try_load_record(record(DETECTOR)?).map_err(mismatch)?,
            detector_optimizer: optimizer(0, self.detector_optimizer)?,
            selector_optimizer: optimizer(1, self.selector_optimizer)?,
            predictor_optimizer: optimizer(2, self.predictor_optimizer)?,
        })
    }

    /// Gives the predictor the detector's weights.
    pub(super) fn warm_start_predictor(mut self) -> Result<Self, CheckpointErrorKind> {
        let record = self.detector.clone().into_record();
        self.comet.predictor = self.comet.predictor.try_load_record(record).map_err(mismatch)?;
        Ok(self)
    }

    /// Ends the detector's training: from now on it guides only.
    pub(super) fn freeze_detector(mut self) -> Self {
        self.detector = frozen(self.detector);
        self
    }
}

pub(super) fn comet_config(config: &TrainConfig, classes: usize) -> CometConfig {
    CometConfig {
        preset: config.preset,
        width: config.effective_width(),
        classes,
        momentum: config.selector_momentum,
    }
}

fn mismatch(error: impl std::fmt::Display) -> CheckpointErrorKind {
    CheckpointErrorKind::Mismatch(error.to_string())
}

/// A trained pair, read from a run's folder.
pub struct TrainedRun {
    /// The settings it was trained with.
    pub config: TrainConfig,
    /// What it knows about its data.
    pub info: RunInfo,
    /// Where the checkpoint stands.
    pub position: Position,
    /// The networks, on a device without autodiff.
    pub comet: Comet,
    /// The detector that the selector was trained against.
    pub detector: ResNet18,
    /// Their device.
    pub device: Device,
}

impl TrainedRun {
    /// Reads checkpoint `which` (`best` or `last`) of a run.
    pub fn read(run: &Path, which: &str, device: &Device) -> Result<Self, RunError> {
        let info = RunInfo::read(run)?;
        let config = TrainConfig::read(&run.join("config.toml"))?;
        let path = checkpoint_path(run, which);
        if !path.is_file() {
            return Err(RunError::NoCheckpoint(run.to_owned()));
        }
        let checkpoint = Checkpoint::read(&path)?;
        let networks = comet_config(&config, info.classes.len());
        let record = |name: &str| {
            ModuleRecord::from_bytes(Bytes::from_bytes_vec(checkpoint.part(name)?)).map_err(mismatch)
        };
        let load = || -> Result<(Comet, ResNet18), CheckpointErrorKind> {
            let comet = networks.init(device).try_load_record(record(COMET)?).map_err(mismatch)?;
            let detector = networks.classifier().init(device);
            Ok((comet, detector.try_load_record(record(DETECTOR)?).map_err(mismatch)?))
        };
        let (comet, detector) = load().map_err(|kind| CheckpointError { path, kind })?;
        Ok(Self { config, info, position: checkpoint.position, comet, detector, device: device.clone() })
    }
}
