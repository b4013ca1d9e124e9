//! ResNet-18 (He et al., 2016) as torchvision builds it, at any width: predictor and detector.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::nn::{BatchNorm, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use super::blocks::{ConvShape, Norm};
use super::features::{Activation, Features};

const NORM: Norm = Norm { epsilon: 1e-5, momentum: 0.1 };

/// What ResNet-18 to build.
#[derive(Clone, Copy, Debug)]
pub struct ResNet18Config {
    /// Classes.
    pub classes: usize,
    /// Channels of the first stage; torchvision has 64. Later stages have 2, 4 and 8 times as many.
    pub width: usize,
}

/// The shortcut of a block that changes the shape.
#[derive(Module, Debug)]
pub struct Downsample {
    /// 1x1 with the block's stride.
    pub conv: Conv2d,
    /// Its normalization.
    pub bn: BatchNorm,
}

/// Two 3x3 convolutions and a residual.
#[derive(Module, Debug)]
#[allow(missing_docs, reason = "torchvision's names")]
pub struct BasicBlock {
    pub conv1: Conv2d,
    pub bn1: BatchNorm,
    pub conv2: Conv2d,
    pub bn2: BatchNorm,
    pub downsample: Option<Downsample>,
}

impl BasicBlock {
    fn new(input: usize, output: usize, stride: usize, device: &Device) -> Self {
        let conv =
            |input, kernel, stride| ConvShape::new(input, output, kernel, stride).init_without_bias(device);
        let downsample = || Downsample { conv: conv(input, 1, stride), bn: NORM.init(output, device) };
        Self {
            conv1: conv(input, 3, stride),
            bn1: NORM.init(output, device),
            conv2: conv(output, 3, 1),
            bn2: NORM.init(output, device),
            downsample: (stride != 1 || input != output).then(downsample),
        }
    }

    /// Features at `1 / stride` of the size.
    pub fn forward(&self, x: Features) -> Features {
        let y = x.clone().conv_norm(&self.conv1, &self.bn1, None, Activation::Relu);
        let shortcut = match &self.downsample {
            Some(downsample) => x.conv_norm(&downsample.conv, &downsample.bn, None, Activation::Identity),
            None => x,
        };
        y.conv_norm(&self.conv2, &self.bn2, Some(shortcut), Activation::Relu)
    }
}

/// A classifier: predictor `f_P` or detector `f_D`.
#[derive(Module, Debug)]
#[allow(missing_docs, reason = "torchvision's names")]
pub struct ResNet18 {
    pub conv1: Conv2d,
    pub bn1: BatchNorm,
    pub layer1: Vec<BasicBlock>,
    pub layer2: Vec<BasicBlock>,
    pub layer3: Vec<BasicBlock>,
    pub layer4: Vec<BasicBlock>,
    pub fc: Linear,
}

impl ResNet18Config {
    /// Builds the classifier with random weights.
    pub fn init(&self, device: &Device) -> ResNet18 {
        let width = self.width;
        let stage = |input, output, stride| {
            vec![BasicBlock::new(input, output, stride, device), BasicBlock::new(output, output, 1, device)]
        };
        ResNet18 {
            conv1: ConvShape::new(3, width, 7, 2).init_without_bias(device),
            bn1: NORM.init(width, device),
            layer1: stage(width, width, 1),
            layer2: stage(width, 2 * width, 2),
            layer3: stage(2 * width, 4 * width, 2),
            layer4: stage(4 * width, 8 * width, 2),
            fc: LinearConfig::new(8 * width, self.classes).init(device),
        }
    }
}

impl ResNet18 {
    /// `[batch, 3, height, width] -> [batch, classes]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        let x = Features::enter(x);
        let mut x = x.conv_norm(&self.conv1, &self.bn1, None, Activation::Relu).max_pool();
        for stage in [&self.layer1, &self.layer2, &self.layer3, &self.layer4] {
            for block in stage {
                x = block.forward(x);
            }
        }
        self.fc.forward(x.into_vector())
    }
}
