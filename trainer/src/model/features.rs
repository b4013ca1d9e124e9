//! Features inside a network, in the layout that the device computes fastest.

use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::{adaptive_avg_pool2d, max_pool2d};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use comet_training_kernels::Geometry;

use super::blocks::{ConvBn, hard_swish, relu6, resize_bilinear};
use crate::layers::{self, Convolution};

/// What follows a convolution.
pub use comet_training_kernels::Activation;

/// Features of a batch of images.
///
/// On the CPU they lie channels last and go through layers of our own; on other devices, and while a network is
/// captured for export, they lie as Burn has them and go through Burn's operations. A network that is written with
/// this type need not know.
#[derive(Clone, Debug)]
pub struct Features {
    tensor: Tensor<4>,
    channels_last: bool,
}

/// Window of ResNet's pooling: 3x3, stride 2.
const POOL: usize = 3;

impl Features {
    /// Of images or features `[batch, channels, height, width]`.
    pub fn enter(x: Tensor<4>) -> Self {
        if layers::is_supported(&x.device()) {
            Self { tensor: x.permute([0, 2, 3, 1]), channels_last: true }
        } else {
            Self { tensor: x, channels_last: false }
        }
    }

    /// `[batch, channels, height, width]`
    pub fn leave(self) -> Tensor<4> {
        if self.channels_last { self.tensor.permute([0, 3, 1, 2]) } else { self.tensor }
    }

    /// Rows.
    pub fn height(&self) -> usize {
        let [_, second, third, _] = self.tensor.dims();
        if self.channels_last { second } else { third }
    }

    /// Columns.
    pub fn width(&self) -> usize {
        let [_, _, third, fourth] = self.tensor.dims();
        if self.channels_last { third } else { fourth }
    }

    fn with(self, operation: impl FnOnce(Tensor<4>) -> Tensor<4>) -> Self {
        Self { tensor: operation(self.tensor), channels_last: self.channels_last }
    }

    /// A convolution, with its bias if it has one.
    pub fn conv(self, conv: &Conv2d) -> Self {
        let bias = conv.bias.as_ref().filter(|_| self.channels_last).map(burn::module::Param::val);
        let y = self.conv_without_bias(conv);
        match bias {
            Some(bias) => {
                let ones = Tensor::ones([bias.dims()[0]], &bias.device());
                y.with(|y| layers::affine(y, ones, bias, None, Activation::Identity))
            }
            None => y,
        }
    }

    /// Without the bias channels last; otherwise with what the convolution has.
    fn conv_without_bias(self, conv: &Conv2d) -> Self {
        if !self.channels_last {
            return self.with(|x| conv.forward(x));
        }
        let convolution = Convolution { geometry: geometry(conv), depthwise: conv.groups > 1 };
        self.with(|x| layers::convolution(x, conv.weight.val(), convolution))
    }

    /// `activation(bn(conv(x)))`
    pub fn conv_bn(self, layer: &ConvBn, activation: Activation) -> Self {
        self.conv_norm(&layer.conv, &layer.bn, None, activation)
    }

    /// `activation(bn(conv(x)) + residual)`
    pub fn conv_bn_add(self, layer: &ConvBn, residual: Self, activation: Activation) -> Self {
        self.conv_norm(&layer.conv, &layer.bn, Some(residual), activation)
    }

    /// [`Features::conv_bn`] or [`Features::conv_bn_add`] for layers that lie apart.
    pub(super) fn conv_norm(
        self,
        conv: &Conv2d,
        bn: &BatchNorm,
        residual: Option<Self>,
        activation: Activation,
    ) -> Self {
        self.conv_without_bias(conv).norm(bn, residual, activation)
    }

    fn norm(self, bn: &BatchNorm, residual: Option<Self>, activation: Activation) -> Self {
        if !self.channels_last {
            let y = self.with(|x| bn.forward(x));
            return match residual {
                Some(residual) => (y + residual).activate(activation),
                None => y.activate(activation),
            };
        }
        let device = self.tensor.device();
        let residual = residual.map(|residual| residual.tensor);
        if device.is_autodiff() && bn.training.is_enabled() {
            return self.with(|x| normalise_by_batch(bn, x, residual, activation));
        }
        let (scale, shift) = running_affine(bn, &device);
        self.with(|x| layers::affine(x, scale, shift, residual, activation))
    }

