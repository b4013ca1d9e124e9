//! The gate: a quantized file must explain as its float parent does, on the engine that will run it.

use comet_edge::engine::{DetectorSession, Explanation, Session};
use comet_edge::explain::{CompareError, compare_sessions, left_out};
use comet_edge::model::{Fidelity, ModelError, ModelFile};

use crate::data::Picture;

/// Runs both files on labelled pictures of the model's size and measures how far apart the answers are.
pub fn measure(
    reference: &ModelFile,
    other: &ModelFile,
    pictures: &[Picture],
) -> Result<Fidelity, CompareError> {
    let mut float = Session::new(reference)?;
    let mut integer = Session::new(other)?;
    let labelled = pictures.iter().map(|picture| (picture.image.clone(), Some(picture.class)));
    compare_sessions(&mut float, &mut integer, labelled)
}

/// Share of the pictures, in percent, of which the detectors of both files name the same class when they look at what
/// the map of their own file leaves out; `None` unless both files carry a detector.
pub fn detector_agreement(
    reference: &ModelFile,
    other: &ModelFile,
    pictures: &[Picture],
) -> Result<Option<f64>, ModelError> {
    let (Some(mut float), Some(mut integer)) = (Guided::new(reference)?, Guided::new(other)?) else {
        return Ok(None);
    };
    let mut equal = 0;
    for picture in pictures {
        equal += usize::from(float.class_left_out(picture)? == integer.class_left_out(picture)?);
    }
    Ok(Some(100.0 * equal as f64 / pictures.len().max(1) as f64))
}

/// A model and its detector.
struct Guided {
    session: Session,
    detector: DetectorSession,
}

impl Guided {
    fn new(model: &ModelFile) -> Result<Option<Self>, ModelError> {
        let Some(detector) = DetectorSession::new(model)? else { return Ok(None) };
        Ok(Some(Self { session: Session::new(model)?, detector }))
    }

    /// The class that the detector names without what the map shows.
    fn class_left_out(&mut self, picture: &Picture) -> Result<usize, ModelError> {
        let tensor = self.session.preprocess().tensor(&picture.image);
        let answer = self.session.run(&tensor)?;
        let logits = self.detector.run(&left_out(&tensor, &answer.mask))?;
        Ok(Explanation { logits, ..answer }.top())
    }
}
