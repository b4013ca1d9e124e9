//! Averages over time: a hand-held camera shakes, and a class that flickers is of no use.

use comet_engine::image::Mask;
use comet_engine::prediction::Explanation;

/// Exponentially weighted averages of class probabilities and attribution map.
#[derive(Clone, Debug)]
pub(super) struct Smoother {
    weight: f32,
    last: Option<(Vec<f32>, Mask)>,
}

impl Smoother {
    /// `weight` is that of the newest frame, in `(0, 1]`.
    pub(super) fn new(weight: f32) -> Self {
        Self { weight: weight.clamp(f32::MIN_POSITIVE, 1.0), last: None }
    }

    /// The averages, with `explanation` included. The logits are the logarithms of the averaged probabilities, so that
    /// their softmax gives these back.
    ///
    /// An invalid explanation is returned as it is and resets the average, which must not hide it.
    pub(super) fn add(&mut self, explanation: &Explanation) -> Explanation {
        if !explanation.is_valid() {
            self.last = None;
            return explanation.clone();
        }
        let probabilities = explanation.probabilities();
        let mask = &explanation.mask;
        let (probabilities, mask) = match self.last.take() {
            Some((before, map)) if (map.width(), map.height()) == (mask.width(), mask.height()) => {
                let values = self.mix(map.values(), mask.values());
                let mixed = Mask::new(mask.width(), mask.height(), values);
                (self.mix(&before, &probabilities), mixed.unwrap_or_else(|| mask.clone()))
            }
            _ => (probabilities, mask.clone()),
        };
        let logits = probabilities.iter().map(|p| p.max(f32::MIN_POSITIVE).ln()).collect();
        self.last = Some((probabilities, mask.clone()));
        // The probabilities that were averaged have been at the model's temperature already.
        Explanation { mask, logits, temperature: 1.0 }
    }

    fn mix(&self, before: &[f32], now: &[f32]) -> Vec<f32> {
        before.iter().zip(now).map(|(before, now)| before + self.weight * (now - before)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation(map: f32, logits: [f32; 2]) -> Explanation {
        Explanation { mask: Mask::new(1, 1, vec![map]).unwrap(), logits: logits.to_vec(), temperature: 1.0 }
    }

    #[test]
    fn averages_move_towards_the_newest_frame() {
        let mut smoother = Smoother::new(0.25);
        let first = smoother.add(&explanation(0.0, [0.0, 0.0]));
        assert_eq!(first.probabilities(), [0.5, 0.5]);
        let second = smoother.add(&explanation(1.0, [20.0, -20.0]));
        assert_eq!(second.mask.values(), [0.25]);
        assert!((second.probabilities()[0] - 0.625).abs() < 1e-6);
    }

    /// Odds of 9 to 1 are 3 to 1 at T = 2.
    #[test]
    fn probabilities_are_averaged_at_the_models_temperature_which_is_applied_once() {
        let mut smoother = Smoother::new(0.5);
        let warm = |logits| Explanation { temperature: 2.0, ..explanation(0.5, logits) };
        let first = smoother.add(&warm([9f32.ln(), 0.0]));
        assert!((first.probabilities()[0] - 0.75).abs() < 1e-6);
        let second = smoother.add(&warm([0.0, 9f32.ln()]));
        assert!((second.probabilities()[0] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn an_invalid_explanation_is_not_hidden_and_resets_the_average() {
        let mut smoother = Smoother::new(0.1);
        smoother.add(&explanation(0.0, [0.0, 0.0]));
        assert!(!smoother.add(&explanation(f32::NAN, [0.0, 0.0])).is_valid());
        assert_eq!(smoother.add(&explanation(1.0, [0.0, 0.0])).mask.values(), [1.0]);
    }
}
