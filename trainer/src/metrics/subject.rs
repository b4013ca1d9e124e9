//! What is evaluated: a Burn run or a model file, through one interface.

use crate::data::Batch;

/// Answers about the pictures of one batch.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// `[n, height, width]`, flat: the attribution maps, in `[0, 1]`.
    pub masks: Vec<f32>,
    /// `[n, classes]`, flat.
    pub logits: Vec<f32>,
}

/// Something that explains pictures.
pub trait Subject {
    /// Class names in the order of the logits.
    fn classes(&self) -> &[String];

    /// Maps and logits of normalised pictures.
    fn explain(&mut self, batch: &Batch) -> anyhow::Result<Answers>;

    /// Logits `[n, classes]` of the predictor alone, for pictures that are masked already.
    fn predict(&mut self, masked: &Batch) -> anyhow::Result<Vec<f32>>;
}