    /// The activation alone.
    pub fn activate(self, activation: Activation) -> Self {
        self.with(|x| match activation {
            Activation::Identity => x,
            Activation::Relu => relu(x),
            Activation::Relu6 => relu6(x),
            Activation::HardSwish => hard_swish(x),
        })
    }

    /// The mean over the positions: features of one position.
    pub fn mean(self) -> Self {
        let channels_last = self.channels_last;
        self.with(|x| if channels_last { layers::channel_mean(x) } else { adaptive_avg_pool2d(x, [1, 1]) })
    }

    /// Each channel times its gate; the gate's features have one position.
    pub fn scale(self, gate: Self) -> Self {
        let channels_last = self.channels_last;
        self.with(|x| if channels_last { layers::scale_channels(x, gate.tensor) } else { x * gate.tensor })
    }

    /// The logistic function.
    pub fn sigmoid(self) -> Self {
        self.with(sigmoid)
    }

    /// `min(max(x + 3, 0), 6) / 6`
    pub fn hard_sigmoid(self) -> Self {
        self.with(super::blocks::hard_sigmoid)
    }

    /// Bilinear resize with half-pixel centres.
    pub fn resize(self, height: usize, width: usize) -> Self {
        let channels_last = self.channels_last;
        self.with(|x| {
            if channels_last { layers::resize(x, height, width) } else { resize_bilinear(x, height, width) }
        })
    }

    /// The largest value of each 3x3 window, stride 2, padding 1.
    pub fn max_pool(self) -> Self {
        let channels_last = self.channels_last;
        self.with(|x| {
            if channels_last {
                layers::max_pool(x, Geometry::square(POOL, 2, 1))
            } else {
                max_pool2d(x, MaxPoolOptions::new([POOL; 2]).with_stride([2; 2]).with_padding([1; 2]))
            }
        })
    }

    /// The mean over the positions, `[batch, channels]`.
    pub fn into_vector(self) -> Tensor<2> {
        self.mean().leave().flatten::<2>(1, 3)
    }
}

impl std::ops::Add for Features {
    type Output = Self;

    /// The sum, value by value.
    fn add(self, other: Self) -> Self {
        self.with(|x| x + other.tensor)
    }
}

fn geometry(conv: &Conv2d) -> Geometry {
    let padding = match conv.padding {
        PaddingConfig2d::Explicit(top, left, bottom, right) => [top, left, bottom, right],
        // `ConvShape` makes no other.
        _ => [0; 4],
    };
    Geometry { kernel: conv.kernel_size, stride: conv.stride, dilation: conv.dilation, padding }
}

/// Burn's BatchNorm in training, with its update of the running statistics.
fn normalise_by_batch(
    bn: &BatchNorm,
    x: Tensor<4>,
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> Tensor<4> {
    let device = x.device();
    let (y, mean, variance) =
        layers::normalise_by_batch(x, bn.gamma.val(), bn.beta.val(), residual, bn.epsilon, activation);
    for (running, batch) in [(&bn.running_mean, mean), (&bn.running_var, variance)] {
        let before = running.value_sync().to_device(&device);
        let after = before.mul_scalar(1.0 - bn.momentum).add(batch.detach().mul_scalar(bn.momentum));
        running.update(after.detach());
    }
    y
}

/// The map that a BatchNorm is outside of training.
fn running_affine(bn: &BatchNorm, device: &Device) -> (Tensor<1>, Tensor<1>) {
    let mean = bn.running_mean.value().to_device(device);
    let variance = bn.running_var.value().to_device(device);
    let scale = bn.gamma.val().detach() / (variance + bn.epsilon).sqrt();
    let shift = bn.beta.val() - mean * scale.clone();
    (scale, shift)
}
