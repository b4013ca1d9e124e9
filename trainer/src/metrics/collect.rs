//! What is gathered while the pictures of an evaluation go by.

use comet_edge::image::Mask;

use super::MetricError;
use super::classification::Classification;
use super::coverage::Coverage;
use super::localisation::Localisation;
use super::result::{Evaluation, FidelityScores, Sample};
use super::tally::{Mean, Share};
use crate::data::Picture;

/// Everything counted so far.
pub(super) struct Collected {
    /// Right classes on noisy pictures.
    pub(super) noisy: Share,
    /// Right classes without the most important pixels, in the order of `fidelity::LEVELS`.
    pub(super) fidelity: [Share; 3],
    classification: Classification,
    localisation: Localisation,
    coverage: Coverage,
    area: Mean,
    true_area: Mean,
    n: usize,
    with_mask: usize,
    invalid: usize,
    /// Rising indices of the pictures to keep.
    wanted: Vec<usize>,
    samples: Vec<Sample>,
}

impl Collected {
    /// Nothing yet; `wanted` are the rising indices of the pictures whose answers are to be kept.
    pub(super) fn new(classes: usize, wanted: Vec<usize>) -> Self {
        Self {
            noisy: Share::default(),
            fidelity: [Share::default(); 3],
            classification: Classification::new(classes),
            localisation: Localisation::default(),
            coverage: Coverage::default(),
            area: Mean::default(),
            true_area: Mean::default(),
            n: 0,
            with_mask: 0,
            invalid: 0,
            wanted,
            samples: Vec::new(),
        }
    }

    /// Adds a picture: its map (0 everywhere if not valid) and whether that was valid; its logits and the
    /// class that they name, if the answer is valid.
    pub(super) fn add(
        &mut self,
        index: usize,
        picture: &Picture,
        (map, valid): (&[f32], bool),
        (logits, predicted): (&[f32], Option<usize>),
    ) -> Result<(), MetricError> {
        let area = valid.then(|| mean(map.iter().copied().map(f64::from)));
        self.n += 1;
        self.invalid += usize::from(predicted.is_none());
        self.classification.add(picture.class, predicted, area)?;
        if let Some(area) = area {
            self.area.add(area);
        }
        if let Some(truth) = &picture.mask {
            self.localisation.add(map, truth)?;
            self.coverage.add(map, truth)?;
            self.with_mask += 1;
            self.true_area.add(mean(truth.pixels().map(|pixel| f64::from(pixel.0[0] >= 128))));
        }
        if self.wanted.binary_search(&index).is_ok() {
            let (width, height) = picture.image.dimensions();
            let mask = Mask::new(width as usize, height as usize, map.to_vec());
            self.samples.extend(mask.map(|mask| Sample {
                picture: index,
                mask,
                logits: logits.to_vec(),
                label: picture.class,
                predicted,
            }));
        }
        Ok(())
    }

    /// The measures; `classes` are the names.
    pub(super) fn finish(self, classes: Vec<String>) -> Evaluation {
        let fidelity = match self.fidelity.map(Share::percent) {
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
            area: self.area.percent().unwrap_or(0.0),
            true_area: self.true_area.percent(),
            invalid: self.invalid,
            per_class: self.classification.rows(&classes),
            confusion: self.classification.confusion().to_vec(),
            classes,
            with_mask: Some(self.with_mask),
            curve: self.localisation.curve(),
            samples: self.samples,
        }
    }
}

/// Mean of some values; 0 without any.
fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, n) = values.fold((0.0, 0u64), |(sum, n), value| (sum + value, n + 1));
    sum / n.max(1) as f64
}
