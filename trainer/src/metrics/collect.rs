//! What is gathered while the images of an evaluation go by.

use comet_engine::image::Mask;

use super::audit::AuditCounts;
use super::calibration::LabelledLogits;
use super::classification::Classification;
use super::coverage::Coverage;
use super::error::MetricsError;
use super::localisation::Localisation;
use super::paired::true_pixels;
use super::result::{Evaluation, Example, FidelityScores};
use super::tally::{Mean, Ratio};
use crate::data::Sample;

/// What is kept of single images, by rising indices.
#[derive(Clone, Debug, Default)]
pub(super) struct Kept {
    /// Their predictions are examples.
    pub(super) examples: Vec<usize>,
    /// Their logits show how far probabilities can be trusted.
    pub(super) logits: Vec<usize>,
}

/// Everything counted so far.
pub(super) struct Collected {
    /// Right classes on noisy images.
    pub(super) noisy: Ratio,
    /// Right classes without the most important pixels, in the order of `fidelity::LEVELS`.
    pub(super) fidelity: [Ratio; 3],
    /// Right classes on other versions of the masked image.
    pub(super) audit: AuditCounts,
    classification: Classification,
    localisation: Localisation,
    coverage: Coverage,
    area: Mean,
    true_area: Mean,
    n: usize,
    with_mask: usize,
    invalid: usize,
    kept: Kept,
    logits: LabelledLogits,
    examples: Vec<Example>,
}

impl Collected {
    /// Nothing yet, of a model with so many classes.
    pub(super) fn new(classes: usize, kept: Kept) -> Self {
        Self {
            noisy: Ratio::default(),
            fidelity: [Ratio::default(); 3],
            audit: AuditCounts::default(),
            classification: Classification::new(classes),
            localisation: Localisation::default(),
            coverage: Coverage::default(),
            area: Mean::default(),
            true_area: Mean::default(),
            n: 0,
            with_mask: 0,
            invalid: 0,
            kept,
            logits: LabelledLogits::new(classes),
            examples: Vec::new(),
        }
    }

    /// Adds an image: its map (0 everywhere if not valid) and whether that was valid; its logits and the
    /// class that they name, if the prediction is valid.
    pub(super) fn add(
        &mut self,
        index: usize,
        sample: &Sample,
        (map, valid): (&[f32], bool),
        (logits, predicted): (&[f32], Option<usize>),
    ) -> Result<(), MetricsError> {
        let area = valid.then(|| mean(map.iter().copied().map(f64::from)));
        self.n += 1;
        self.invalid += usize::from(predicted.is_none());
        self.classification.add(sample.class, predicted, area)?;
        if let Some(area) = area {
            self.area.add(area);
        }
        if let Some(truth) = &sample.mask {
            self.localisation.add(map, truth)?;
            self.coverage.add(map, truth)?;
            self.with_mask += 1;
            self.true_area.add(mean(true_pixels(truth).map(|inside| f64::from(u8::from(inside)))));
        }
        if predicted.is_some() && self.kept.logits.binary_search(&index).is_ok() {
            self.logits.add(logits, sample.class);
        }
        if self.kept.examples.binary_search(&index).is_ok() {
            let (width, height) = sample.image.dimensions();
            let mask = Mask::new(width as usize, height as usize, map.to_vec());
            self.examples.extend(mask.map(|mask| Example {
                image: index,
                mask,
                logits: logits.to_vec(),
                label: sample.class,
                predicted,
            }));
        }
        Ok(())
    }

    /// The measures; `classes` are the names.
    pub(super) fn finish(self, classes: Vec<String>) -> Evaluation {
        let fidelity = match self.fidelity.map(Ratio::percent) {
            [Some(top_5), Some(top_10), Some(top_20)] => Some(FidelityScores { top_5, top_10, top_20 }),
            _ => None,
        };
        Evaluation {
            split: String::new(),
            n: self.n,
            accuracy: self.classification.accuracy().unwrap_or(0.0),
            balanced_accuracy: self.classification.balanced_accuracy().unwrap_or(0.0),
            noisy_accuracy: self.noisy.percent(),
            pxap: self.localisation.pxap(),
            pxap_1000: self.localisation.pxap_1000(),
            auc_iou: self.coverage.auc_iou(),
            iou50: self.coverage.iou50(),
            fidelity,
            audit: self.audit.finish(),
            calibration: None,
            area: self.area.percent().unwrap_or(0.0),
            true_area: self.true_area.percent(),
            invalid: self.invalid,
            per_class: self.classification.rows(&classes),
            confusion: self.classification.confusion().to_vec(),
            classes,
            with_mask: Some(self.with_mask),
            curve: self.localisation.curve(),
            logits: self.logits,
            examples: self.examples,
        }
    }
}

/// Mean of some values; 0 without any.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0u64), |(sum, n), value| (sum + value, n + 1));
    sum / n.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_nothing_is_zero() {
        assert_eq!(mean(std::iter::empty()), 0.0);
        assert_eq!(mean([1.0, 4.0].into_iter()), 2.5);
    }
}
