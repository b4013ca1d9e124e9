//! EfficientNet-Lite0 (Tan and Le, 2019; the Lite variant of 2020: no squeeze-excitation, ReLU6), as the weights that
//! ship with the trainer have it.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::blocks::{ConvBn, ConvShape, Norm};
use super::features::{Activation, Features};
use super::pyramid::Pyramid;

/// Blocks of the same shape.
struct Stage {
    repeats: usize,
    kernel: usize,
    stride: usize,
    /// How many times wider a block is inside.
    expansion: usize,
    output: usize,
}

const fn stage(repeats: usize, kernel: usize, stride: usize, expansion: usize, output: usize) -> Stage {
    Stage { repeats, kernel, stride, expansion, output }
}

const STAGES: [Stage; 7] = [
    stage(1, 3, 1, 1, 16),
    stage(2, 3, 2, 6, 24),
    stage(2, 5, 2, 6, 40),
    stage(3, 3, 2, 6, 80),
    stage(3, 5, 1, 6, 112),
    stage(4, 5, 2, 6, 192),
    stage(1, 3, 1, 6, 320),
];

const STEM: usize = 32;
const LAST: usize = 1280;
/// The last blocks at strides 4, 8 and 16; stride 32 is the end.
const TAPS: [usize; 3] = [2, 4, 10];
/// Channels at strides 4, 8, 16 and 32.
pub(super) const CHANNELS: [usize; 4] = [24, 40, 112, 320];

/// Expand, filter each channel, project; with a residual where shapes allow.
#[derive(Module, Debug)]
pub struct LiteBlock {
    /// 1x1 to the expanded width; absent where the width does not grow.
    pub expand: Option<ConvBn>,
    /// One filter a channel.
    pub depthwise: ConvBn,
    /// 1x1 to the output width, linear.
    pub project: ConvBn,
    residual: bool,
}

impl LiteBlock {
    fn new(input: usize, stride: usize, stage: &Stage, norm: Norm, device: &Device) -> Self {
        let inside = input * stage.expansion;
        let depthwise = ConvShape::depthwise(inside, stage.kernel, stride, 1).tensorflow();
        let layer = |shape| ConvBn::new(shape, norm, device);
        Self {
            expand: (stage.expansion > 1).then(|| layer(ConvShape::pointwise(input, inside))),
            depthwise: layer(depthwise),
            project: layer(ConvShape::pointwise(inside, stage.output)),
            residual: stride == 1 && input == stage.output,
        }
    }

    /// Features at `1 / stride` of the size.
    pub fn forward(&self, x: Features) -> Features {
        let mut y = x.clone();
        if let Some(expand) = &self.expand {
            y = y.conv_bn(expand, Activation::Relu6);
        }
        y = y.conv_bn(&self.depthwise, Activation::Relu6);
        if self.residual {
            y.conv_bn_add(&self.project, x, Activation::Identity)
        } else {
            y.conv_bn(&self.project, Activation::Identity)
        }
    }
}

/// The network without its last convolution and classifier.
#[derive(Module, Debug)]
pub struct LiteFeatures {
    /// 3x3, stride 2.
    pub stem: ConvBn,
    /// 16 blocks.
    pub blocks: Vec<LiteBlock>,
}

impl LiteFeatures {
    pub(super) fn new(momentum: f64, device: &Device) -> Self {
        let norm = Norm { epsilon: 1e-3, momentum };
        let mut blocks = Vec::new();
        let mut input = STEM;
        for stage in &STAGES {
            for index in 0..stage.repeats {
                let stride = if index == 0 { stage.stride } else { 1 };
                blocks.push(LiteBlock::new(input, stride, stage, norm, device));
                input = stage.output;
            }
        }
        Self { stem: ConvBn::new(ConvShape::new(3, STEM, 3, 2).tensorflow(), norm, device), blocks }
    }

    /// Features at strides 4, 8, 16 and 32.
    pub fn forward(&self, x: Features) -> Pyramid {
        let mut y = x.conv_bn(&self.stem, Activation::Relu6);
        let mut taps = Vec::with_capacity(TAPS.len());
        for (index, block) in self.blocks.iter().enumerate() {
            y = block.forward(y);
            if TAPS.contains(&index) {
                taps.push(y.clone());
            }
        }
        let mut taps = taps.into_iter();
        let mut next = || taps.next().unwrap_or_else(|| y.clone());
        Pyramid { quarter: next(), eighth: next(), sixteenth: next(), deepest: y.clone() }
    }
}

/// The classifier.
#[derive(Module, Debug)]
pub struct EfficientNetLite {
    /// Stem and blocks.
    pub features: LiteFeatures,
    /// 1x1 to 1,280 channels.
    pub last: ConvBn,
    /// To the classes.
    pub fc: Linear,
}

/// What classifier to build.
#[derive(Clone, Copy, Debug)]
pub struct EfficientNetLiteConfig {
    /// Classes.
    pub classes: usize,
}

impl EfficientNetLiteConfig {
    /// Builds the classifier with random weights.
    pub fn init(&self, device: &Device) -> EfficientNetLite {
        const MOMENTUM: f64 = 0.1;
        let norm = Norm { epsilon: 1e-3, momentum: MOMENTUM };
        let [.., deepest] = CHANNELS;
        EfficientNetLite {
            features: LiteFeatures::new(MOMENTUM, device),
            last: ConvBn::new(ConvShape::pointwise(deepest, LAST), norm, device),
            fc: LinearConfig::new(LAST, self.classes).init(device),
        }
    }
}

impl EfficientNetLite {
    /// `[batch, 3, height, width] -> [batch, classes]`
    ///
    /// The dropout that the original has before its last layer is left out: masks and augmentation make the features
    /// noisy enough, and a step without random numbers of its own is the same after a resume.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        self.fc.forward(self.pooled(x))
    }

    /// What the last layer sees: `[batch, 3, height, width] -> [batch, 1280]`.
    pub fn pooled(&self, x: Tensor<4>) -> Tensor<2> {
        let features = self.features.forward(Features::enter(x)).deepest;
        features.conv_bn(&self.last, Activation::Relu6).into_vector()
    }
}
