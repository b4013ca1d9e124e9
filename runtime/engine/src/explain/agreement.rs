//! How close two maps, and two models, are.

use crate::image::Mask;
use crate::model::Fidelity;

/// Distance between two maps of the same image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaskAgreement {
    /// Mean absolute difference.
    pub mae: f64,
    /// Intersection over union of the regions with a value of at least 0.5; 1 if both are empty.
    pub iou: f64,
    /// Pearson correlation; for constant maps 1 if the maps are equal to 1e-6, else 0.
    pub pearson: f64,
}

impl MaskAgreement {
    /// Compares two maps; `None` if their sizes differ.
    pub fn between(reference: &Mask, other: &Mask) -> Option<Self> {
        let sizes = (reference.width(), reference.height()) == (other.width(), other.height());
        let n = reference.values().len();
        if !sizes || n == 0 {
            return None;
        }
        let pairs = || {
            let pairs = reference.values().iter().zip(other.values());
            pairs.map(|(&a, &b)| (f64::from(a), f64::from(b)))
        };
        let n = n as f64;
        let mae = pairs().map(|(a, b)| (a - b).abs()).sum::<f64>() / n;
        let (mean_a, mean_b) = pairs().fold((0.0, 0.0), |(x, y), (a, b)| (x + a / n, y + b / n));
        let (mut cross, mut square_a, mut square_b) = (0.0, 0.0, 0.0);
        let (mut both, mut either) = (0u64, 0u64);
        for (a, b) in pairs() {
            cross += (a - mean_a) * (b - mean_b);
            square_a += (a - mean_a).powi(2);
            square_b += (b - mean_b).powi(2);
            both += u64::from(a >= 0.5 && b >= 0.5);
            either += u64::from(a >= 0.5 || b >= 0.5);
        }
        let spread = (square_a * square_b).sqrt();
        let pearson = if spread > 1e-12 * n { cross / spread } else { f64::from(mae < 1e-6) };
        let iou = if either == 0 { 1.0 } else { both as f64 / either as f64 };
        Some(Self { mae, iou, pearson })
    }
}

/// Collects agreements over images into a [`Fidelity`].
#[derive(Clone, Debug, Default)]
pub struct AgreementSummary {
    masks: Vec<MaskAgreement>,
    same_class: usize,
    labelled: usize,
    reference_right: usize,
    other_right: usize,
}

impl AgreementSummary {
    /// Adds one image: the maps' agreement, both classes, and the true class if it is known.
    pub fn add(&mut self, mask: MaskAgreement, reference: usize, other: usize, truth: Option<usize>) {
        self.masks.push(mask);
        self.same_class += usize::from(reference == other);
        if let Some(truth) = truth {
            self.labelled += 1;
            self.reference_right += usize::from(reference == truth);
            self.other_right += usize::from(other == truth);
        }
    }

    /// The summary; `None` if no image was added.
    pub fn finish(&self) -> Option<Fidelity> {
        let n = self.masks.len();
        let mean = |value: fn(&MaskAgreement) -> f64| self.masks.iter().map(value).sum::<f64>() / n as f64;
        let mut ious: Vec<f64> = self.masks.iter().map(|mask| mask.iou).collect();
        ious.sort_by(f64::total_cmp);
        let p5 = *ious.get(((n.checked_sub(1)?) as f64 * 0.05).floor() as usize)?;
        let points = 100.0 * (self.reference_right as f64 - self.other_right as f64);
        Some(Fidelity {
            n,
            mask_mae: mean(|mask| mask.mae),
            mask_iou_mean: mean(|mask| mask.iou),
            mask_iou_p5: p5,
            mask_pearson: mean(|mask| mask.pearson),
            agreement: 100.0 * self.same_class as f64 / n as f64,
            accuracy_drop: (self.labelled > 0).then(|| points / self.labelled as f64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_maps_agree_and_a_shifted_one_does_not() {
        let a = Mask::new(4, 1, vec![0.1, 0.9, 0.9, 0.1]).unwrap();
        let b = Mask::new(4, 1, vec![0.1, 0.1, 0.9, 0.9]).unwrap();
        let same = MaskAgreement::between(&a, &a).unwrap();
        assert_eq!((same.mae, same.iou), (0.0, 1.0));
        assert!((same.pearson - 1.0).abs() < 1e-12);
        let shifted = MaskAgreement::between(&a, &b).unwrap();
        assert!((shifted.mae - 0.4).abs() < 1e-6 && (shifted.iou - 1.0 / 3.0).abs() < 1e-12);
        assert!(shifted.pearson.abs() < 1e-6);
    }

    /// The values of NumPy: `abs(a - b).mean()` and `corrcoef(a, b)[0, 1]`.
    #[test]
    fn the_numbers_are_those_of_an_independent_implementation() {
        let a = Mask::new(3, 2, vec![0.0, 0.25, 0.5, 0.75, 1.0, 0.1]).unwrap();
        let b = Mask::new(3, 2, vec![0.2, 0.5, 0.4, 0.9, 0.6, 0.3]).unwrap();
        for (a, b) in [(&a, &b), (&b, &a)] {
            let between = MaskAgreement::between(a, b).unwrap();
            assert!((between.mae - 0.216_666_659_961).abs() < 1e-12, "{}", between.mae);
            assert!((between.pearson - 0.772_069_634_670).abs() < 1e-12, "{}", between.pearson);
            // 0.5 belongs to the region: {2, 3, 4} and {1, 3, 4}.
            assert_eq!(between.iou, 0.5);
        }
    }

    #[test]
    fn maps_without_any_variation_correlate_only_with_themselves() {
        let even = |value| Mask::new(2, 1, vec![value; 2]).unwrap();
        let pearson = |a, b| MaskAgreement::between(&even(a), &even(b)).unwrap().pearson;
        assert_eq!((pearson(0.25, 0.25), pearson(0.25, 0.75)), (1.0, 0.0));
        let empty = MaskAgreement::between(&even(0.1), &even(0.2)).unwrap();
        assert_eq!(empty.iou, 1.0, "two empty regions are the same region");
    }

    #[test]
    fn maps_of_different_sizes_cannot_be_compared() {
        let a = Mask::new(2, 1, vec![0.0; 2]).unwrap();
        let b = Mask::new(1, 2, vec![0.0; 2]).unwrap();
        assert!(MaskAgreement::between(&a, &b).is_none());
    }

    #[test]
    fn the_summary_counts_labels_and_takes_the_low_tail() {
        let mut summary = AgreementSummary::default();
        for iou in [0.2, 0.9, 1.0] {
            let mask = MaskAgreement { mae: 0.0, iou, pearson: 1.0 };
            summary.add(mask, 1, usize::from(iou > 0.5), Some(1));
        }
        let fidelity = summary.finish().unwrap();
        assert_eq!(fidelity.mask_iou_p5, 0.2);
        assert!((fidelity.agreement - 200.0 / 3.0).abs() < 1e-9);
        assert!((fidelity.accuracy_drop.unwrap() - 100.0 / 3.0).abs() < 1e-9);
        assert!(AgreementSummary::default().finish().is_none());
    }
}
