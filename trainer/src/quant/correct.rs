//! Bias correction (Nagel et al., 2019): rounding the weights shifts a layer's mean output; the bias compensates for it.

use comet_onnx::TensorValues;

use super::weights::IntegerLayer;

/// The bias that compensates for `layer`'s rounded weights, given the mean of each input channel.
///
/// `weight` is `[out, in / groups, ...]`. Padding is taken as if it had the channel's mean: a small error at
/// the border, which is why the means are those of the inside.
pub(super) fn corrected_bias(
    weight: &TensorValues,
    bias: &[f32],
    layer: &IntegerLayer,
    input_means: &[f64],
    groups: usize,
) -> Vec<f32> {
    let outputs = weight.dims.first().copied().unwrap_or(0);
    let inputs = weight.dims.get(1).copied().unwrap_or(1).max(1);
    let taps: usize = weight.dims.iter().skip(2).product();
    let per_channel = inputs * taps;
    let outputs_per_group = (outputs / groups.max(1)).max(1);
    let correct = |channel: usize| {
        let first_input = channel / outputs_per_group * inputs;
        let rounded = layer.real(channel, per_channel);
        let pairs = weight.channel(channel).iter().zip(rounded).enumerate();
        let shift: f64 = pairs
            .map(|(index, (&real, rounded))| {
                let mean = input_means.get(first_input + index / taps.max(1)).copied().unwrap_or(0.0);
                (f64::from(rounded) - f64::from(real)) * mean
            })
            .sum();
        (f64::from(bias.get(channel).copied().unwrap_or(0.0)) - shift) as f32
    };
    (0..outputs).map(correct).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_output_is_that_of_the_float_layer() {
        let weight = TensorValues { dims: vec![2, 2, 1, 1], values: vec![1.0, 0.303, 0.7, -0.211] };
        let means = [2.0, 5.0];
        let bias = [0.1, -0.2];
        let layer = IntegerLayer::round(&weight, &bias, 0.02);
        let corrected = corrected_bias(&weight, &bias, &layer, &means, 1);
        for channel in 0..2 {
            let output = |weights: Vec<f32>, bias: f32| {
                weights.iter().zip(means).map(|(w, mean)| f64::from(*w) * mean).sum::<f64>() + f64::from(bias)
            };
            let float = output(weight.channel(channel).to_vec(), bias[channel]);
            let rounded = output(layer.real(channel, 2).collect(), corrected[channel]);
            assert!((float - rounded).abs() < 1e-6);
        }
    }

    #[test]
    fn each_group_is_corrected_by_the_means_of_its_own_inputs() {
        // Two groups with two outputs each, and two inputs with two taps: every weight is rounded by a tenth of a step.
        let weight = TensorValues { dims: vec![4, 2, 1, 2], values: vec![1.1; 16] };
        let layer = IntegerLayer {
            weights: vec![1; 16],
            scales: vec![1.0; 4],
            bias: vec![0; 4],
            bias_scales: vec![1.0; 4],
        };
        let means = [1.0, 2.0, 10.0, 20.0];
        let corrected = corrected_bias(&weight, &[5.0, 0.0, 0.0, -5.0], &layer, &means, 2);
        // 0.1 is missing for each tap of each input: 2 * (1 + 2) * 0.1, and 2 * (10 + 20) * 0.1.
        for (found, expected) in corrected.iter().zip([5.6, 0.6, 6.0, 1.0]) {
            assert!((found - expected).abs() < 1e-4, "{corrected:?}");
        }
        assert_eq!(corrected.len(), 4);
        // In one group of four inputs, every output reads all of them.
        let weight = TensorValues { dims: vec![2, 4, 1, 1], values: vec![1.1; 8] };
        let corrected = corrected_bias(&weight, &[0.0, 1.0], &layer, &means, 1);
        for (found, expected) in corrected.iter().zip([3.3, 4.3]) {
            assert!((found - expected).abs() < 1e-4, "{corrected:?}");
        }
    }

    #[test]
    fn weights_that_are_exact_leave_the_bias_as_it_is() {
        let weight = TensorValues { dims: vec![1, 2, 1, 1], values: vec![127.0, -64.0] };
        let layer = IntegerLayer::round(&weight, &[2.5], 0.5);
        assert_eq!(corrected_bias(&weight, &[2.5], &layer, &[3.0, 4.0], 1), [2.5]);
        assert_eq!(corrected_bias(&weight, &[], &layer, &[3.0, 4.0], 1), [0.0], "a layer without a bias");
    }
}
