//! A model file as a subject: measured on the engine that it will be deployed on.

use comet_edge::engine::{PredictorSession, Session};
use comet_edge::model::{ModelError, ModelFile};

use super::subject::{Answers, Subject};
use crate::data::Batch;

/// A model file in the engine of comet-edge.
pub struct EngineSubject {
    session: Session,
    predictor: PredictorSession,
    classes: Vec<String>,
}

impl EngineSubject {
    /// Prepares the whole model, and its predictor alone.
    pub fn new(model: &ModelFile) -> Result<Self, ModelError> {
        Ok(Self {
            session: Session::new(model)?,
            predictor: PredictorSession::new(model)?,
            classes: model.manifest().classes.clone(),
        })
    }
}

impl Subject for EngineSubject {
    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn explain(&mut self, batch: &Batch) -> anyhow::Result<Answers> {
        let mut answers = Answers::default();
        for picture in batch.pixels.chunks(batch.pixels.len() / batch.len().max(1)) {
            let explanation = self.session.run(picture)?;
            answers.masks.extend_from_slice(explanation.mask.values());
            answers.logits.extend_from_slice(&explanation.logits);
        }
        Ok(answers)
    }

    fn predict(&mut self, masked: &Batch) -> anyhow::Result<Vec<f32>> {
        let mut logits = Vec::new();
        for picture in masked.pixels.chunks(masked.pixels.len() / masked.len().max(1)) {
            logits.extend(self.predictor.run(picture)?);
        }
        Ok(logits)
    }
}
