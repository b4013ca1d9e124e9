//! Compares a model with stored float predictions, or with another model: the loop of the trainer's gate
//! and of `verify`.

use image::RgbImage;

use super::agreement::{AgreementSummary, MaskAgreement};
use super::reference::{ReferenceError, ReferenceSet};
use crate::model::{Fidelity, ModelError};
use crate::prediction::Explanation;
use crate::run::Session;

/// Why a comparison gave no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The stored predictions cannot be read.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// A model failed on an image.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Two maps of one image have different sizes.
    #[error("the maps have different sizes: {reference:?} and {other:?} pixels")]
    Size {
        /// Width and height of the reference's map.
        reference: (usize, usize),
        /// Width and height of the other map.
        other: (usize, usize),
    },
    /// There was nothing to compare.
    #[error("there are no images to compare on")]
    NoImages,
}

/// Compares `session` with the float predictions of `reference`.
///
/// Whether the set belongs to the model is another question: [`ReferenceSet::check_model`].
///
/// # Errors
/// An image or map cannot be read, or the model fails.
pub fn compare(session: &mut Session, reference: &ReferenceSet) -> Result<Fidelity, CompareError> {
    let mut summary = AgreementSummary::default();
    for case in reference.cases() {
        let case = case?;
        let prediction = session.explain(&case.image)?;
        add(&mut summary, &case.prediction, &prediction, Some(case.truth))?;
    }
    summary.finish().ok_or(CompareError::NoImages)
}

/// Compares `other` with `reference` on images with their true classes, where those are known.
///
/// # Errors
/// There are no images, the maps differ in size, or a model fails.
pub fn compare_sessions(
    reference: &mut Session,
    other: &mut Session,
    images: impl IntoIterator<Item = (RgbImage, Option<usize>)>,
) -> Result<Fidelity, CompareError> {
    let mut summary = AgreementSummary::default();
    for (image, truth) in images {
        let expected = reference.explain(&image)?;
        let prediction = other.explain(&image)?;
        add(&mut summary, &expected, &prediction, truth)?;
    }
    summary.finish().ok_or(CompareError::NoImages)
}

fn add(
    summary: &mut AgreementSummary,
    reference: &Explanation,
    other: &Explanation,
    truth: Option<usize>,
) -> Result<(), CompareError> {
    let size = |prediction: &Explanation| (prediction.mask.width(), prediction.mask.height());
    let agreement = MaskAgreement::between(&reference.mask, &other.mask);
    let agreement =
        agreement.ok_or_else(|| CompareError::Size { reference: size(reference), other: size(other) })?;
    summary.add(agreement, reference.top(), other.top(), truth);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Mask;

    fn prediction(width: usize, logits: [f32; 2]) -> Explanation {
        let mask = Mask::new(width, 1, vec![0.25; width]).unwrap();
        Explanation { mask, logits: logits.to_vec(), temperature: 1.0 }
    }

    #[test]
    fn classes_and_maps_are_counted_and_other_sizes_refused() {
        let mut summary = AgreementSummary::default();
        let reference = prediction(4, [1.0, 0.0]);
        add(&mut summary, &reference, &reference, Some(0)).unwrap();
        add(&mut summary, &reference, &prediction(4, [0.0, 1.0]), None).unwrap();
        let fidelity = summary.finish().unwrap();
        assert_eq!((fidelity.n, fidelity.agreement, fidelity.accuracy_drop), (2, 50.0, Some(0.0)));
        let error = add(&mut summary, &reference, &prediction(5, [1.0, 0.0]), None).unwrap_err();
        assert!(error.to_string().contains("(5, 1)"));
    }
}
