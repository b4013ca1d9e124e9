//! MobileNetV3 (Howard et al., 2019) with a dilated last stage, as torchvision's segmentation models use it.

use burn::module::Module;
use burn::tensor::Device;

use super::blocks::{ConvBn, ConvShape, Norm, SqueezeExcitation};
use super::features::{Activation, Features};
use super::pyramid::{Channels, Pyramid};

/// Which backbone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backbone {
    /// 15 blocks, 960 channels at the end.
    Large,
    /// 11 blocks, 576 channels at the end.
    Small,
}

/// One row of the architecture table.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSpec {
    pub input: usize,
    pub kernel: usize,
    pub expanded: usize,
    pub output: usize,
    pub squeeze: bool,
    pub hard_swish: bool,
    pub stride: usize,
    pub dilation: usize,
}

const fn block(
    [input, kernel, expanded, output]: [usize; 4],
    [squeeze, hard_swish]: [bool; 2],
    stride: usize,
    dilation: usize,
) -> BlockSpec {
    BlockSpec { input, kernel, expanded, output, squeeze, hard_swish, stride, dilation }
}

const RE: [bool; 2] = [false, false];
const SE_RE: [bool; 2] = [true, false];
const HS: [bool; 2] = [false, true];
const SE_HS: [bool; 2] = [true, true];

const LARGE: [BlockSpec; 15] = [
    block([16, 3, 16, 16], RE, 1, 1),
    block([16, 3, 64, 24], RE, 2, 1),
    block([24, 3, 72, 24], RE, 1, 1),
    block([24, 5, 72, 40], SE_RE, 2, 1),
    block([40, 5, 120, 40], SE_RE, 1, 1),
    block([40, 5, 120, 40], SE_RE, 1, 1),
    block([40, 3, 240, 80], HS, 2, 1),
    block([80, 3, 200, 80], HS, 1, 1),
    block([80, 3, 184, 80], HS, 1, 1),
    block([80, 3, 184, 80], HS, 1, 1),
    block([80, 3, 480, 112], SE_HS, 1, 1),
    block([112, 3, 672, 112], SE_HS, 1, 1),
    block([112, 5, 672, 160], SE_HS, 2, 2),
    block([160, 5, 960, 160], SE_HS, 1, 2),
    block([160, 5, 960, 160], SE_HS, 1, 2),
];

const SMALL: [BlockSpec; 11] = [
    block([16, 3, 16, 16], SE_RE, 2, 1),
    block([16, 3, 72, 24], RE, 2, 1),
    block([24, 3, 88, 24], RE, 1, 1),
    block([24, 5, 96, 40], SE_HS, 2, 1),
    block([40, 5, 240, 40], SE_HS, 1, 1),
    block([40, 5, 240, 40], SE_HS, 1, 1),
    block([40, 5, 120, 48], SE_HS, 1, 1),
    block([48, 5, 144, 48], SE_HS, 1, 1),
    block([48, 5, 288, 96], SE_HS, 2, 2),
    block([96, 5, 576, 96], SE_HS, 1, 2),
    block([96, 5, 576, 96], SE_HS, 1, 2),
];

impl Backbone {
    pub(super) fn blocks(self) -> &'static [BlockSpec] {
        match self {
            Self::Large => &LARGE,
            Self::Small => &SMALL,
        }
    }

    /// The last block at 1/4 of the input's size.
    fn quarter_block(self) -> usize {
        match self {
            Self::Large => 2,
            Self::Small => 0,
        }
    }

    /// Channels at 1/4, 1/8 and 1/16, and of the last features, which are those at 1/16.
    pub(super) fn channels(self) -> Channels {
        let quarter = self.blocks().get(self.quarter_block()).map_or(0, |block| block.output);
        [quarter, self.low_channels(), self.high_channels(), self.high_channels()]
    }

    /// The block whose output (at 1/8 of the input's size) feeds the head's shortcut.
    fn low_block(self) -> usize {
        match self {
            Self::Large => 3,
            Self::Small => 1,
        }
    }

    /// Channels of the shortcut.
    fn low_channels(self) -> usize {
        match self {
            Self::Large => 40,
            Self::Small => 24,
        }
    }

    /// Channels at the end of the backbone.
    fn high_channels(self) -> usize {
        match self {
            Self::Large => 960,
            Self::Small => 576,
        }
    }

    fn last_channels(self) -> usize {
        match self {
            Self::Large => 160,
            Self::Small => 96,
        }
    }
}

