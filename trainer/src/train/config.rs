//! The settings of a run: defaults, file, flags, in this order.

use std::path::{Path, PathBuf};

use comet_edge::image::Fit;
use serde::{Deserialize, Serialize};

use super::objective::Objective;
use super::schedule::{Decay, Schedule};
use crate::data::{Augmentation, Sampling};
use crate::model::Preset;

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: cannot be read ({fault})")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's words.
        fault: std::io::Error,
    },
    /// The file is no TOML, or holds an unknown key or a value of a wrong type; the words name line and key.
    #[error("{path}: {fault}{hint}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's words.
        fault: String,
        /// The nearest known key, if a key was unknown.
        hint: String,
    },
    /// A value makes no sense.
    #[error("{key} = {value}: {fault}")]
    Value {
        /// The setting.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        fault: &'static str,
    },
}

/// Everything that decides how a run goes. The defaults suit a few thousand pictures and a CPU.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// Network pair.
    pub preset: Preset,
    /// First-stage width of predictor and detector; 0 = the preset's.
    pub width: usize,
    /// Side of the square input in pixels.
    pub size: u32,
    /// How pictures of another shape are brought to the square.
    pub fit: Fit,
    /// Epochs of the detector on full pictures.
    pub detector_epochs: usize,
    /// COMET epochs.
    pub epochs: usize,
    /// Pictures in a batch.
    pub batch: usize,
    /// Peak learning rate of selector and predictor.
    pub learning_rate: f64,
    /// Peak learning rate of the detector.
    pub detector_learning_rate: f64,
    /// Decoupled weight decay of AdamW.
    pub weight_decay: f64,
    /// Epochs of linear warm-up; not used by one-cycle, which warms up by itself.
    pub warmup_epochs: f64,
    /// How the rate falls.
    pub schedule: Decay,
    /// Largest gradient norm; 0 = no clipping.
    pub clip_norm: f64,
    /// BatchNorm momentum of the selector's backbone.
    pub selector_momentum: f64,
    /// Whether the predictor starts from the detector's weights instead of random ones (not in the paper).
    pub warm_start: bool,
    /// Share of training pictures that are pasted on scenes.
    pub paste: f64,
    /// Order of the pictures.
    pub sampling: Sampling,
    /// Seed of everything random.
    pub seed: u64,
    /// Stop when validation has not improved for so many epochs; 0 = never.
    pub patience: usize,
    /// Stop after so many minutes; 0 = never.
    pub max_minutes: f64,
    /// Minutes between checkpoints inside an epoch.
    pub checkpoint_minutes: f64,
    /// Epochs between contact sheets; 0 = none.
    pub sheet_every: usize,
    /// Loss of the selector.
    pub objective: Objective,
    /// Random changes of training pictures.
    pub augmentation: Augmentation,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            preset: Preset::Small,
            width: 0,
            size: 224,
            fit: Fit::Crop,
            detector_epochs: 20,
            epochs: 60,
            batch: 32,
            learning_rate: 1e-3,
            detector_learning_rate: 1e-3,
            weight_decay: 0.03,
            warmup_epochs: 2.0,
            schedule: Decay::OneCycle,
            clip_norm: 0.0,
            selector_momentum: 0.1,
            warm_start: false,
            paste: 0.5,
            sampling: Sampling::Balanced,
            seed: 0,
            patience: 0,
            max_minutes: 0.0,
            checkpoint_minutes: 10.0,
            sheet_every: 5,
            objective: Objective::default(),
            augmentation: Augmentation::default(),
        }
    }
}

