//! The LR-ASPP head of a selector (Howard et al., 2019, section 6.4), one output channel.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::Device;

use super::blocks::{ConvBn, ConvShape, Norm};
use super::features::{Activation, Features};
use super::pyramid::{Channels, Pyramid};

/// Low-resolution features, gated high-level features, and a 1x1 classifier on each.
#[derive(Module, Debug)]
pub struct LrAsppHead {
    /// 1x1 on the high-level features.
    pub cbr: ConvBn,
    /// Gate from the features' mean.
    pub scale: Conv2d,
    /// Classifier of the low-level features.
    pub low: Conv2d,
    /// Classifier of the gated features.
    pub high: Conv2d,
}

/// What differs between backbones.
#[derive(Clone, Copy, Debug)]
pub(super) struct LrAsppShape {
    /// Channels of the head.
    pub width: usize,
    /// Whether the gate has a bias; torchvision's has none.
    pub gate_bias: bool,
}

impl LrAsppHead {
    pub(super) fn new([_, low, high, deepest]: Channels, shape: LrAsppShape, device: &Device) -> Self {
        let norm = Norm { epsilon: 1e-5, momentum: 0.1 };
        let pointwise = ConvShape::pointwise;
        Self {
            cbr: ConvBn::new(pointwise(high, shape.width), norm, device),
            scale: pointwise(deepest, shape.width).init_default(shape.gate_bias, device),
            low: pointwise(low, 1).init_default(true, device),
            high: pointwise(shape.width, 1).init_default(true, device),
        }
    }

    /// The logits of the map, one channel at 1/8 of the size.
    pub(super) fn forward(&self, features: Pyramid) -> Features {
        let Pyramid { eighth: low, sixteenth: high, deepest, .. } = features;
        let gate = deepest.mean().conv(&self.scale).sigmoid();
        let gated = high.conv_bn(&self.cbr, Activation::Relu).scale(gate);
        let gated = gated.resize(low.height(), low.width());
        low.conv(&self.low) + gated.conv(&self.high)
    }
}