/// Expand, filter each channel, squeeze-excite, project; with a residual where shapes allow.
#[derive(Module, Debug)]
pub struct InvertedResidual {
    /// 1x1 to the expanded width; absent where the width does not grow.
    pub expand: Option<ConvBn>,
    /// One filter a channel.
    pub depthwise: ConvBn,
    /// Channel gates.
    pub squeeze: Option<SqueezeExcitation>,
    /// 1x1 to the output width, linear.
    pub project: ConvBn,
    hard_swish: bool,
    residual: bool,
}

impl InvertedResidual {
    fn new(spec: &BlockSpec, norm: Norm, device: &Device) -> Self {
        // torchvision: a dilated block keeps its resolution.
        let stride = if spec.dilation > 1 { 1 } else { spec.stride };
        let depthwise = ConvShape::depthwise(spec.expanded, spec.kernel, stride, spec.dilation);
        let expand = ConvShape::pointwise(spec.input, spec.expanded);
        let project = ConvShape::pointwise(spec.expanded, spec.output);
        Self {
            expand: (spec.expanded != spec.input).then(|| ConvBn::new(expand, norm, device)),
            depthwise: ConvBn::new(depthwise, norm, device),
            squeeze: spec.squeeze.then(|| SqueezeExcitation::new(spec.expanded, device)),
            project: ConvBn::new(project, norm, device),
            hard_swish: spec.hard_swish,
            residual: spec.stride == 1 && spec.input == spec.output,
        }
    }

    /// Features at `1 / stride` of the size.
    pub fn forward(&self, x: Features) -> Features {
        let activation = if self.hard_swish { Activation::HardSwish } else { Activation::Relu };
        let mut y = x.clone();
        if let Some(expand) = &self.expand {
            y = y.conv_bn(expand, activation);
        }
        y = y.conv_bn(&self.depthwise, activation);
        if let Some(squeeze) = &self.squeeze {
            y = squeeze.forward(y);
        }
        if self.residual {
            y.conv_bn_add(&self.project, x, Activation::Identity)
        } else {
            y.conv_bn(&self.project, Activation::Identity)
        }
    }
}

/// The backbone without its classifier.
#[derive(Module, Debug)]
pub struct MobileNetV3 {
    /// 3x3, stride 2.
    pub stem: ConvBn,
    /// The table's blocks.
    pub blocks: Vec<InvertedResidual>,
    /// 1x1 to the last width.
    pub last: ConvBn,
    quarter_block: usize,
    low_block: usize,
}

impl MobileNetV3 {
    pub(super) fn new(backbone: Backbone, momentum: f64, device: &Device) -> Self {
        let norm = Norm { epsilon: 1e-3, momentum };
        let blocks = backbone.blocks().iter();
        let last = ConvShape::pointwise(backbone.last_channels(), backbone.high_channels());
        Self {
            stem: ConvBn::new(ConvShape::new(3, 16, 3, 2), norm, device),
            blocks: blocks.map(|spec| InvertedResidual::new(spec, norm, device)).collect(),
            last: ConvBn::new(last, norm, device),
            quarter_block: backbone.quarter_block(),
            low_block: backbone.low_block(),
        }
    }

    /// Features at strides 4, 8 and 16, where the dilated network ends.
    pub fn forward(&self, x: Features) -> Pyramid {
        let mut y = x.conv_bn(&self.stem, Activation::HardSwish);
        let mut taps = Vec::with_capacity(2);
        for (index, block) in self.blocks.iter().enumerate() {
            y = block.forward(y);
            if index == self.quarter_block || index == self.low_block {
                taps.push(y.clone());
            }
        }
        let high = y.conv_bn(&self.last, Activation::HardSwish);
        let mut taps = taps.into_iter();
        let mut next = || taps.next().unwrap_or_else(|| high.clone());
        Pyramid { quarter: next(), eighth: next(), sixteenth: high.clone(), deepest: high.clone() }
    }
}
