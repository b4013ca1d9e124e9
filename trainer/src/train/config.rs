//! The settings of a run: defaults, file, flags, in this order.

use std::path::{Path, PathBuf};

use comet_engine::image::Fit;
use serde::{Deserialize, Serialize};

use super::objective::Objective;
use super::schedule::{Decay, Schedule};
use crate::data::{Augmentation, Sampling};
use crate::model::{Head, Preset};

/// Why settings were refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file could not be read.
    #[error("{path}: cannot be read ({fault})")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's message.
        fault: std::io::Error,
    },
    /// The file is not TOML, or holds an unknown key or a value of a wrong type; the message names line and key.
    #[error("{path}: {fault}{hint}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The parser's message.
        fault: String,
        /// The nearest known key, if a key was unknown.
        hint: String,
    },
    /// The settings cannot be written as TOML.
    #[error("the settings cannot be written as TOML ({0})")]
    Write(#[from] toml::ser::Error),
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

/// Everything that decides how a run goes, with no setting left open.
///
/// The defaults are what a `config.toml` means that lacks a key, as those of earlier versions do: a run that is resumed
/// keeps its meaning, so what has been added since is off. What a new run starts from is a [recipe](Self::recipe).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct TrainConfig {
    /// Network pair.
    pub preset: Preset,
    /// Head of the selector.
    pub head: Head,
    /// Whether the backbones started from the weights on ImageNet that ship with the preset `lite`.
    pub pretrained: bool,
    /// First-stage width of predictor and detector; 0 = the preset's.
    pub width: usize,
    /// Side of the square input in pixels.
    pub size: u32,
    /// How images of another shape are brought to the square.
    pub fit: Fit,
    /// Epochs of the detector on full images.
    pub detector_epochs: usize,
    /// COMET epochs.
    pub epochs: usize,
    /// Epochs at the start of both trainings in which the last layers learn alone and the backbones stay as they are,
    /// BatchNorm statistics included: new layers first, so that they do not spoil pretrained ones. At most half of the
    /// epochs of each training.
    pub head_epochs: usize,
    /// Images in a batch.
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
    /// Largest norm of a network's gradients, all of its tensors together; 0 = no clipping.
    pub clip_norm: f64,
    /// BatchNorm momentum of the selector's backbone.
    pub selector_momentum: f64,
    /// Whether the predictor starts from the detector's weights instead of random ones (not in the paper).
    pub warm_start: bool,
    /// Decay of the averaged weights (Polyak, 1992), a step: these are then evaluated, kept as the best, and exported.
    /// 0 = the weights as they are.
    pub ema: f64,
    /// `alpha` of the mixing of images in the detector's training (Zhang et al., 2018); 0 = no mixing. COMET's images
    /// are never mixed: a map is of one image.
    pub mixup: f64,
    /// Share of training images that are pasted on scenes.
    pub paste: f64,
    /// Order of the images.
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
    /// Random changes of training images.
    pub augmentation: Augmentation,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            preset: Preset::Small,
            head: Head::LrAspp,
            pretrained: false,
            width: 0,
            size: 224,
            fit: Fit::Crop,
            detector_epochs: 20,
            epochs: 60,
            head_epochs: 0,
            batch: 32,
            learning_rate: 1e-3,
            detector_learning_rate: 1e-3,
            weight_decay: 0.03,
            warmup_epochs: 2.0,
            schedule: Decay::OneCycle,
            clip_norm: 0.0,
            selector_momentum: 0.1,
            warm_start: false,
            ema: 0.0,
            mixup: 0.0,
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
        toml::from_str(&text).map_err(|error| syntax(path, &error))
    }

    /// The settings as a file.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        Ok(toml::to_string(self)?)
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
            total: steps.saturating_mul(epochs),
            head: steps.saturating_mul(self.head_epochs_of(epochs)),
        }
    }

    /// In how many of the `epochs` of a training the last layers learn alone.
    pub(super) fn head_epochs_of(&self, epochs: usize) -> usize {
        self.head_epochs.min(epochs / 2)
    }

    /// The coarsest stride of the selector, which the side of the input must be a multiple of.
    pub(super) fn stride(&self) -> u32 {
        if self.preset == Preset::Lite { 32 } else { 16 }
    }

    /// Refuses values that cannot work.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.check_counts()?;
        self.check_rates()?;
        self.check_objective()?;
        self.check_augmentation()
    }

    fn check_counts(&self) -> Result<(), ConfigError> {
        accept("size", self.size, (32..=1024).contains(&self.size), "must be between 32 and 1024")?;
        let fault = match self.preset {
            Preset::Lite => "must be a multiple of 32, the coarsest stride of the preset lite",
            _ => "must be a multiple of 16, the selector's coarsest stride",
        };
        accept("size", self.size, self.size.is_multiple_of(self.stride()), fault)?;
        let fault = "only the preset lite ships with weights; use --from-scratch, or torchvision's weights with --init-selector and --init-predictor";
        accept("pretrained", self.pretrained, !self.pretrained || self.preset == Preset::Lite, fault)?;
        accept("batch", self.batch, self.batch >= 2, "BatchNorm needs at least 2 images")?;
        accept("width", self.width, self.width <= 512, "must be at most 512")?;
        accept("epochs", self.epochs, self.epochs > 0, "must be at least 1")?;
        let fault = "must be at most 9223372036854775807, the largest number of a TOML file";
        accept("seed", self.seed, i64::try_from(self.seed).is_ok(), fault)
    }

    fn check_rates(&self) -> Result<(), ConfigError> {
        let rates =
            [("learning-rate", self.learning_rate), ("detector-learning-rate", self.detector_learning_rate)];
        for (key, rate) in rates {
            accept(key, rate, rate > 0.0 && rate <= 1.0, "must be above 0 and at most 1")?;
        }
        accept("paste", self.paste, (0.0..=1.0).contains(&self.paste), "is a share between 0 and 1")?;
        let momentum = self.selector_momentum;
        accept("selector-momentum", momentum, (0.0..=1.0).contains(&momentum), "must be between 0 and 1")?;
        let fault = "must be 0 (off) or a decay of at most 0.9999";
        accept("ema", self.ema, (0.0..=0.9999).contains(&self.ema), fault)?;
        accept("mixup", self.mixup, (0.0..=1.0).contains(&self.mixup), "must be between 0 (off) and 1")?;
        for (key, number) in [
            ("weight-decay", self.weight_decay),
            ("warmup-epochs", self.warmup_epochs),
            ("clip-norm", self.clip_norm),
            ("max-minutes", self.max_minutes),
            ("checkpoint-minutes", self.checkpoint_minutes),
        ] {
            accept(key, number, is_at_least_0(number), AT_LEAST_0)?;
        }
        Ok(())
    }

    fn check_objective(&self) -> Result<(), ConfigError> {
        let objective = &self.objective;
        accept("objective.alpha", objective.alpha, is_at_least_0(objective.alpha), AT_LEAST_0)?;
        accept("objective.beta", objective.beta, is_at_least_0(objective.beta), AT_LEAST_0)?;
        let fault = "is a difference of two cross-entropies in nats, between 0 and 100";
        accept("objective.gap", objective.gap, (0.0..=100.0).contains(&objective.gap), fault)?;
        let smoothing = objective.label_smoothing;
        let fault = "is a share of the label, at least 0 and below 1";
        accept("objective.label-smoothing", smoothing, (0.0..1.0).contains(&smoothing), fault)?;
        let area = objective.target_area;
        accept("objective.target-area", area, (0.0..1.0).contains(&area), "is a share between 0 and 1")
    }

    fn check_augmentation(&self) -> Result<(), ConfigError> {
        let augmentation = &self.augmentation;
        for (key, number, largest, fault) in [
            ("augmentation.shift", augmentation.shift, 1.0, "is a share of the side, between 0 and 1"),
            ("augmentation.rotation", augmentation.rotation, 180.0, "is in degrees, between 0 and 180"),
            (
                "augmentation.scale",
                augmentation.scale,
                0.9,
                "must be between 0 and 0.9 (0.1 gives 0.9 to 1.1)",
            ),
            (
                "augmentation.jitter",
                augmentation.jitter,
                1.0,
                "must be between 0 and 1 (0.2 gives 0.8 to 1.2)",
            ),
            ("augmentation.erase", augmentation.erase, 1.0, "is a share of the images, between 0 and 1"),
        ] {
            accept(key, number, (0.0..=largest).contains(&number), fault)?;
        }
        Ok(())
    }
}

