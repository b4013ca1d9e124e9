//! The gate: a quantized file must explain as its float parent does, on the engine that it is deployed on.

use comet_engine::explain::{CompareError, compare_sessions, left_out};
use comet_engine::model::{Fidelity, ModelError, ModelFile};
use comet_engine::prediction::largest;
use comet_engine::run::{DetectorSession, Session};

use crate::data::Sample;

/// Runs both files on labelled images of the model's size and measures how far apart their predictions are.
pub fn measure(
    reference: &ModelFile,
    other: &ModelFile,
    samples: &[Sample],
) -> Result<Fidelity, CompareError> {
    let mut float = Session::new(reference)?;
    let mut integer = Session::new(other)?;
    let labelled = samples.iter().map(|sample| (sample.image.clone(), Some(sample.class)));
    compare_sessions(&mut float, &mut integer, labelled)
}

/// Share of the images, in percent, of which the detectors of both files name the same class when they look at what
/// the map of their own file leaves out; `None` unless both files carry a detector.
pub fn detector_agreement(
    reference: &ModelFile,
    other: &ModelFile,
    samples: &[Sample],
) -> Result<Option<f64>, ModelError> {
    let pair = (WithDetector::new(reference)?, WithDetector::new(other)?);
    let (Some(mut float), Some(mut integer)) = pair else {
        return Ok(None);
    };
    let mut equal = 0;
    for sample in samples {
        equal += usize::from(float.class_left_out(sample)? == integer.class_left_out(sample)?);
    }
    Ok(Some(100.0 * equal as f64 / samples.len().max(1) as f64))
}

/// A model and its detector.
struct WithDetector {
    session: Session,
    detector: DetectorSession,
}

impl WithDetector {
    fn new(model: &ModelFile) -> Result<Option<Self>, ModelError> {
        let Some(detector) = DetectorSession::new(model)? else { return Ok(None) };
        Ok(Some(Self { session: Session::new(model)?, detector }))
    }

    /// The class that the detector names without what the map shows.
    fn class_left_out(&mut self, sample: &Sample) -> Result<usize, ModelError> {
        let tensor = self.session.preprocess().tensor(&sample.image);
        let mask = self.session.run(&tensor)?.mask;
        Ok(largest(&self.detector.run(&left_out(&tensor, &mask))?))
    }
}
