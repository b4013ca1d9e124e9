//! A model file, measured on the engine that it will be deployed on.

use comet_engine::model::{ModelError, ModelFile};
use comet_engine::run::{PredictorSession, Session};

use super::error::MetricsError;
use super::model_under_test::{ModelUnderTest, Predictions};
use crate::data::Batch;

/// A model file in the engine of comet-edge.
pub struct EngineModel {
    session: Session,
    predictor: PredictorSession,
    classes: Vec<String>,
}

impl EngineModel {
    /// Prepares the whole model, and its predictor alone.
    pub fn new(model: &ModelFile) -> Result<Self, ModelError> {
        Ok(Self {
            session: Session::new(model)?,
            predictor: PredictorSession::new(model)?,
            classes: model.manifest().classes.clone(),
        })
    }
}

impl ModelUnderTest for EngineModel {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn explain(&mut self, batch: &Batch) -> Result<Predictions, MetricsError> {
        let mut predictions = Predictions::default();
        for image in batch.pixels.chunks(values_per_image(batch)) {
            let explanation = self.session.run(image)?;
            predictions.masks.extend_from_slice(explanation.mask.values());
            predictions.logits.extend_from_slice(&explanation.logits);
        }
        Ok(predictions)
    }

    fn predict(&mut self, masked: &Batch) -> Result<Vec<f32>, MetricsError> {
        let mut logits = Vec::new();
        for image in masked.pixels.chunks(values_per_image(masked)) {
            logits.extend(self.predictor.run(image)?);
        }
        Ok(logits)
    }
}

/// At least 1: a batch can be cut by it.
fn values_per_image(batch: &Batch) -> usize {
    (batch.pixels.len() / batch.len().max(1)).max(1)
}