const AT_LEAST_0: &str = "must be a number of at least 0";

fn is_at_least_0(number: f64) -> bool {
    number >= 0.0 && number.is_finite()
}

/// An error that names the setting, unless its value is valid.
fn accept(
    key: &'static str,
    value: impl std::fmt::Display,
    is_valid: bool,
    fault: &'static str,
) -> Result<(), ConfigError> {
    if is_valid { Ok(()) } else { Err(ConfigError::Value { key, value: value.to_string(), fault }) }
}

/// A file that is not what it should be.
pub(super) fn syntax(path: &Path, error: &toml::de::Error) -> ConfigError {
    let hint = nearest_key(error.message());
    ConfigError::Syntax { path: path.to_owned(), fault: error.to_string(), hint }
}

/// For "unknown field `x`, expected one of `a`, `b`": the most similar of the expected ones.
fn nearest_key(message: &str) -> String {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let (Some(unknown), true) = (quoted.next(), message.contains("unknown field")) else {
        return String::new();
    };
    let nearest = quoted.min_by_key(|known| strsim::levenshtein(unknown, known));
    nearest.map(|known| format!("\nhint: did you mean '{known}'?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_a_round_trip_through_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let config = TrainConfig { size: 96, seed: 7, ..TrainConfig::default() };
        std::fs::write(&path, config.to_toml().unwrap()).unwrap();
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
        let config = TrainConfig::default;
        let objective = |gap| Objective { gap, ..Objective::default() };
        let smoothing = |label_smoothing| Objective { label_smoothing, ..Objective::default() };
        let scale = |scale| Augmentation { scale, ..Augmentation::default() };
        let jitter = |jitter| Augmentation { jitter, ..Augmentation::default() };
        for (config, key) in [
            (TrainConfig { size: 70, ..config() }, "size"),
            (TrainConfig { preset: Preset::Lite, size: 80, ..config() }, "size"),
            (TrainConfig { pretrained: true, ..config() }, "pretrained"),
            (TrainConfig { ema: 1.0, ..config() }, "ema"),
            (TrainConfig { mixup: -0.1, ..config() }, "mixup"),
            (TrainConfig { batch: 1, ..config() }, "batch"),
            (TrainConfig { learning_rate: f64::NAN, ..config() }, "learning-rate"),
            (TrainConfig { paste: 1.5, ..config() }, "paste"),
            (TrainConfig { seed: u64::MAX, ..config() }, "seed"),
            (TrainConfig { checkpoint_minutes: f64::INFINITY, ..config() }, "checkpoint-minutes"),
            (TrainConfig { objective: objective(f64::NAN), ..config() }, "objective.gap"),
            (TrainConfig { objective: objective(-1.0), ..config() }, "objective.gap"),
            (TrainConfig { objective: smoothing(1.0), ..config() }, "objective.label-smoothing"),
            (TrainConfig { augmentation: scale(1.0), ..config() }, "augmentation.scale"),
            (TrainConfig { augmentation: scale(-0.1), ..config() }, "augmentation.scale"),
            (TrainConfig { augmentation: scale(f64::NAN), ..config() }, "augmentation.scale"),
            (TrainConfig { augmentation: jitter(1.1), ..config() }, "augmentation.jitter"),
        ] {
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
        assert!(config().check().is_ok());
        let widest = TrainConfig { objective: objective(0.0), augmentation: scale(0.9), ..config() };
        assert!(widest.check().is_ok());
    }

    #[test]
    fn accepted_settings_are_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let config = TrainConfig { seed: i64::MAX as u64, max_minutes: 0.1, ..TrainConfig::default() };
        config.check().unwrap();
        std::fs::write(&path, config.to_toml().unwrap()).unwrap();
        assert_eq!(TrainConfig::read(&path).unwrap(), config);
    }

    #[test]
    fn the_settings_of_an_earlier_version_mean_what_they_meant() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let mut table = toml::Table::try_from(TrainConfig::default()).unwrap();
        for key in ["head", "pretrained", "head-epochs", "ema", "mixup"] {
            assert!(table.remove(key).is_some(), "{key}");
        }
        for (section, key) in [("objective", "label-smoothing"), ("augmentation", "erase")] {
            assert!(table[section].as_table_mut().unwrap().remove(key).is_some(), "{key}");
        }
        std::fs::write(&path, table.to_string()).unwrap();
        let config = TrainConfig::read(&path).unwrap();
        assert_eq!((config.head, config.pretrained, config.head_epochs), (Head::LrAspp, false, 0));
        assert_eq!((config.ema, config.mixup, config.objective.label_smoothing), (0.0, 0.0, 0.0));
        assert_eq!(config, TrainConfig::default());
    }

    #[test]
    fn the_backbones_learn_in_at_least_half_of_the_epochs() {
        let config = TrainConfig { head_epochs: 3, ..TrainConfig::default() };
        assert_eq!([0, 1, 2, 5, 6, 60].map(|epochs| config.head_epochs_of(epochs)), [0, 0, 1, 2, 3, 3]);
    }

    #[test]
    fn a_schedule_of_too_many_epochs_does_not_overflow() {
        let config = TrainConfig { epochs: usize::MAX, ..TrainConfig::default() };
        assert!(config.comet_schedule(8).rate(3) > 0.0);
    }
}
