//! One line of a run's `metrics.jsonl`: what an epoch gave.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use crate::metrics::Evaluation;

/// Which networks an epoch trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// The detector, on full images.
    Detector,
    /// Selector and predictor; the detector is frozen.
    #[default]
    Comet,
}

impl Phase {
    /// As written in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Detector => "detector",
            Self::Comet => "comet",
        }
    }
}

/// An epoch. Losses are means over its batches, in nats where they are cross-entropies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// What was trained.
    pub phase: Phase,
    /// Number of the epoch within its phase, from 1.
    pub epoch: usize,
    /// Learning rate at the epoch's end.
    #[serde(deserialize_with = "number")]
    pub learning_rate: f64,
    /// The loss that was minimised: the detector's cross-entropy, or the selector's whole loss.
    #[serde(deserialize_with = "number")]
    pub loss: f64,
    /// `L_P`: the predictor's cross-entropy on the masked-in image. COMET epochs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_predictor: Option<f64>,
    /// `L_D`: the detector's cross-entropy on what was left out. COMET epochs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_detector: Option<f64>,
    /// The completeness term, without its weight `a`. COMET epochs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completeness: Option<f64>,
    /// `R`, the excess of the map's mean over the target area, without its weight `b`. COMET epochs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area_penalty: Option<f64>,
    /// Mean map value on the training images, in percent. COMET epochs only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<f64>,
    /// Accuracy on the training images as they were shown, in percent.
    #[serde(deserialize_with = "number")]
    pub train_accuracy: f64,
    /// Measures on the validation images, if the epoch was validated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<ValidationRecord>,
    /// Wall time in seconds from the start of the run to the end of this epoch, over all sessions.
    #[serde(deserialize_with = "number")]
    pub seconds: f64,
}

/// Measures on the validation images in percent; definitions in [`crate::metrics`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ValidationRecord {
    /// Accuracy.
    #[serde(deserialize_with = "number")]
    pub accuracy: f64,
    /// Mean recall over the classes; `None` for the detector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub balanced_accuracy: Option<f64>,
    /// PxAP at 19 thresholds; `None` without masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pxap: Option<f64>,
    /// Mean IoU at 0.5; `None` without masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iou50: Option<f64>,
    /// AUC-IoU at 0.9; `None` without masks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auc_iou: Option<f64>,
    /// Mean map value; `None` for the detector, which has no map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub area: Option<f64>,
}

/// JSON has no NaN: a loss that diverged is written as null, and must be readable again.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

impl EpochRecord {
    /// The validation in a few words.
    pub fn summary(&self) -> String {
        let Some(val) = &self.val else {
            return "not validated".to_owned();
        };
        let mut text = format!("validation: accuracy {:.1} %", val.accuracy);
        let parts =
            [("PxAP", val.pxap), ("IoU at 0.5", val.iou50), ("AUC-IoU", val.auc_iou), ("map area", val.area)];
        for (name, value) in parts {
            if let Some(value) = value {
                text.push_str(&format!(", {name} {value:.1}"));
            }
        }
        text
    }
}

impl From<&Evaluation> for ValidationRecord {
    fn from(evaluation: &Evaluation) -> Self {
        Self {
            accuracy: evaluation.accuracy,
            balanced_accuracy: Some(evaluation.balanced_accuracy),
            pxap: evaluation.pxap,
            iou50: evaluation.iou50,
            auc_iou: evaluation.auc_iou,
            area: Some(evaluation.area),
        }
    }
}

/// The records of a `metrics.jsonl`, detector epochs first, and the number of lines that could not be read
/// (a run that was killed may leave half a line). A resumed run may repeat an epoch: the later line counts.
pub fn read_records(text: &str) -> (Vec<EpochRecord>, usize) {
    let mut records = BTreeMap::new();
    let mut unreadable = 0;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match serde_json::from_str::<EpochRecord>(line) {
            Ok(record) => {
                records.insert((record.phase, record.epoch), record);
            }
            Err(_) => unreadable += 1,
        }
    }
    (records.into_values().collect(), unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_json_with_and_without_the_optional_parts() {
        let detector = EpochRecord { phase: Phase::Detector, epoch: 1, loss: 2.0, ..EpochRecord::default() };
        let comet = EpochRecord {
            epoch: 1,
            loss_predictor: Some(1.5),
            area: Some(30.0),
            val: Some(ValidationRecord { accuracy: 50.0, pxap: Some(40.0), ..ValidationRecord::default() }),
            ..EpochRecord::default()
        };
        let line = |record: &EpochRecord| serde_json::to_string(record).unwrap();
        assert!(line(&detector).contains("\"phase\":\"detector\"") && !line(&detector).contains("area"));
        let text = format!("{}\n\n{}\n", line(&comet), line(&detector));
        assert_eq!(read_records(&text), (vec![detector, comet], 0));
    }

    #[test]
    fn half_a_line_a_diverged_loss_and_a_repeated_epoch_are_survived() {
        let record =
            |loss| serde_json::to_string(&EpochRecord { epoch: 3, loss, ..EpochRecord::default() }).unwrap();
        let text = format!("{}\n{}\n{}", record(1.0), record(f64::NAN), &record(2.0)[..20]);
        let (records, unreadable) = read_records(&text);
        assert_eq!((records.len(), unreadable), (1, 1));
        assert!(records[0].loss.is_nan());
    }
}