impl TrainConfig {
    /// Reads a file; what it does not set has its default.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|fault| ConfigError::Io { path: path.to_owned(), fault })?;
        toml::from_str(&text).map_err(|error| {
            let fault = error.to_string();
            let hint = nearest_key(error.message());
            ConfigError::Syntax { path: path.to_owned(), fault, hint }
        })
    }

    /// The settings as a file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// First-stage width of predictor and detector.
    pub fn effective_width(&self) -> usize {
        if self.width == 0 { self.preset.default_width() } else { self.width }
    }

    /// The detector's schedule over `steps` steps an epoch.
    pub fn detector_schedule(&self, steps: usize) -> Schedule {
        self.schedule_of(self.detector_learning_rate, steps, self.detector_epochs)
    }

    /// COMET's schedule over `steps` steps an epoch.
    pub fn comet_schedule(&self, steps: usize) -> Schedule {
        self.schedule_of(self.learning_rate, steps, self.epochs)
    }

    fn schedule_of(&self, peak: f64, steps: usize, epochs: usize) -> Schedule {
        Schedule {
            peak,
            decay: self.schedule,
            warmup: (self.warmup_epochs * steps as f64) as usize,
            total: steps * epochs,
        }
    }

    /// Refuses values that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, value: String, fault| Err(ConfigError::Value { key, value, fault });
        if !(32..=1024).contains(&self.size) {
            return refuse("size", self.size.to_string(), "must be between 32 and 1024");
        }
        if !self.size.is_multiple_of(16) {
            return refuse(
                "size",
                self.size.to_string(),
                "must be a multiple of 16, the selector's coarsest stride",
            );
        }
        if self.batch < 2 {
            return refuse("batch", self.batch.to_string(), "BatchNorm needs at least 2 pictures");
        }
        if self.width > 512 {
            return refuse("width", self.width.to_string(), "must be at most 512");
        }
        if self.epochs == 0 {
            return refuse("epochs", "0".into(), "must be at least 1");
        }
        let rates =
            [("learning-rate", self.learning_rate), ("detector-learning-rate", self.detector_learning_rate)];
        for (key, rate) in rates {
            if !(rate > 0.0 && rate <= 1.0) {
                return refuse(key, rate.to_string(), "must be above 0 and at most 1");
            }
        }
        if !(0.0..=1.0).contains(&self.paste) {
            return refuse("paste", self.paste.to_string(), "is a share between 0 and 1");
        }
        if !(0.0..=1.0).contains(&self.selector_momentum) {
            return refuse(
                "selector-momentum",
                self.selector_momentum.to_string(),
                "must be between 0 and 1",
            );
        }
        let numbers = [
            ("weight-decay", self.weight_decay),
            ("warmup-epochs", self.warmup_epochs),
            ("clip-norm", self.clip_norm),
            ("max-minutes", self.max_minutes),
            ("checkpoint-minutes", self.checkpoint_minutes),
            ("objective.alpha", self.objective.alpha),
            ("objective.beta", self.objective.beta),
            ("augmentation.shift", self.augmentation.shift),
            ("augmentation.rotation", self.augmentation.rotation),
            ("augmentation.jitter", self.augmentation.jitter),
        ];
        for (key, number) in numbers {
            if !(number >= 0.0 && number.is_finite()) {
                return refuse(key, number.to_string(), "must be a number of at least 0");
            }
        }
        if !(0.0..1.0).contains(&self.objective.target_area) {
            return refuse(
                "objective.target-area",
                self.objective.target_area.to_string(),
                "is a share between 0 and 1",
            );
        }
        Ok(())
    }
}

/// For "unknown field `x`, expected one of `a`, `b`": the most similar of the expected ones.
fn nearest_key(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (Some(unknown), true) = (quoted.next(), message.contains("unknown field")) else {
        return String::new();
    };
    let nearest = quoted.min_by_key(|known| edit_distance(unknown, known));
    nearest.map(|known| format!("\nhint: did you mean '{known}'?")).unwrap_or_default()
}

/// Levenshtein distance.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for ((right, above), pair) in b.iter().zip(&row).zip(row.iter().skip(1)) {
            let substituted = above + usize::from(left != *right);
            let before = next.last().copied().unwrap_or_default();
            next.push(substituted.min(pair + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_round_trip_through_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let config = TrainConfig { size: 96, seed: 7, ..TrainConfig::default() };
        std::fs::write(&path, config.to_toml()).unwrap();
        assert_eq!(TrainConfig::read(&path).unwrap(), config);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, "size = 64\nlearning-rat = 0.1\n").unwrap();
        let error = TrainConfig::read(&path).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("learning-rat"), "{error}");
        assert!(error.contains("did you mean 'learning-rate'"), "{error}");
    }

    #[test]
    fn values_that_cannot_work_are_named() {
        for (config, key) in [
            (TrainConfig { size: 70, ..TrainConfig::default() }, "size"),
            (TrainConfig { batch: 1, ..TrainConfig::default() }, "batch"),
            (TrainConfig { learning_rate: f64::NAN, ..TrainConfig::default() }, "learning-rate"),
            (TrainConfig { paste: 1.5, ..TrainConfig::default() }, "paste"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
        assert!(TrainConfig::default().check().is_ok());
    }
}
