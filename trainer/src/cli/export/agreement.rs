//! The float file against the run that it was written from: the same weights must give the same predictions.

use anyhow::{Context, ensure};
use comet_engine::model::ModelFile;

use crate::data::{Batch, Sample};
use crate::metrics::{EngineModel, ModelUnderTest, Predictions};
use crate::train::{BurnModel, TrainedRun};

/// Images that both are run on.
pub(super) const IMAGES: usize = 8;
/// Largest difference of a value, as a share of the largest value of its kind (at least 1).
const TOLERANCE: f64 = 1e-3;

/// Predictions of the run's own networks.
///
/// Asked for before the networks are recorded, which leaves their BatchNorm statistics on another device.
pub(super) fn burn_predictions(run: &TrainedRun, samples: &[Sample]) -> anyhow::Result<Predictions> {
    let mut model = BurnModel::of(run);
    model.explain(&Batch::new(samples, &run.info.preprocess)).context("running the networks with Burn")
}

/// An error if `file` gives other predictions for `samples` than the run did.
pub(super) fn check_agreement(
    file: &ModelFile,
    samples: &[Sample],
    expected: &Predictions,
) -> anyhow::Result<()> {
    let mut model = EngineModel::new(file)?;
    let found = model.explain(&Batch::new(samples, &file.manifest().preprocess))?;
    for (what, found, expected) in
        [("map", &found.masks, &expected.masks), ("logits", &found.logits, &expected.logits)]
    {
        let difference = relative_difference(found, expected);
        // Not the other way round: a difference that is not a number must fail.
        ensure!(
            difference <= TOLERANCE,
            "the written model does not predict what the run does: the {what} differ by up to {difference:.2e} of the largest value on {} images, {TOLERANCE:.0e} is allowed. Nothing was written; this is a bug in this program",
            samples.len()
        );
    }
    Ok(())
}

/// Largest absolute difference over the largest expected value or 1; not a number if a value is not, infinite if the
/// numbers of values differ.
fn relative_difference(found: &[f32], expected: &[f32]) -> f64 {
    if found.len() != expected.len() {
        return f64::INFINITY;
    }
    let largest = expected.iter().fold(1.0, |largest: f64, &value| largest.max(f64::from(value).abs()));
    let pairs = found.iter().zip(expected);
    let differences = pairs.map(|(&found, &expected)| (f64::from(found) - f64::from(expected)).abs());
    differences.fold(0.0, |most, one| if one > most || one.is_nan() { one } else { most }) / largest
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use comet_engine::model::Precision;
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::export::{fixture::manifest, float_graph, package};
    use crate::model::{Comet, CometConfig, Head, Preset};

    fn networks(seed: u64) -> Comet {
        let device = Device::flex();
        device.seed(seed);
        CometConfig { preset: Preset::Small, width: 8, classes: 4, momentum: 0.1, head: Head::LrAspp }
            .init(&device)
    }

    /// What networks predict, and the file that is written from them.
    fn exported(comet: Comet, samples: &[Sample]) -> (Predictions, ModelFile) {
        let manifest = manifest(4, Precision::Float32);
        let (masks, logits) =
            comet.forward(Batch::new(samples, &manifest.preprocess).images(&Device::flex()));
        let masks = masks.into_data().try_to_vec().unwrap();
        let logits = logits.into_data().try_to_vec().unwrap();
        let bytes = package(float_graph(comet, None, 64, 64).unwrap(), &manifest).unwrap();
        (Predictions { masks, logits }, ModelFile::parse("test", &bytes, true).unwrap())
    }

    #[test]
    fn a_file_with_other_weights_than_the_run_is_refused() {
        let image = RgbImage::from_fn(64, 64, |x, y| Rgb([x as u8 * 4, y as u8 * 4, (x ^ y) as u8 * 3]));
        let samples = [Sample { image, mask: None, class: 0 }];
        let (expected, file) = exported(networks(1), &samples);
        check_agreement(&file, &samples, &expected).unwrap();
        let (_, other) = exported(networks(2), &samples);
        let error = check_agreement(&other, &samples, &expected).unwrap_err().to_string();
        assert!(error.contains("does not predict what the run does"), "{error}");
        let not_a_number = Predictions { logits: vec![f32::NAN; 4], ..expected };
        assert!(check_agreement(&file, &samples, &not_a_number).is_err());
    }

    #[test]
    fn differences_are_relative_to_the_largest_value_and_nothing_hides_them() {
        assert_eq!(relative_difference(&[1.0, -3.0], &[1.0, -4.0]), 0.25);
        assert_eq!(relative_difference(&[0.25, 0.5], &[0.0, 0.5]), 0.25, "small values count absolutely");
        assert_eq!(relative_difference(&[], &[1.0]), f64::INFINITY);
        assert!(relative_difference(&[f32::NAN, 1.0], &[0.0, 1.0]).is_nan());
        assert!(relative_difference(&[0.0, f32::NAN], &[9.0, 1.0]).is_nan());
        assert!(relative_difference(&[f32::NAN, 0.0], &[0.0, 5.0]).is_nan());
    }
}
