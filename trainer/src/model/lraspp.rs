//! The selector: an LR-ASPP head on MobileNetV3 (Howard et al., 2019, section 6.4), one output channel.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::{Device, Tensor};

use super::blocks::{ConvBn, ConvShape, Norm, resize_bilinear};
use super::mobilenet_v3::{Backbone, MobileNetV3};

/// Width of the head.
const HEAD_CHANNELS: usize = 128;

/// What selector to build.
#[derive(Clone, Copy, Debug)]
pub struct LrAsppConfig {
    /// The backbone.
    pub backbone: Backbone,
    /// BatchNorm momentum of the backbone. torchvision has 0.01, whose running statistics lag in short runs.
    pub momentum: f64,
}

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

/// The selector `S`.
#[derive(Module, Debug)]
pub struct LrAspp {
    /// Features.
    pub backbone: MobileNetV3,
    /// Head.
    pub head: LrAsppHead,
}

impl LrAsppConfig {
    /// Builds the selector with random weights.
    pub fn init(&self, device: &Device) -> LrAspp {
        let (low, high) = (self.backbone.low_channels(), self.backbone.high_channels());
        let norm = Norm { epsilon: 1e-5, momentum: 0.1 };
        let pointwise = ConvShape::pointwise;
        LrAspp {
            backbone: MobileNetV3::new(self.backbone, self.momentum, device),
            head: LrAsppHead {
                cbr: ConvBn::new(pointwise(high, HEAD_CHANNELS), norm, device),
                scale: pointwise(high, HEAD_CHANNELS).init_default(false, device),
                low: pointwise(low, 1).init_default(true, device),
                high: pointwise(HEAD_CHANNELS, 1).init_default(true, device),
            },
        }
    }
}

impl LrAspp {
    /// The attribution map: `[batch, 3, height, width] -> [batch, 1, height, width]`, in `[0, 1]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let (low, high) = self.backbone.forward(x);
        let gate = sigmoid(self.head.scale.forward(adaptive_avg_pool2d(high.clone(), [1, 1])));
        let gated = relu(self.head.cbr.forward(high)) * gate;
        let [_, _, low_height, low_width] = low.dims();
        let gated = resize_bilinear(gated, low_height, low_width);
        let logits = self.head.low.forward(low) + self.head.high.forward(gated);
        sigmoid(resize_bilinear(logits, height, width))
    }
}
