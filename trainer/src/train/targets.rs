//! Targets that are not one class alone: smoothed labels, and labels of two images that are mixed.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};
use rand::{Rng, RngExt};

/// How often a pair of numbers is drawn before a half is taken; the chance of that is below 1e-100 for `alpha` <= 1.
const DRAWS: usize = 1_000;

/// The distributions `[n, classes]` that a classifier shall give for the labels `[n]`: `1 - smoothing` of the label,
/// the rest spread over all classes (Szegedy et al., 2016).
pub(super) fn smoothed(labels: Tensor<1, Int>, classes: usize, smoothing: f64) -> Tensor<2> {
    let ([n], device) = (labels.dims(), labels.device());
    let columns = Tensor::<1, Int>::arange(0..classes as i64, &device).reshape([1, classes]);
    let rows = labels.reshape([n, 1]).expand::<2, _>([n, classes]);
    let is_label = columns.expand::<2, _>([n, classes]).equal(rows);
    is_label.float() * (1.0 - smoothing) + smoothing / classes.max(1) as f64
}

/// Mean cross-entropy, in nats, between logits `[n, classes]` and distributions of the same shape.
pub(super) fn soft_cross_entropy(logits: Tensor<2>, targets: Tensor<2>) -> Tensor<1> {
    (log_softmax(logits, 1) * targets).sum_dim(1).mean().neg()
}

/// Each row of a batch `[n, ...]`, mixed with the row at the same distance from the other end: `share` of itself.
///
/// Batches come in random order, so that the other row is a random one.
pub(super) fn mixed<const D: usize>(batch: Tensor<D>, share: f64) -> Tensor<D> {
    let others = batch.clone().flip([0]);
    batch * share + others * (1.0 - share)
}

/// The larger share of two images that are mixed: `max(s, 1 - s)` with `s` from the distribution Beta(alpha, alpha),
/// `alpha` above 0 and at most 1, by Joehnk's method (1964). Logarithms, because powers of 1 / alpha vanish.
pub(super) fn mixing_share(alpha: f64, rng: &mut impl Rng) -> f64 {
    // In (0, 1], so that the logarithm is finite.
    let mut log_power = || (1.0 - rng.random::<f64>()).ln() / alpha;
    for _ in 0..DRAWS {
        let (one, other) = (log_power(), log_power());
        let larger = one.max(other);
        let sum = (one - larger).exp() + (other - larger).exp();
        if larger + sum.ln() <= 0.0 {
            return 1.0 / sum;
        }
    }
    0.5
}

#[cfg(test)]
mod tests {
    use burn::nn::loss::CrossEntropyLossConfig;
    use burn::tensor::Device;

    use super::*;
    use crate::data::generator;

    fn labels(values: [i64; 2]) -> Tensor<1, Int> {
        Tensor::from_data(values, &Device::flex())
    }

    fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    fn assert_close(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
        }
    }

    #[test]
    fn a_smoothed_label_shares_with_all_classes() {
        let found = values(smoothed(labels([2, 0]), 4, 0.1));
        assert_close(&found, &[0.025, 0.025, 0.925, 0.025, 0.925, 0.025, 0.025, 0.025]);
    }

    #[test]
    fn the_loss_is_pytorchs() {
        // torch.nn.functional.cross_entropy(logits, [2, 0], label_smoothing=0.1), and with 0.
        let logits = || Tensor::<2>::from_floats([[1.0, -0.5, 2.0], [0.25, 0.0, -1.0]], &Device::flex());
        for (smoothing, expected) in [(0.1, 0.631_741_95), (0.0, 0.548_408_6)] {
            let loss = soft_cross_entropy(logits(), smoothed(labels([2, 0]), 3, smoothing));
            assert_close(&values(loss), &[expected]);
        }
        let plain = CrossEntropyLossConfig::new().init(&Device::flex()).forward(logits(), labels([2, 0]));
        assert_close(&values(plain), &[0.548_408_6]);
    }

    #[test]
    fn rows_are_mixed_with_those_from_the_other_end() {
        let batch = Tensor::<2>::from_floats([[1.0, 0.0], [2.0, 5.0], [3.0, -1.0]], &Device::flex());
        assert_close(&values(mixed(batch, 0.75)), &[1.5, -0.25, 2.0, 5.0, 2.5, -0.75]);
    }

    #[test]
    fn shares_have_the_spread_of_the_beta_distribution() {
        for alpha in [0.2, 0.4, 1.0] {
            let shares: Vec<f64> =
                (0..4_000).map(|index| mixing_share(alpha, &mut generator(7, "test", 0, index))).collect();
            assert!(shares.iter().all(|share| (0.5..=1.0).contains(share)));
            // The variance of Beta(a, a) is 1 / (4 (2 a + 1)), about 1/2.
            let spread = shares.iter().map(|share| (share - 0.5).powi(2)).sum::<f64>() / 4_000.0;
            let expected = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            assert!((spread - expected).abs() < 0.05 * expected, "{alpha}: {spread}, not {expected}");
        }
        let extreme = mixing_share(1e-6, &mut generator(7, "test", 0, 0));
        assert!((0.5..=1.0).contains(&extreme), "{extreme}");
    }
}
