//! What a run's folder holds beside its checkpoints, and why a folder cannot be used.

use std::fs;
use std::path::{Path, PathBuf};

use comet_engine::image::Preprocess;
use comet_engine::model::DataSummary;
use comet_engine::storage::write_atomically;
use serde::{Deserialize, Serialize};

use super::checkpoint::CheckpointError;
use super::config::ConfigError;

/// Why a run's folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The folder holds no run.
    #[error("{0}: holds no run (no run.json); expected the folder that 'trainer train --out' wrote")]
    NoRun(PathBuf),
    /// The folder holds a run already.
    #[error("{0}: holds a run already. Use --resume to continue it, or another --out")]
    Exists(PathBuf),
    /// The run was ended before its first checkpoint.
    #[error("{0}: there is nothing to resume (no last.ckpt). Remove the folder and start without --resume")]
    NothingToResume(PathBuf),
    /// The run has no best epoch yet.
    #[error(
        "{0}: there is no best epoch to go back to (no best.ckpt). Use --resume to continue from the last checkpoint"
    )]
    NoBest(PathBuf),
    /// The run has not reached its first COMET checkpoint.
    #[error("{0}: has no checkpoint of COMET yet; let 'trainer train --resume' run longer")]
    NoCheckpoint(PathBuf),
    /// The data set is not the one that the run was started with.
    #[error(
        "{0}: the data are not those that the run was started with (see run.json). Bring them back, or start a new run"
    )]
    OtherData(PathBuf),
    /// A file of the run cannot be read or written.
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
    /// Preprocessing with the training images' mean and deviation.
    pub preprocess: Preprocess,
    /// Numbers about the data.
    pub data: DataSummary,
    /// Share of the training images that is pasted in effect: those without a usable mask never are.
    #[serde(default)]
    pub effective_paste: f64,
    /// Seed of pasting when the data were measured and in validation. It stays when a run is continued with
    /// another seed, so that its epochs can be compared. `None` in runs that had one seed only.
    #[serde(default)]
    pub data_seed: Option<u64>,
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
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => RunError::NoRun(run.to_owned()),
            _ => RunError::File { path: path.clone(), fault: error.to_string() },
        })?;
        serde_json::from_str(&text).map_err(|error| RunError::File { path, fault: error.to_string() })
    }

    /// Whether `other` describes the same data, wherever they lie and whatever they are trained on.
    pub(super) fn has_the_data_of(&self, other: &Self) -> bool {
        // The name is that of the folder, which may have been moved.
        let data = DataSummary { name: self.data.name.clone(), ..other.data.clone() };
        (&self.classes, &self.preprocess, &self.data) == (&other.classes, &other.preprocess, &data)
    }
}

/// The path of a run's checkpoint: `best` or `last`.
pub(super) fn checkpoint_path(run: &Path, which: &str) -> PathBuf {
    run.join(format!("{which}.ckpt"))
}

/// Whether a folder holds a run.
pub fn is_run(folder: &Path) -> bool {
    folder.join("run.json").is_file()
}

#[cfg(test)]
mod tests {
    use comet_engine::image::Fit;

    use super::*;

    fn info() -> RunInfo {
        RunInfo {
            classes: vec!["cup".into(), "key".into()],
            preprocess: Preprocess { width: 32, height: 32, fit: Fit::Crop, mean: [0.5; 3], std: [0.25; 3] },
            data: DataSummary { name: "photos".into(), train: 8, val: 2, paste: 0.5 },
            effective_paste: 0.25,
            data_seed: Some(3),
            device: "CPU".into(),
            sources: Sources::default(),
        }
    }

    #[test]
    fn other_data_are_recognised_and_moved_ones_are_the_same() {
        let sources = Sources { data: Some("elsewhere".into()), scenes: None };
        assert!(info().has_the_data_of(&RunInfo { device: "GPU".into(), sources, ..info() }));
        let data = DataSummary { name: "photos-2026".into(), ..info().data };
        assert!(info().has_the_data_of(&RunInfo { data, ..info() }));
        let mut other = info();
        other.preprocess.mean[1] = 0.51;
        assert!(!info().has_the_data_of(&other));
        assert!(!info().has_the_data_of(&RunInfo { classes: vec!["cup".into(), "pen".into()], ..info() }));
    }

    #[test]
    fn a_run_of_an_earlier_version_can_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let mut value = serde_json::to_value(info()).unwrap();
        let fields = value.as_object_mut().unwrap();
        for key in ["effective_paste", "data_seed", "sources"] {
            assert!(fields.remove(key).is_some(), "{key}");
        }
        fs::write(folder.path().join("run.json"), value.to_string()).unwrap();
        let read = RunInfo::read(folder.path()).unwrap();
        assert_eq!((read.data_seed, read.effective_paste), (None, 0.0));
        assert!(read.has_the_data_of(&info()));
    }
}
