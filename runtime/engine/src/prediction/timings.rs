//! How long each step of a prediction took.

use serde::Serialize;

/// Milliseconds, rounded to microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timings {
    /// From the frame's bytes to RGB.
    pub decode: f64,
    /// From RGB to the model's input.
    pub preprocess: f64,
    /// The network.
    pub inference: f64,
    /// From the moment of capture (or of reading the file) to the prediction, waiting included.
    pub total: f64,
}
