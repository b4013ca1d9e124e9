//! A trained pair, read from a run's folder.

use std::path::Path;

use burn::tensor::Device;

use super::checkpoint::{Checkpoint, CheckpointError, Position};
use super::config::TrainConfig;
use super::networks::{comet_config, load_pair};
use super::run_folder::{RunError, RunInfo, checkpoint_path};
use crate::model::{Classifier, Comet};

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
    pub detector: Classifier,
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
        let (comet, detector) = (networks.init(device), networks.classifier().init(device));
        let (comet, detector) =
            load_pair(comet, detector, &checkpoint).map_err(|kind| CheckpointError { path, kind })?;
        Ok(Self { config, info, position: checkpoint.position, comet, detector, device: device.clone() })
    }

    /// Seed of pasting in validation: the one that the run was started with.
    pub fn data_seed(&self) -> u64 {
        self.info.data_seed.unwrap_or(self.config.seed)
    }
}
