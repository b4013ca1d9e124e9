//! The settings of a run as they were asked for: some may still be open, to be chosen from the data.

use std::path::{Path, PathBuf};

use super::config::{ConfigError, TrainConfig, syntax};
use super::recipe::Recipe;
use crate::model::Preset;

/// Which settings are left to the data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Automatic {
    /// Side of the input.
    pub size: bool,
    /// Images in a batch.
    pub batch: bool,
    /// Epochs of the detector.
    pub detector_epochs: bool,
    /// COMET epochs.
    pub epochs: bool,
    /// Epochs of the last layers alone.
    pub head_epochs: bool,
    /// Target area `t`.
    pub target_area: bool,
    /// Random changes of the images, as a whole.
    pub augmentation: bool,
}

/// Settings of which some may be open. What was given always stays: recipe < file < flags.
#[derive(Clone, Debug, PartialEq)]
pub struct Requested {
    /// All settings; those that are open hold the recipe's value.
    pub config: TrainConfig,
    /// The open ones.
    pub automatic: Automatic,
}

impl From<TrainConfig> for Requested {
    /// Nothing is open: a run that goes on, or settings that are all given.
    fn from(config: TrainConfig) -> Self {
        Self { config, automatic: Automatic::default() }
    }
}

/// A settings file as its user wrote it, with the keys that it does not have left out.
#[derive(Clone, Debug, Default)]
pub struct SettingsFile {
    path: PathBuf,
    table: toml::Table,
}

impl SettingsFile {
    /// Reads a file; an unknown key or a value of a wrong type is an error that names its line.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        // As a whole first: its errors know the lines.
        TrainConfig::read(path)?;
        let text = std::fs::read_to_string(path)
            .map_err(|fault| ConfigError::Io { path: path.to_owned(), fault })?;
        let table = toml::from_str(&text).map_err(|error| syntax(path, &error))?;
        Ok(Self { path: path.to_owned(), table })
    }

    /// The network pair, if the file names one.
    pub fn preset(&self) -> Option<Preset> {
        self.table.get("preset").and_then(|value| value.clone().try_into().ok())
    }

    /// Whether to start from pretrained weights, if the file says so.
    pub fn pretrained(&self) -> Option<bool> {
        self.table.get("pretrained").and_then(toml::Value::as_bool)
    }

    fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    fn has_in(&self, section: &str, key: &str) -> bool {
        self.table.get(section).and_then(toml::Value::as_table).is_some_and(|table| table.contains_key(key))
    }
}

impl Requested {
    /// The settings of a recipe under those of a file. `preset` and `pretrained` are those that the flags or the file
    /// name, since the recipe depends on them.
    pub fn new(
        recipe: Recipe,
        preset: Preset,
        pretrained: bool,
        file: &SettingsFile,
    ) -> Result<Self, ConfigError> {
        let mut table = toml::Table::try_from(TrainConfig::recipe(recipe, preset, pretrained))?;
        overlay(&mut table, &file.table);
        let config = table.try_into().map_err(|error| syntax(&file.path, &error))?;
        Ok(Self { config, automatic: Automatic::under(recipe, file) })
    }
}

impl Automatic {
    /// What recipe and file leave open.
    fn under(recipe: Recipe, file: &SettingsFile) -> Self {
        if recipe == Recipe::Paper {
            return Self::default();
        }
        Self {
            size: !file.has("size"),
            batch: !file.has("batch"),
            detector_epochs: !file.has("detector-epochs"),
            epochs: !file.has("epochs"),
            head_epochs: !file.has("head-epochs"),
            target_area: !file.has_in("objective", "target-area"),
            augmentation: !file.has("augmentation"),
        }
    }
}

/// Replaces what the upper table has; sections are gone into.
fn overlay(lower: &mut toml::Table, upper: &toml::Table) {
    for (key, value) in upper {
        match (lower.get_mut(key), value) {
            (Some(toml::Value::Table(lower)), toml::Value::Table(upper)) => overlay(lower, upper),
            _ => {
                lower.insert(key.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Augmentation;

    fn requested(recipe: Recipe, preset: Preset, text: &str) -> Requested {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, text).unwrap();
        let file = SettingsFile::read(&path).unwrap();
        Requested::new(recipe, file.preset().unwrap_or(preset), file.pretrained().unwrap_or(true), &file)
            .unwrap()
    }

    #[test]
    fn without_a_file_the_recipe_counts_and_the_data_decide_the_rest() {
        let found = requested(Recipe::Standard, Preset::Lite, "");
        assert_eq!(found.config, TrainConfig::recipe(Recipe::Standard, Preset::Lite, true));
        let open = found.automatic;
        assert!(open.size && open.batch && open.epochs && open.detector_epochs && open.head_epochs);
        assert!(open.target_area && open.augmentation);
    }

    #[test]
    fn what_a_file_sets_stays_and_the_rest_of_its_sections_is_the_recipes() {
        let text = "preset = \"full\"\nsize = 64\n[objective]\nalpha = 2.0\n[augmentation]\njitter = 0.1\n";
        let Requested { config, automatic } = requested(Recipe::Paper, Preset::Lite, text);
        assert_eq!((config.preset, config.size, config.batch), (Preset::Full, 64, 128));
        assert_eq!((config.objective.alpha, config.objective.target_area), (2.0, 0.1));
        assert_eq!((config.augmentation.jitter, config.augmentation.rotation), (0.1, 15.0));
        assert_eq!(automatic, Automatic::default(), "the paper leaves nothing open");

        let Requested { config, automatic } = requested(Recipe::Standard, Preset::Lite, text);
        let augmentation = Augmentation { jitter: 0.1, ..Augmentation::default() };
        assert_eq!((config.size, config.augmentation), (64, augmentation));
        assert!(!automatic.size && !automatic.augmentation);
        assert!(automatic.batch && automatic.target_area, "it sets others of the objective");
    }

    #[test]
    fn a_file_with_all_settings_leaves_nothing_open() {
        let config = TrainConfig { seed: 9, epochs: 3, ..TrainConfig::default() };
        let found = requested(Recipe::Standard, Preset::Lite, &config.to_toml().unwrap());
        assert_eq!(found, Requested::from(config));
    }

    #[test]
    fn a_file_may_leave_the_pretrained_weights_out() {
        let found = requested(Recipe::Standard, Preset::Lite, "pretrained = false\n");
        assert_eq!(found.config, TrainConfig::recipe(Recipe::Standard, Preset::Lite, false));
    }
}
