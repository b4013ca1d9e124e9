//! What a model says about one image.

use crate::image::Mask;

/// A model's prediction about one image, with the map that it rests on.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The attribution map `S(x)`, of the model's input size: the predictor saw `S(x) * x` and nothing else.
    pub mask: Mask,
    /// One logit a class.
    pub logits: Vec<f32>,
    /// What the logits are divided by to give probabilities: the model file's temperature, or 1. It changes no class.
    pub temperature: f32,
}

impl Explanation {
    /// Index of the largest logit; the first one if several are equal.
    pub fn top(&self) -> usize {
        largest(&self.logits)
    }

    /// Class probabilities, `softmax(logits / temperature)`.
    pub fn probabilities(&self) -> Vec<f32> {
        softmax_at(&self.logits, self.temperature)
    }

    /// Whether map and logits are numbers, and the map stays in `[0, 1]`.
    pub fn is_valid(&self) -> bool {
        self.logits.iter().all(|logit| logit.is_finite())
            && self.mask.values().iter().all(|value| (0.0..=1.0).contains(value))
    }
}

/// Index of the largest value; the first one if several are equal.
pub fn largest(values: &[f32]) -> usize {
    let mut best = 0;
    for (index, value) in values.iter().enumerate() {
        if values.get(best).is_none_or(|top| value > top) {
            best = index;
        }
    }
    best
}

/// Softmax, shifted by the maximum so that it cannot overflow.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    softmax_at(logits, 1.0)
}

/// `softmax(logits / temperature)` (Guo et al., 2017): above 1 less certain, below 1 more certain, of the same class.
/// `temperature` is positive; 1 gives the bits of [`softmax`].
pub fn softmax_at(logits: &[f32], temperature: f32) -> Vec<f32> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| ((logit - top) / temperature).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_survives_large_logits() {
        let p = softmax(&[1000.0, 999.0, -1000.0]);
        assert!((p.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert!((p[0] - 0.731_058_6).abs() < 1e-5);
    }

    #[test]
    fn a_map_with_a_nan_is_not_valid() {
        let mask = Mask::new(2, 1, vec![0.5, f32::NAN]).unwrap();
        assert!(!Explanation { mask, logits: vec![1.0], temperature: 1.0 }.is_valid());
    }

    /// ln 9 = 2 ln 3: odds of 9 to 1 become 3 to 1 at T = 2, and 81 to 1 at T = 1/2.
    #[test]
    fn a_temperature_moves_the_odds_and_not_the_class() {
        let logits = [9f32.ln(), 0.0];
        for (temperature, expected) in [(1.0, 0.9), (2.0, 0.75), (0.5, 81.0 / 82.0)] {
            let p = softmax_at(&logits, temperature);
            assert!(
                (p[0] - expected).abs() < 1e-6 && (p[0] + p[1] - 1.0).abs() < 1e-6,
                "{temperature}: {p:?}"
            );
            let mask = Mask::new(1, 1, vec![0.5]).unwrap();
            let explanation = Explanation { mask, logits: logits.to_vec(), temperature };
            assert_eq!((explanation.top(), explanation.probabilities()), (0, p));
        }
    }

    #[test]
    fn a_temperature_of_1_changes_no_bit() {
        let logits = [0.1, -7.3, 12.345_678, 1e-30, -1e30, 3.0e38];
        for logits in [&logits[..5], &logits[..]] {
            let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let powers: Vec<f32> = logits.iter().map(|logit| (logit - top).exp()).collect();
            let sum: f32 = powers.iter().sum();
            for (found, power) in softmax_at(logits, 1.0).iter().zip(&powers) {
                assert_eq!(found.to_bits(), (power / sum).to_bits());
            }
        }
    }
}
