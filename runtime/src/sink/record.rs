//! One result: the record that is written, and what sinks may want beside it.

use image::RgbImage;
use serde::Serialize;

use crate::engine::Explanation;
use crate::explain::MaskStatistics;

/// Version of [`Record`] as JSON. New optional fields do not change it; anything else does.
pub const SCHEMA: u32 = 1;
/// [`Record::flag`] of an answer whose map or logits are no numbers, or outside their range.
pub const INVALID: &str = "invalid_explanation";

/// One result, in the order of its JSON fields. Fields that are `None` at the end are left out.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// File or source.
    pub source: String,
    /// Number of the frame in its source, from 0.
    pub frame: u64,
    /// The class; `None` if the answer is not valid.
    pub class: Option<String>,
    /// Index of the class.
    pub index: Option<usize>,
    /// Probability of the class, in `[0, 1]`.
    pub probability: Option<f32>,
    /// Probabilities of all classes, in the model's order.
    pub scores: Vec<f32>,
    /// The map in three numbers.
    pub mask: MaskStatistics,
    /// Times in milliseconds.
    pub ms: Timings,
    /// [`INVALID`], if the answer is not valid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flag: Option<&'static str>,
    /// The likeliest classes, if more than one was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub top: Vec<Score>,
    /// File of the map, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_file: Option<String>,
    /// File of the model's input, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_file: Option<String>,
    /// Picture with the map drawn in, if one was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlay_file: Option<String>,
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

/// Milliseconds, rounded to microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timings {
    /// From the frame's bytes to RGB.
    pub decode: f64,
    /// From RGB to the model's input.
    pub preprocess: f64,
    /// The network.
    pub inference: f64,
    /// From the moment of capture (or of reading the file) to the answer, waiting included.
    pub total: f64,
}

/// A record, and everything that it was made from.
#[derive(Clone, Debug)]
pub struct FrameResult {
    /// The record.
    pub record: Record,
    /// The picture, upright.
    pub picture: RgbImage,
    /// The region `(x, y, width, height)` of the picture that the model saw.
    pub region: (u32, u32, u32, u32),
    /// The model's input, `[3, height, width]`, normalised.
    pub tensor: Vec<f32>,
    /// Map and logits.
    pub explanation: Explanation,
}

impl Record {
    /// The record of `explanation`, with the `top_k` likeliest classes if that is more than one.
    ///
    /// An answer that is not valid gets no class: a broken number must not look like a confident label.
    pub fn new(
        (source, frame): (&str, u64),
        explanation: &Explanation,
        classes: &[String],
        top_k: usize,
        ms: Timings,
    ) -> Self {
        let scores = explanation.probabilities();
        let valid = explanation.is_valid();
        let ranking = if valid { rank(&scores, classes, top_k.max(1)) } else { Vec::new() };
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
            flag: (!valid).then_some(INVALID),
            top: if top_k > 1 { ranking } else { Vec::new() },
            mask_file: None,
            input_file: None,
            overlay_file: None,
        }
    }
}

/// The likeliest classes; of equal ones the first, as [`Explanation::top`] has it.
fn rank(scores: &[f32], classes: &[String], count: usize) -> Vec<Score> {
    let scores = scores.iter().zip(classes).enumerate();
    let mut ranking: Vec<Score> = scores
        .map(|(index, (&probability, class))| Score { class: class.clone(), index, probability })
        .collect();
    ranking.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    ranking.truncate(count);
    ranking
}

#[cfg(test)]
pub(super) mod sample {
    //! Results for tests.

    use super::*;
    use crate::image::Mask;

    /// A result about frame `number` of `source`, with a map of 2 x 2 pixels.
    pub(in crate::sink) fn result(source: &str, number: u64, logits: [f32; 3]) -> FrameResult {
        let explanation = Explanation {
            mask: Mask::new(2, 2, vec![0.0, 0.25, 0.75, 1.0]).unwrap(),
            logits: logits.to_vec(),
        };
        let classes = ["one", "two", "three"].map(String::from);
        let times = Timings::default();
        FrameResult {
            record: Record::new((source, number), &explanation, &classes, 1, times),
            picture: RgbImage::new(8, 6),
            region: (1, 0, 6, 6),
            tensor: (0..12).map(|n| n as f32).collect(),
            explanation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_stand_in_their_order_and_optional_ones_are_left_out() {
        let result = sample::result("a.jpg", 3, [0.0, 2.0, 1.0]);
        let json = serde_json::to_string(&result.record).unwrap();
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
            "ms",
            "decode",
            "preprocess",
            "inference",
            "total",
        ];
        let places: Vec<_> = keys.iter().map(|key| json.find(&format!("\"{key}\":")).unwrap()).collect();
        assert!(places.is_sorted(), "{json}");
        assert_eq!(json.matches("\":").count(), keys.len(), "{json}");
        assert!(
            json.starts_with("{\"schema\":1,\"source\":\"a.jpg\",\"frame\":3,\"class\":\"two\",\"index\":1")
        );
    }

    #[test]
    fn an_invalid_answer_has_no_class() {
        let result = sample::result("a.jpg", 0, [0.0, f32::NAN, 1.0]);
        let json: serde_json::Value = serde_json::to_value(&result.record).unwrap();
        assert!(json["class"].is_null() && json["index"].is_null() && json["probability"].is_null());
        assert_eq!(json["flag"], INVALID);
    }

    #[test]
    fn the_ranking_begins_with_the_class() {
        let result = sample::result("a.jpg", 0, [0.5, 2.0, 2.0]);
        let classes = ["one", "two", "three"].map(String::from);
        let times = Timings::default();
        let record = Record::new(("a.jpg", 0), &result.explanation, &classes, 2, times);
        assert_eq!(record.class.as_deref(), Some("two"));
        let top: Vec<_> = record.top.iter().map(|score| score.class.as_str()).collect();
        assert_eq!(top, ["two", "three"]);
    }
}
