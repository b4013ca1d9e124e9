//! The manifest: what a model file says about itself, as JSON in `metadata_props["comet.manifest"]`.

use std::ops::RangeInclusive;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use crate::image::Preprocess;

/// Key of the manifest among the file's `metadata_props`.
pub const MANIFEST_KEY: &str = "comet.manifest";
/// The manifest format that this version reads and writes.
pub const FORMAT_VERSION: u32 = 1;
/// Temperatures that a file may ask for: far more than a fit gives, and none that a 32-bit float cannot divide by.
pub(super) const TEMPERATURES: RangeInclusive<f64> = 0.01..=100.0;

/// Arithmetic of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floats.
    Float32,
    /// 8-bit integers, as QuantizeLinear/DequantizeLinear pairs.
    Int8,
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Float32 => "float32",
            Self::Int8 => "int8",
        })
    }
}

/// Everything that a runtime needs to use a model, and what describes the model to a reader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// The model's name.
    pub name: String,
    /// Version of the program that wrote the file.
    pub writer: String,
    /// Class names in the order of the logits.
    pub classes: Vec<String>,
    /// Size, fit, mean and deviation of the input.
    pub preprocess: Preprocess,
    /// The value `q` that stands for "not shown", in normalised space (COMET: the mean pixel, so 0).
    pub fill: f32,
    /// The temperature `T` of the probabilities, `softmax(logits / T)` (Guo et al., 2017), fitted on the validation
    /// images of the float file; a quantized file has that of its float parent. 1 where a file has none.
    #[serde(default = "one", skip_serializing_if = "is_one", deserialize_with = "temperature")]
    pub temperature: f64,
    /// Arithmetic of this file.
    pub precision: Precision,
    /// Network pair: `full` or `small`.
    pub preset: String,
    /// How it was trained.
    pub training: TrainingSummary,
    /// What it was trained on.
    pub data: DataSummary,
    /// Metrics of the float parent on the validation split, if measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<Metrics>,
    /// SHA-256 of the float file that this file was quantized from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub float_sha256: Option<String>,
    /// Distance between this quantized file and its float parent, measured on this engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fidelity: Option<Fidelity>,
    /// The limits that [`fidelity`](Self::fidelity) was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<GateLimits>,
}

fn one() -> f64 {
    1.0
}

fn is_one(value: &f64) -> bool {
    *value == 1.0
}

/// A number; what is none is refused by the field's name.
fn temperature<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    f64::deserialize(deserializer).map_err(|fault| D::Error::custom(format!("field 'temperature': {fault}")))
}

/// The settings of the training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingSummary {
    /// Completeness term: `hinge` or `paper`.
    pub completeness: String,
    /// Weight `a` of the completeness term.
    pub alpha: f64,
    /// Weight `b` of the area term.
    pub beta: f64,
    /// Target area `t`.
    pub target_area: f64,
    /// Epochs of the detector.
    pub detector_epochs: usize,
    /// COMET epochs that were run.
    pub epochs: usize,
    /// The epoch whose weights these are.
    pub best_epoch: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Wall time in seconds.
    pub seconds: f64,
    /// Training device.
    pub device: String,
}

/// The data of the training run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataSummary {
    /// Name of the data set's folder.
    pub name: String,
    /// Training images.
    pub train: usize,
    /// Validation images.
    pub val: usize,
    /// Share of training images that were pasted on scenes.
    pub paste: f64,
}

/// Metrics in percent, over `n` images; definitions in the trainer's `metrics`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "each field is the metric of that name")]
pub struct Metrics {
    pub split: String,
    pub n: usize,
    pub accuracy: f64,
    pub balanced_accuracy: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pxap: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iou50: Option<f64>,
    pub area: f64,
}

/// Agreement of a model's predictions with its float reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Images compared.
    pub n: usize,
    /// Mean absolute difference of the maps, in `[0, 1]`.
    pub mask_mae: f64,
    /// Mean over images of the maps' IoU at 0.5, in `[0, 1]`.
    pub mask_iou_mean: f64,
    /// 5th percentile over images of the maps' IoU at 0.5.
    pub mask_iou_p5: f64,
    /// Mean Pearson correlation of the maps.
    pub mask_pearson: f64,
    /// Share of images with the same class, in percent.
    pub agreement: f64,
    /// Accuracy of the reference minus accuracy of the model, in percentage points; `None` without labels.
    pub accuracy_drop: Option<f64>,
}

