//! What a new run starts from, before its settings file, its flags and its data have a say.

use super::config::TrainConfig;
use super::objective::{Completeness, Objective};
use super::schedule::Decay;
use crate::data::{Augmentation, Sampling};
use crate::model::{Head, Preset};

/// A set of settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Recipe {
    /// Useful results in a short time; what it leaves open is chosen from the data.
    #[default]
    Standard,
    /// The settings of the paper, all of them.
    Paper,
}

/// A name that is not that of a recipe.
#[derive(Debug, thiserror::Error)]
#[error("unknown recipe '{0}'; there are standard and paper")]
pub struct UnknownRecipe(String);

impl std::str::FromStr for Recipe {
    type Err = UnknownRecipe;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "standard" => Ok(Self::Standard),
            "paper" => Ok(Self::Paper),
            _ => Err(UnknownRecipe(name.to_owned())),
        }
    }
}

impl TrainConfig {
    /// The settings of a recipe for a network pair; `pretrained` counts where weights ship with the preset, and where
    /// the recipe starts from such weights.
    pub fn recipe(recipe: Recipe, preset: Preset, pretrained: bool) -> Self {
        match recipe {
            Recipe::Standard => Self::standard(preset, pretrained),
            Recipe::Paper => Self::paper(preset),
        }
    }

    fn standard(preset: Preset, pretrained: bool) -> Self {
        if preset != Preset::Lite {
            return Self { preset, ..Self::default() };
        }
        let lite = Self {
            preset,
            head: Head::TopDown,
            // Weights on ImageNet are close to good ones: half the rate that random ones learn with.
            learning_rate: if pretrained { 5e-4 } else { 1e-3 },
            detector_learning_rate: if pretrained { 5e-4 } else { 1e-3 },
            objective: Objective { label_smoothing: 0.05, ..Objective::default() },
            ..Self::default()
        };
        // The detector has been trained on the same classes, and in the short runs that pretrained weights allow a
        // predictor that starts anew would spend most of the time on catching up. Not in the paper.
        Self { pretrained, warm_start: pretrained, ..lite }
    }

    /// COMET as the paper states it [P]; where it leaves a value open, as its authors' code ran it [R].
    ///
    /// | setting | value | source |
    /// |---|---|---|
    /// | random weights in all networks | `pretrained = false`, `warm-start = false` | P: everything from scratch |
    /// | `head` | LR-ASPP | P |
    /// | `size` | 224 | P |
    /// | `completeness`, `alpha`, `beta`, `target-area` | paper (`-L_D`), 5, 100, 0.1 | P: Eq. 7, best on ImageNet-9. R has `hinge` with `gap` 2, 4, 100, 0.6: with `--completeness hinge --alpha 4 --target-area 0.6` |
    /// | `learning-rate`, `weight-decay`, optimizer | 5e-4, 0.03, AdamW | R |
    /// | `batch`, `epochs` | 128, 200 | R |
    /// | `warmup-epochs`, `schedule` | 2, x0.2 at epochs 80, 120, 160 | R |
    /// | `augmentation` | crop with padding 16 of 224, flip, rotation by 15 degrees, nothing else | R |
    /// | `detector-epochs`, `detector-learning-rate` | 200, 5e-4 | neither says: as the predictor |
    /// | `selector-momentum` | 0.01 | R: that of torchvision's MobileNetV3; 200 epochs are long enough for it |
    /// | `sampling` | shuffle | R: each image once an epoch |
    /// | `paste`, `label-smoothing`, `mixup`, `ema`, `head-epochs`, `clip-norm`, `patience` | 0 | neither has them |
    ///
    /// The best checkpoint is chosen by validation accuracy in all runs, as in R.
    fn paper(preset: Preset) -> Self {
        Self {
            preset,
            head: Head::LrAspp,
            pretrained: false,
            size: 224,
            detector_epochs: 200,
            epochs: 200,
            head_epochs: 0,
            batch: 128,
            learning_rate: 5e-4,
            detector_learning_rate: 5e-4,
            weight_decay: 0.03,
            warmup_epochs: 2.0,
            schedule: Decay::Step,
            clip_norm: 0.0,
            selector_momentum: 0.01,
            warm_start: false,
            ema: 0.0,
            mixup: 0.0,
            paste: 0.0,
            sampling: Sampling::Shuffle,
            patience: 0,
            objective: Objective {
                completeness: Completeness::Paper,
                alpha: 5.0,
                beta: 100.0,
                target_area: 0.1,
                gap: 2.0,
                label_smoothing: 0.0,
            },
            augmentation: Augmentation {
                shift: 16.0 / 224.0,
                flip: true,
                rotation: 15.0,
                scale: 0.0,
                jitter: 0.0,
                erase: 0.0,
            },
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_recipe_is_accepted_for_every_preset() {
        for preset in [Preset::Lite, Preset::Full, Preset::Small] {
            for (recipe, pretrained) in
                [(Recipe::Standard, true), (Recipe::Standard, false), (Recipe::Paper, true)]
            {
                let config = TrainConfig::recipe(recipe, preset, pretrained);
                config.check().unwrap();
                let expected = pretrained && recipe == Recipe::Standard && preset == Preset::Lite;
                assert_eq!((config.preset, config.pretrained), (preset, expected));
            }
        }
    }

    #[test]
    fn the_papers_rate_falls_at_its_epochs() {
        let config = TrainConfig::recipe(Recipe::Paper, Preset::Full, false);
        let schedule = config.comet_schedule(10);
        let expected = [(0, 2.5e-5), (19, 5e-4), (799, 5e-4), (800, 1e-4), (1200, 2e-5), (1600, 4e-6)];
        for (step, rate) in expected {
            assert!((schedule.rate(step) - rate).abs() < 1e-12, "{step}: {}", schedule.rate(step));
        }
    }

    #[test]
    fn a_predictor_starts_from_the_detector_where_weights_are_given() {
        let lite = |pretrained| TrainConfig::recipe(Recipe::Standard, Preset::Lite, pretrained);
        assert!(lite(true).warm_start && !lite(false).warm_start);
        assert!(lite(true).learning_rate < lite(false).learning_rate);
        assert_eq!(TrainConfig::recipe(Recipe::Standard, Preset::Small, true), TrainConfig::default());
    }
}
