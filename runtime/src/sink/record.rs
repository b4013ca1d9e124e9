//! One result: the record that is written, and what sinks may want beside it.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use image::RgbImage;
use serde::Serialize;

use crate::engine::Explanation;
use crate::explain::{Checks, Flag, MaskStatistics};
use crate::image::encode_jpeg;

/// Version of [`Record`] as JSON. New optional fields do not change it; anything else does.
pub const SCHEMA: u32 = 2;
/// Quality of pictures that are encoded for pages and recordings.
const JPEG_QUALITY: u8 = 85;

/// One result, in the order of its JSON fields. Fields that are `None` at the end are left out.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// File or source.
    pub source: String,
    /// Number of the frame in its source, from 0.
    pub frame: u64,
    /// The class; `None` if the answer is not valid, or was withheld ([`Flag::Abstained`]).
    pub class: Option<String>,
    /// Index of the class.
    pub index: Option<usize>,
    /// Probability of the class, in `[0, 1]`.
    pub probability: Option<f32>,
    /// Probabilities of all classes, in the model's order.
    pub scores: Vec<f32>,
    /// The map in four numbers.
    pub mask: MaskStatistics,
    /// Times in milliseconds.
    pub ms: Timings,
    /// What a user of the answer should know; empty if nothing.
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
    /// Picture with the map drawn in, if one was written.
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
    pub picture: Arc<RgbImage>,
    /// The region `(x, y, width, height)` of the picture that the model saw.
    pub region: (u32, u32, u32, u32),
    /// The model's input, `[3, height, width]`, normalised.
    pub tensor: Arc<Vec<f32>>,
    /// Map and logits; averages if the record says so.
    pub explanation: Explanation,
    /// This frame's own map and logits, where [`explanation`](Self::explanation) is an average.
    pub unsmoothed: Option<Explanation>,
    /// The source's own JPEG, complete with its tables, if it gave one.
    pub jpeg: Option<Arc<Vec<u8>>>,
    /// When the frame was captured.
    pub captured: Instant,
}

impl FrameResult {
    /// The picture as JPEG: the source's own, or encoded now, which takes a few milliseconds.
    ///
    /// # Errors
    /// The picture is larger than a JPEG can be.
    pub fn to_jpeg(&self) -> io::Result<Arc<Vec<u8>>> {
        match &self.jpeg {
            Some(jpeg) => Ok(Arc::clone(jpeg)),
            None => encode_jpeg(&self.picture, JPEG_QUALITY).map(Arc::new),
        }
    }

    /// What the network said about this very frame.
    pub fn own_explanation(&self) -> &Explanation {
        self.unsmoothed.as_ref().unwrap_or(&self.explanation)
    }
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
            picture: Arc::new(RgbImage::new(8, 6)),
            region: (1, 0, 6, 6),
            tensor: Arc::new((0..12).map(|n| n as f32).collect()),
            explanation,
            unsmoothed: None,
            jpeg: None,
            captured: Instant::now(),
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
    fn an_invalid_answer_has_no_class() {
        let result = sample::result("a.jpg", 0, [0.0, f32::NAN, 1.0]);
        let json: serde_json::Value = serde_json::to_value(&result.record).unwrap();
        assert!(json["class"].is_null() && json["index"].is_null() && json["probability"].is_null());
        assert_eq!(json["flags"], serde_json::json!(["invalid_explanation"]));
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
