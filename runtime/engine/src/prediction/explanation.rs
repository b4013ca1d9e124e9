//! What a model says about one image.

use crate::image::Mask;

/// A model's prediction about one image, with the map that it rests on.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The attribution map `S(x)`, of the model's input size: the predictor saw `S(x) * x` and nothing else.
    pub mask: Mask,
    /// One logit a class.
    pub logits: Vec<f32>,
}

impl Explanation {
    /// Index of the largest logit; the first one if several are equal.
    pub fn top(&self) -> usize {
        largest(&self.logits)
    }

    /// Class probabilities.
    pub fn probabilities(&self) -> Vec<f32> {
        softmax(&self.logits)
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
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - top).exp()).collect();
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
        assert!(!Explanation { mask, logits: vec![1.0] }.is_valid());
    }
}
