//! MobileNetV3 (Howard et al., 2019) with a dilated last stage, as torchvision's segmentation models use it.

use burn::module::Module;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use super::blocks::{ConvBn, ConvShape, Norm, SqueezeExcitation, hard_swish};

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

    /// The block whose output (at 1/8 of the input's size) feeds the head's shortcut.
    pub(super) fn low_block(self) -> usize {
        match self {
            Self::Large => 3,
            Self::Small => 1,
        }
    }

    /// Channels of the shortcut.
    pub(super) fn low_channels(self) -> usize {
        match self {
            Self::Large => 40,
            Self::Small => 24,
        }
    }

    /// Channels at the end of the backbone.
    pub(super) fn high_channels(self) -> usize {
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

    /// `[batch, in, height, width] -> [batch, out, height / stride, width / stride]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let activate = |x| if self.hard_swish { hard_swish(x) } else { relu(x) };
        let mut y = x.clone();
        if let Some(expand) = &self.expand {
            y = activate(expand.forward(y));
        }
        y = activate(self.depthwise.forward(y));
        if let Some(squeeze) = &self.squeeze {
            y = squeeze.forward(y);
        }
        y = self.project.forward(y);
        if self.residual { y + x } else { y }
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
            low_block: backbone.low_block(),
        }
    }

    /// `[batch, 3, height, width]` to the features at 1/8 (`low`) and 1/16 (`high`) of the size.
    pub fn forward(&self, x: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
        let mut y = hard_swish(self.stem.forward(x));
        let mut low = y.clone();
        for (index, block) in self.blocks.iter().enumerate() {
            y = block.forward(y);
            if index == self.low_block {
                low = y.clone();
            }
        }
        (low, hard_swish(self.last.forward(y)))
    }
}
