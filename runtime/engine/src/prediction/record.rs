//! The record of one result, as it is written in JSON.

use std::cmp::Ordering;

use serde::Serialize;

use super::explanation::Explanation;
use super::timings::Timings;
use crate::explain::{Checks, Flag, MaskStatistics};

/// Version of [`Record`] as JSON. New optional fields do not change it; anything else does.
pub const SCHEMA: u32 = 2;

/// One result, in the order of its JSON fields. Fields that are `None` at the end are left out.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// File or source.
    pub source: String,
    /// Number of the frame in its source, from 0.
    pub frame: u64,
    /// The class; `None` if the prediction is not valid, or was withheld ([`Flag::Abstained`]).
    pub class: Option<String>,
    /// Index of the class.
    pub index: Option<usize>,
    /// Probability of the class, in `[0, 1]`.
    pub probability: Option<f32>,
    /// Probabilities of all classes, in the model's order.
    pub scores: Vec<f32>,
    /// The attribution map in four numbers.
    pub mask: MaskStatistics,
    /// Times in milliseconds.
    pub ms: Timings,
    /// What a user of the prediction should know; empty if nothing.
    pub flags: Vec<Flag>,
    /// Whether scores and map are averages over the last frames.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub smoothed: bool,
    /// Whether the explanation holds, if this frame was checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
    /// The likeliest classes, if more than one was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<Score>,
    /// File of the map, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_file: Option<String>,
    /// File of the model's input, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_file: Option<String>,
    /// Image with the map drawn in, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay_file: Option<String>,
    /// Folder of the evidence, if a bundle was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// One class with its probability.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The class.
    pub class: String,
    /// Its index.
    pub index: usize,
    /// Its probability.
    pub probability: f32,
}

impl Record {
    /// The record of `explanation`, with the `top_k` likeliest classes if that is more than one.
    ///
    /// A prediction that is not valid gets no class: a broken number must not look like a confident label.
    pub fn new(
        (source, frame): (&str, u64),
        explanation: &Explanation,
        classes: &[String],
        top_k: usize,
        ms: Timings,
    ) -> Self {
        let scores = explanation.probabilities();
        let valid = explanation.is_valid();
        let ranking = if valid { rank(explanation, &scores, classes, top_k.max(1)) } else { Vec::new() };
        let best = ranking.first().cloned();
        Self {
            schema: SCHEMA,
            source: source.to_owned(),
            frame,
            index: best.as_ref().map(|best| best.index),
            probability: best.as_ref().map(|best| best.probability),
            class: best.map(|best| best.class),
            scores,
            mask: MaskStatistics::of(&explanation.mask),
            ms,
            flags: if valid { Vec::new() } else { vec![Flag::InvalidExplanation] },
            smoothed: false,
            checks: None,
            top: if top_k > 1 { ranking } else { Vec::new() },
            mask_file: None,
            input_file: None,
            overlay_file: None,
            evidence: None,
        }
    }

    /// Whether map or logits were broken.
    pub fn is_invalid(&self) -> bool {
        self.flags.contains(&Flag::InvalidExplanation)
    }
}

/// The likeliest classes; of equal ones the first, as [`Explanation::top`] has it.
///
/// The order is that of the logits: probabilities are rounded, so that a temperature can make two of them equal.
fn rank(explanation: &Explanation, scores: &[f32], classes: &[String], count: usize) -> Vec<Score> {
    let scores = explanation.logits.iter().zip(scores).zip(classes).enumerate();
    let mut ranking: Vec<(f32, Score)> = scores
        .map(|(index, ((&logit, &probability), class))| {
            (logit, Score { class: class.clone(), index, probability })
        })
        .collect();
    // Valid logits are numbers. 0 and -0 are equal here, as they are for the class.
    ranking.sort_by(|(a, _), (b, _)| b.partial_cmp(a).unwrap_or(Ordering::Equal));
    ranking.into_iter().take(count).map(|(_, score)| score).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Mask;

    fn explanation(logits: [f32; 3]) -> Explanation {
        let mask = Mask::new(2, 2, vec![0.0, 0.25, 0.75, 1.0]).unwrap();
        Explanation { mask, logits: logits.to_vec(), temperature: 1.0 }
    }

    fn record(frame: u64, logits: [f32; 3], top_k: usize) -> Record {
        let classes = ["one", "two", "three"].map(String::from);
        Record::new(("a.jpg", frame), &explanation(logits), &classes, top_k, Timings::default())
    }

    #[test]
    fn the_keys_stand_in_their_order_and_optional_ones_are_left_out() {
        let json = serde_json::to_string(&record(3, [0.0, 2.0, 1.0], 1)).unwrap();
        let keys = [
            "schema",
            "source",
            "frame",
            "class",
            "index",
            "probability",
            "scores",
            "mask",
            "mean",
            "area",
            "entropy",
            "border",
            "ms",
            "decode",
            "preprocess",
            "inference",
            "total",
            "flags",
        ];
        let places: Vec<_> = keys.iter().map(|key| json.find(&format!("\"{key}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{json}");
        assert_eq!(json.matches("\":").count(), keys.len(), "{json}");
        assert!(
            json.starts_with("{\"schema\":2,\"source\":\"a.jpg\",\"frame\":3,\"class\":\"two\",\"index\":1")
        );
    }

    #[test]
    fn an_invalid_prediction_has_no_class() {
        let json = serde_json::to_value(record(0, [0.0, f32::NAN, 1.0], 1)).unwrap();
        assert!(json["class"].is_null() && json["index"].is_null() && json["probability"].is_null());
        assert_eq!(json["flags"], serde_json::json!(["invalid_explanation"]));
    }

    #[test]
    fn the_ranking_begins_with_the_class() {
        let record = record(0, [0.5, 2.0, 2.0], 2);
        assert_eq!(record.class.as_deref(), Some("two"));
        let top: Vec<_> = record.top.iter().map(|score| score.class.as_str()).collect();
        assert_eq!(top, ["two", "three"]);
    }

    #[test]
    fn a_temperature_changes_probabilities_and_no_class() {
        let classes = ["one", "two", "three"].map(String::from);
        let at = |logits: [f32; 3], temperature: f32| {
            let explanation = Explanation { temperature, ..explanation(logits) };
            Record::new(("a.jpg", 0), &explanation, &classes, 3, Timings::default())
        };
        let (plain, soft) = (at([0.0, 2.0, 1.0], 1.0), at([0.0, 2.0, 1.0], 4.0));
        assert_eq!((plain.class, plain.index), (soft.class.clone(), soft.index));
        assert_eq!(soft.probability, Some(soft.scores[1]));
        assert!(soft.probability < plain.probability && soft.scores[0] > plain.scores[0]);
        assert_eq!(soft.mask.mean, plain.mask.mean);
        // Their probabilities are the same number.
        let close = at([1.0, 1.000_000_1, 0.0], 100.0);
        assert_eq!((close.index, close.scores[0]), (Some(1), close.scores[1]));
    }
}
