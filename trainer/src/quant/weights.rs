//! Weights as signed 8-bit integers with one scale an output channel.

use comet_onnx::TensorValues;

/// The largest 32-bit bias in use: half of what fits, so that sums have room.
const LARGEST_BIAS: f64 = (1u32 << 30) as f64;

/// Weights and bias of one layer in integers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct IntegerLayer {
    /// Weights, as the float ones are arranged.
    pub weights: Vec<i8>,
    /// One scale an output channel.
    pub scales: Vec<f32>,
    /// One bias an output channel, in units of `input scale * weight scale`.
    pub bias: Vec<i32>,
    /// The scales of the bias.
    pub bias_scales: Vec<f32>,
}

impl IntegerLayer {
    /// Rounds a layer whose input has the scale `input_scale`.
    pub(super) fn round(weight: &TensorValues, bias: &[f32], input_scale: f32) -> Self {
        let channels = weight.dims.first().copied().unwrap_or(0);
        let mut layer = Self {
            weights: Vec::with_capacity(weight.values.len()),
            scales: Vec::with_capacity(channels),
            bias: Vec::with_capacity(channels),
            bias_scales: Vec::with_capacity(channels),
        };
        for channel in 0..channels {
            let values = weight.channel(channel);
            let bias = bias.get(channel).copied().unwrap_or(0.0);
            let scale = channel_scale(values, bias, input_scale);
            let bias_scale = input_scale * scale;
            layer.weights.extend(values.iter().map(|&value| round_weight(value, scale)));
            layer.scales.push(scale);
            layer.bias.push((f64::from(bias) / f64::from(bias_scale)).round_ties_even() as i32);
            layer.bias_scales.push(bias_scale);
        }
        layer
    }

    /// The weight at `index` of `channel`, as a real number; `per_channel` weights a channel.
    pub(super) fn real(&self, channel: usize, per_channel: usize) -> impl Iterator<Item = f32> {
        let scale = self.scales.get(channel).copied().unwrap_or(0.0);
        let start = channel * per_channel;
        let weights = self.weights.get(start..start + per_channel).unwrap_or_default();
        weights.iter().map(move |&weight| f32::from(weight) * scale)
    }
}

fn round_weight(value: f32, scale: f32) -> i8 {
    (value / scale).round_ties_even().clamp(-127.0, 127.0) as i8
}

/// The largest weight becomes 127. A channel with tiny weights and a large bias gets a coarser scale: its bias
/// would not fit into 32 bits (the known trap of MobileNetV3).
fn channel_scale(values: &[f32], bias: f32, input_scale: f32) -> f32 {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let for_weights = f64::from(largest) / 127.0;
    let for_bias = f64::from(bias.abs()) / (f64::from(input_scale) * LARGEST_BIAS);
    for_weights.max(for_bias).max(1e-12) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_channel_uses_its_whole_range() {
        let weight = TensorValues { dims: vec![2, 1, 1, 2], values: vec![1.0, -0.5, 0.01, 0.0] };
        let layer = IntegerLayer::round(&weight, &[0.5, 0.0], 0.1);
        assert_eq!(layer.weights, [127, -64, 127, 0]);
        assert!((layer.bias[0] as f32 * layer.bias_scales[0] - 0.5).abs() < 1e-3);
    }

    #[test]
    fn a_tiny_channel_with_a_large_bias_does_not_overflow() {
        let weight = TensorValues { dims: vec![1, 1, 1, 1], values: vec![1e-9] };
        let layer = IntegerLayer::round(&weight, &[3.0], 1e-3);
        let bias = layer.bias[0] as f32 * layer.bias_scales[0];
        assert!((bias - 3.0).abs() < 1e-4, "{bias}");
        let zero = TensorValues { dims: vec![1, 1, 1, 1], values: vec![0.0] };
        assert!(IntegerLayer::round(&zero, &[0.0], 1e-3).scales[0] > 0.0);
    }

    #[test]
    fn weights_are_symmetric_and_rounded_to_the_nearest_even_step() {
        let weight = TensorValues { dims: vec![1, 6], values: vec![127.0, -127.0, 2.5, 3.5, -0.4, -0.6] };
        let layer = IntegerLayer::round(&weight, &[0.0], 1.0);
        assert_eq!((layer.scales[0], layer.weights.as_slice()), (1.0, [127, -127, 2, 4, 0, -1].as_slice()));
        assert_eq!(round_weight(-9.0, 0.01), -127, "never -128");
        assert_eq!(round_weight(9.0, 0.01), 127);
    }

    #[test]
    fn a_bias_is_in_units_of_both_scales() {
        let weight = TensorValues { dims: vec![2, 1], values: vec![127.0, 254.0] };
        let layer = IntegerLayer::round(&weight, &[10.0, -10.0], 0.25);
        assert_eq!((layer.scales, layer.bias_scales), (vec![1.0, 2.0], vec![0.25, 0.5]));
        assert_eq!(layer.bias, [40, -20]);
        let without = IntegerLayer::round(&weight, &[], 0.25);
        assert_eq!(without.bias, [0, 0]);
    }

    #[test]
    fn the_scale_is_that_of_the_weights_unless_the_bias_would_not_fit() {
        assert_eq!(channel_scale(&[-1.27, 0.5], 100.0, 0.1), 0.01);
        let scale = channel_scale(&[1e-9], -4.0, 0.5);
        assert_eq!(scale, (8.0 / LARGEST_BIAS) as f32);
        assert_eq!(channel_scale(&[], 0.0, 0.5), 1e-12);
    }

    #[test]
    fn a_channels_weights_are_given_back_as_real_numbers() {
        let layer = IntegerLayer {
            weights: vec![1, 2, 3, -4],
            scales: vec![0.5, 2.0],
            bias: Vec::new(),
            bias_scales: Vec::new(),
        };
        assert_eq!(layer.real(0, 2).collect::<Vec<f32>>(), [0.5, 1.0]);
        assert_eq!(layer.real(1, 2).collect::<Vec<f32>>(), [6.0, -8.0]);
        assert_eq!(layer.real(2, 2).count(), 0, "there is no such channel");
    }
}
