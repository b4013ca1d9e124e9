//! A selector's head that goes down to 1/4 of the image's size: finer maps than LR-ASPP's.
//!
//! A light form of a feature pyramid (Lin et al., 2017): coarse features, gated by their mean as in LR-ASPP, are
//! resized and added to finer ones twice, each time followed by a depthwise 3x3 and a 1x1 convolution.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::Device;

use super::blocks::{ConvBn, ConvShape, Norm};
use super::features::{Activation, Features};
use super::pyramid::{Channels, Pyramid};

const WIDE: usize = 96;
const NARROW: usize = 48;
const NORM: Norm = Norm { epsilon: 1e-5, momentum: 0.1 };

/// A depthwise 3x3 and a 1x1 convolution, each with BatchNorm and ReLU.
#[derive(Module, Debug)]
pub struct Refine {
    /// 3x3, one filter a channel.
    pub depthwise: ConvBn,
    /// 1x1.
    pub project: ConvBn,
}

impl Refine {
    fn new(input: usize, output: usize, device: &Device) -> Self {
        Self {
            depthwise: ConvBn::new(ConvShape::depthwise(input, 3, 1, 1), NORM, device),
            project: ConvBn::new(ConvShape::pointwise(input, output), NORM, device),
        }
    }

    fn forward(&self, x: Features) -> Features {
        x.conv_bn(&self.depthwise, Activation::Relu).conv_bn(&self.project, Activation::Relu)
    }
}

/// The head.
#[derive(Module, Debug)]
pub struct TopDownHead {
    /// 1x1 on the features at 1/16.
    pub cbr: ConvBn,
    /// Gate from the mean of the deepest features.
    pub scale: Conv2d,
    /// 1x1 on the features at 1/8.
    pub lateral8: Conv2d,
    /// After the sum at 1/8.
    pub refine8: Refine,
    /// 1x1 on the features at 1/4.
    pub lateral4: Conv2d,
    /// After the sum at 1/4.
    pub refine4: Refine,
    /// To the map's logits.
    pub out: Conv2d,
}

impl TopDownHead {
    pub(super) fn new([quarter, eighth, sixteenth, deepest]: Channels, device: &Device) -> Self {
        let conv = |input, output| ConvShape::pointwise(input, output).init_default(true, device);
        Self {
            cbr: ConvBn::new(ConvShape::pointwise(sixteenth, WIDE), NORM, device),
            scale: conv(deepest, WIDE),
            lateral8: conv(eighth, WIDE),
            refine8: Refine::new(WIDE, NARROW, device),
            lateral4: conv(quarter, NARROW),
            refine4: Refine::new(NARROW, NARROW, device),
            out: conv(NARROW, 1),
        }
    }

    /// The logits of the map, one channel at 1/4 of the size.
    pub(super) fn forward(&self, features: Pyramid) -> Features {
        let Pyramid { quarter, eighth, sixteenth, deepest } = features;
        let gate = deepest.mean().conv(&self.scale).sigmoid();
        let y = sixteenth.conv_bn(&self.cbr, Activation::Relu).scale(gate);
        let y = y.resize(eighth.height(), eighth.width()) + eighth.conv(&self.lateral8);
        let y = self.refine8.forward(y);
        let y = y.resize(quarter.height(), quarter.width()) + quarter.conv(&self.lateral4);
        self.refine4.forward(y).conv(&self.out)
    }
}
