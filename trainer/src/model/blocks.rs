//! Layers that several networks share.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Initializer, PaddingConfig2d};
use burn::tensor::activation::{hard_sigmoid as native_hard_sigmoid, relu};
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Device, Tensor};
use burn_dispatch::DispatchDevice;

use super::features::{Activation, Features};

/// Geometry of a convolution with "same" padding.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvShape {
    pub input: usize,
    pub output: usize,
    pub kernel: usize,
    pub stride: usize,
    pub dilation: usize,
    pub groups: usize,
    pub padding: Padding,
}

/// Where the zeros around the image go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    /// The same on all sides.
    Symmetric,
    /// TensorFlow's "same" for images whose sides are multiples of the stride: with stride 2, one less before the image
    /// than after it.
    TensorFlow,
}

impl ConvShape {
    /// A dense convolution.
    pub(super) fn new(input: usize, output: usize, kernel: usize, stride: usize) -> Self {
        Self { input, output, kernel, stride, dilation: 1, groups: 1, padding: Padding::Symmetric }
    }

    /// A 1x1 convolution.
    pub(super) fn pointwise(input: usize, output: usize) -> Self {
        Self::new(input, output, 1, 1)
    }

    /// One filter a channel.
    pub(super) fn depthwise(channels: usize, kernel: usize, stride: usize, dilation: usize) -> Self {
        Self { dilation, groups: channels, ..Self::new(channels, channels, kernel, stride) }
    }

    /// Padded as TensorFlow does.
    pub(super) fn tensorflow(self) -> Self {
        Self { padding: Padding::TensorFlow, ..self }
    }

    /// Zeros before and after the image.
    fn zeros(self) -> (usize, usize) {
        let span = (self.kernel - 1) * self.dilation;
        match self.padding {
            Padding::Symmetric => (span / 2, span / 2),
            Padding::TensorFlow => {
                let total = (span + 1).saturating_sub(self.stride);
                (total / 2, total - total / 2)
            }
        }
    }

    fn config(self) -> Conv2dConfig {
        let (before, after) = self.zeros();
        Conv2dConfig::new([self.input, self.output], [self.kernel, self.kernel])
            .with_stride([self.stride, self.stride])
            .with_dilation([self.dilation, self.dilation])
            .with_groups(self.groups)
            .with_padding(PaddingConfig2d::Explicit(before, before, after, after))
    }

    /// Followed by BatchNorm: no bias; Kaiming-normal over the fan-out, as torchvision starts its networks.
    pub(super) fn init_without_bias(self, device: &Device) -> Conv2d {
        let kaiming = Initializer::KaimingNormal { gain: 2f64.sqrt(), fan_out_only: true };
        self.config().with_bias(false).with_initializer(kaiming).init(device)
    }

    /// PyTorch's default start.
    pub(super) fn init_default(self, bias: bool, device: &Device) -> Conv2d {
        self.config().with_bias(bias).init(device)
    }

    /// With a bias that starts at zero, as torchvision's squeeze-excitation.
    pub(super) fn init_zero_bias(self, device: &Device) -> Conv2d {
        let mut conv = self.init_default(true, device);
        conv.bias = Some(Initializer::Zeros.init([self.output], device));
        conv
    }
}

/// A convolution without bias and its BatchNorm.
#[derive(Module, Debug)]
pub struct ConvBn {
    /// The convolution.
    pub conv: Conv2d,
    /// Its normalization.
    pub bn: BatchNorm,
}

impl ConvBn {
    pub(super) fn new(shape: ConvShape, norm: Norm, device: &Device) -> Self {
        Self { conv: shape.init_without_bias(device), bn: norm.init(shape.output, device) }
    }
}

/// Constants of a BatchNorm.
#[derive(Clone, Copy, Debug)]
pub(super) struct Norm {
    pub epsilon: f64,
    pub momentum: f64,
}

impl Norm {
    pub(super) fn init(self, channels: usize, device: &Device) -> BatchNorm {
        BatchNormConfig::new(channels).with_epsilon(self.epsilon).with_momentum(self.momentum).init(device)
    }
}

/// Scales each channel by a gate computed from the channels' means (Hu et al., 2018).
#[derive(Module, Debug)]
pub struct SqueezeExcitation {
    /// To the squeezed width.
    pub fc1: Conv2d,
    /// Back to one gate a channel.
    pub fc2: Conv2d,
}

