//! The gate: a quantized file must explain as its float parent does, on the engine that will run it.

use comet_edge::engine::Session;
use comet_edge::explain::{CompareError, compare_sessions};
use comet_edge::model::{Fidelity, ModelFile};

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