/// What a quantized model must reach to be written, or to pass `verify`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateLimits {
    /// Largest [`Fidelity::mask_mae`].
    pub max_mask_mae: f64,
    /// Smallest [`Fidelity::mask_iou_mean`].
    pub min_mask_iou: f64,
    /// Smallest [`Fidelity::mask_iou_p5`].
    pub min_mask_iou_p5: f64,
    /// Smallest [`Fidelity::mask_pearson`].
    pub min_mask_pearson: f64,
    /// Smallest [`Fidelity::agreement`], in percent.
    pub min_agreement: f64,
    /// Largest [`Fidelity::accuracy_drop`], in percentage points.
    pub max_accuracy_drop: f64,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            max_mask_mae: 0.02,
            min_mask_iou: 0.90,
            min_mask_iou_p5: 0.75,
            min_mask_pearson: 0.97,
            min_agreement: 97.0,
            max_accuracy_drop: 1.5,
        }
    }
}

impl GateLimits {
    /// One line for each limit that is missed; empty if the gate is passed. NaN never passes.
    pub fn misses(&self, found: &Fidelity) -> Vec<String> {
        let at_most = [
            ("map MAE", found.mask_mae, self.max_mask_mae),
            ("accuracy drop (points)", found.accuracy_drop.unwrap_or(0.0), self.max_accuracy_drop),
        ];
        let at_least = [
            ("mean map IoU", found.mask_iou_mean, self.min_mask_iou),
            ("5th percentile of the map IoU", found.mask_iou_p5, self.min_mask_iou_p5),
            ("map Pearson r", found.mask_pearson, self.min_mask_pearson),
            ("label agreement (%)", found.agreement, self.min_agreement),
        ];
        let above = at_most
            .iter()
            .filter(|(_, value, limit)| value.is_nan() || value > limit)
            .map(|(name, value, limit)| format!("{name} is {value:.4}, the limit is at most {limit}"));
        let below = at_least
            .iter()
            .filter(|(_, value, limit)| value.is_nan() || value < limit)
            .map(|(name, value, limit)| format!("{name} is {value:.4}, the limit is at least {limit}"));
        above.chain(below).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a version that knew no temperature has written.
    const OLD: &str = r#"{"format_version":1,"name":"a","writer":"b","classes":["c","d"],"preprocess":{"width":8,"height":8,"fit":"crop","mean":[0.5,0.5,0.5],"std":[0.25,0.25,0.25]},"fill":0.0,"precision":"int8","preset":"small","training":{"completeness":"hinge","alpha":4.0,"beta":100.0,"target_area":0.3,"detector_epochs":1,"epochs":1,"best_epoch":1,"seed":0,"seconds":1.0,"device":"none"},"data":{"name":"none","train":1,"val":1,"paste":0.0}}"#;

    #[test]
    fn a_manifest_without_a_temperature_has_one_of_1_and_stays_as_it_is() {
        let manifest: Manifest = serde_json::from_str(OLD).unwrap();
        assert_eq!(manifest.temperature, 1.0);
        assert_eq!(serde_json::to_string(&manifest).unwrap(), OLD);
    }

    #[test]
    fn a_temperature_is_kept_and_what_is_no_number_is_refused_by_name() {
        let with =
            |value: &str| OLD.replace("\"fill\":0.0", &format!("\"fill\":0.0,\"temperature\":{value}"));
        let manifest: Manifest = serde_json::from_str(&with("1.375")).unwrap();
        assert_eq!(manifest.temperature, 1.375);
        assert!(serde_json::to_string(&manifest).unwrap().contains("\"temperature\":1.375"));
        for value in ["null", "\"hot\"", "[1.0]", "true"] {
            let error = serde_json::from_str::<Manifest>(&with(value)).unwrap_err().to_string();
            assert!(error.contains("'temperature'"), "{value}: {error}");
        }
        for value in ["NaN", "1e999", "Infinity"] {
            assert!(serde_json::from_str::<Manifest>(&with(value)).is_err(), "{value}");
        }
    }
}