impl SqueezeExcitation {
    pub(super) fn new(channels: usize, device: &Device) -> Self {
        let squeezed = make_divisible(channels / 4);
        Self {
            fc1: ConvShape::pointwise(channels, squeezed).init_zero_bias(device),
            fc2: ConvShape::pointwise(squeezed, channels).init_zero_bias(device),
        }
    }

    /// Features of the same shape.
    pub fn forward(&self, x: Features) -> Features {
        let gate = x.clone().mean().conv(&self.fc1).activate(Activation::Relu).conv(&self.fc2);
        x.scale(gate.hard_sigmoid())
    }
}

/// The nearest multiple of 8 that is not more than 10 % below `value`, as torchvision rounds widths.
pub(super) fn make_divisible(value: usize) -> usize {
    let rounded = ((value + 4) / 8 * 8).max(8);
    if rounded * 10 < value * 9 { rounded + 8 } else { rounded }
}

/// Whether the tensor is being recorded for export rather than computed.
fn is_capturing(x: &Tensor<4>) -> bool {
    matches!(x.device().as_dispatch(), DispatchDevice::Capture(_))
}

/// `clip(x + 3, 0, 6) / 6`
pub(super) fn hard_sigmoid(x: Tensor<4>) -> Tensor<4> {
    if is_capturing(&x) {
        // burn-onnx 0.22 cannot write HardSigmoid. `export::fuse` turns this form back into the one node.
        return (relu(x.clone() + 3.0) - relu(x - 3.0)) * (1.0 / 6.0);
    }
    native_hard_sigmoid(x, 1.0 / 6.0, 0.5)
}

/// `clip(x, 0, 6)`
pub(super) fn relu6(x: Tensor<4>) -> Tensor<4> {
    if is_capturing(&x) {
        // burn-onnx 0.22 cannot write Clip. `export::fuse` turns this form back into the one node.
        return relu(x.clone()) - relu(x - 6.0);
    }
    x.clamp(0.0, 6.0)
}

/// `x * hard_sigmoid(x)`
pub(super) fn hard_swish(x: Tensor<4>) -> Tensor<4> {
    x.clone() * hard_sigmoid(x)
}

/// Bilinear resize with half-pixel centres (PyTorch's `align_corners=False`) to `height x width`.
pub(super) fn resize_bilinear(x: Tensor<4>, height: usize, width: usize) -> Tensor<4> {
    if is_capturing(&x) {
        let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
        return interpolate(x, InterpolateOptions { output_size: Some([height, width]), ..options });
    }
    // Two products with constant matrices: Burn 0.22's GPU backends have no gradient for `interpolate`.
    let device = x.device();
    let [_, _, rows, columns] = x.dims();
    let left = interpolation_matrix(rows, height, &device).unsqueeze::<4>();
    let right = interpolation_matrix(columns, width, &device).transpose().unsqueeze::<4>();
    left.matmul(x).matmul(right)
}

/// `[output, input]`: the weights of each input sample in each output sample.
fn interpolation_matrix(input: usize, output: usize, device: &Device) -> Tensor<2> {
    let mut weights = vec![0f32; input * output];
    for (row, weights) in weights.chunks_mut(input).enumerate() {
        let position = ((row as f64 + 0.5) * input as f64 / output as f64 - 0.5).max(0.0);
        let below = (position.floor() as usize).min(input - 1);
        let above = (below + 1).min(input - 1);
        let share = (position - below as f64) as f32;
        for (index, weight) in [(below, 1.0 - share), (above, share)] {
            if let Some(slot) = weights.get_mut(index) {
                *slot += weight;
            }
        }
    }
    Tensor::<1>::from_floats(weights.as_slice(), device).reshape([output, input])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_round_as_torchvision_does() {
        let widths = [4, 18, 24, 28, 60, 144, 240].map(make_divisible);
        assert_eq!(widths, [8, 24, 24, 32, 64, 144, 240]);
    }

    #[test]
    fn the_matrix_resize_equals_the_native_one() {
        let device = Device::flex();
        let x = Tensor::<1, burn::tensor::Int>::arange(0..24, &device).float().reshape([1, 2, 3, 4]);
        let options = InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false);
        let native = interpolate(x.clone(), InterpolateOptions { output_size: Some([7, 9]), ..options });
        let difference = (resize_bilinear(x, 7, 9) - native).abs().max();
        assert!(difference.into_scalar::<f32>() < 1e-4);
    }
}
