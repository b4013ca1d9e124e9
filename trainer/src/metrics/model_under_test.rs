//! What is evaluated: a Burn run or a model file, through one interface.

use super::error::MetricsError;
use crate::data::Batch;

/// Predictions for the images of one batch.
#[derive(Clone, Debug, Default)]
pub struct Predictions {
    /// `[n, height, width]`, flat: the attribution maps, in `[0, 1]`.
    pub masks: Vec<f32>,
    /// `[n, classes]`, flat.
    pub logits: Vec<f32>,
}

/// A model that predicts a class and explains it by an attribution map.
pub trait ModelUnderTest {
    /// Class names in the order of the logits.
    fn classes(&self) -> &[String];

    /// Maps and logits of normalised images.
    fn explain(&mut self, batch: &Batch) -> Result<Predictions, MetricsError>;

    /// Logits `[n, classes]` of the predictor alone, for images that are masked already.
    fn predict(&mut self, masked: &Batch) -> Result<Vec<f32>, MetricsError>;
}
