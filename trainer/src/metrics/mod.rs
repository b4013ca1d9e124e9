//! How good the classes and the maps are: the paper's measures with its settings (COMET, section 4).
//!
//! Conventions, the same as in the independent implementation `tests/reference/metrics.py`:
//! a pixel is predicted at threshold `t` when its map value is at least `t`; values and thresholds are
//! compared as 64-bit floats; results are in percent.

mod classification;
mod collect;
mod coverage;
mod engine_subject;
mod evaluate;
mod fidelity;
mod localisation;
mod noise;
mod result;
mod subject;
mod tally;

pub use classification::{ClassRow, Classification, top_class};
pub use coverage::{Coverage, iou};
pub use engine_subject::EngineSubject;
pub use evaluate::{EvaluationOptions, evaluate};
pub use fidelity::{Deletion, dropped_pixels};
pub use localisation::{CurvePoint, Localisation};
pub use noise::noisy;
pub use result::{Evaluation, FidelityScores, MetricRow, Sample};
pub use subject::{Answers, Subject};
pub use tally::{Mean, Share};

use image::GrayImage;

/// Why something could not be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// A map and the true mask of its picture have different numbers of pixels.
    #[error("the map has {map} pixels, the true mask {truth}; both must have the model's size")]
    SizeMismatch {
        /// Pixels of the map.
        map: usize,
        /// Pixels of the mask.
        truth: usize,
    },
    /// A class index beyond the model's classes.
    #[error("class {index} is asked for, but the model knows {classes} classes (counted from 0)")]
    UnknownClass {
        /// The index.
        index: usize,
        /// Number of classes.
        classes: usize,
    },
}

/// Map values beside the truth, pixel by pixel. Masks are 0 or 255; a grey from 128 on counts as true.
fn paired<'a>(
    map: &'a [f32],
    truth: &'a GrayImage,
) -> Result<impl Iterator<Item = (f32, bool)> + 'a, MetricError> {
    let pixels = truth.width() as usize * truth.height() as usize;
    if map.len() != pixels {
        return Err(MetricError::SizeMismatch { map: map.len(), truth: pixels });
    }
    let truth = truth.pixels().map(|pixel| pixel.0[0] >= 128);
    Ok(map.iter().copied().zip(truth))
}

#[cfg(test)]
mod golden;
