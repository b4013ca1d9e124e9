//! The selector `S`: a backbone and a head that draws the map.

use burn::module::Module;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::efficientnet_lite::{self, LiteFeatures};
use super::features::Features;
use super::lraspp::{LrAsppHead, LrAsppShape};
use super::mobilenet_v3::{Backbone, MobileNetV3};
use super::pyramid::{Channels, Pyramid};
use super::top_down::TopDownHead;

/// Which head draws the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// LR-ASPP, the paper's: maps at 1/8 of the image's size.
    #[serde(rename = "lraspp")]
    #[default]
    LrAspp,
    /// A light top-down head: maps at 1/4 of the image's size, which follow shapes more closely.
    TopDown,
}

impl Head {
    /// The name used in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::LrAspp => "lraspp",
            Self::TopDown => "top-down",
        }
    }
}

/// A name that is not that of a head.
#[derive(Debug, thiserror::Error)]
#[error("unknown head '{0}'; there are lraspp and top-down")]
pub struct UnknownHead(String);

impl std::str::FromStr for Head {
    type Err = UnknownHead;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "lraspp" => Ok(Self::LrAspp),
            "top-down" => Ok(Self::TopDown),
            _ => Err(UnknownHead(name.to_owned())),
        }
    }
}

/// What selector to build.
#[derive(Clone, Copy, Debug)]
pub struct SelectorConfig {
    /// The MobileNetV3, or EfficientNet-Lite0 if there is none.
    pub mobilenet: Option<Backbone>,
    /// The head.
    pub head: Head,
    /// BatchNorm momentum of the backbone. torchvision has 0.01, whose running statistics lag in short runs.
    pub momentum: f64,
}

/// What the head gets its features from.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one selector, not a collection of them")]
pub enum SelectorBackbone {
    /// Of `full` and `small`.
    MobileNetV3(MobileNetV3),
    /// Of `lite`.
    EfficientNetLite(LiteFeatures),
}

impl SelectorBackbone {
    fn forward(&self, x: Features) -> Pyramid {
        match self {
            Self::MobileNetV3(backbone) => backbone.forward(x),
            Self::EfficientNetLite(backbone) => backbone.forward(x),
        }
    }
}

/// What draws the map.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one selector, not a collection of them")]
pub enum SelectorHead {
    /// See [`Head::LrAspp`].
    LrAspp(LrAsppHead),
    /// See [`Head::TopDown`].
    TopDown(TopDownHead),
}

impl SelectorHead {
    fn forward(&self, features: Pyramid) -> Features {
        match self {
            Self::LrAspp(head) => head.forward(features),
            Self::TopDown(head) => head.forward(features),
        }
    }
}

/// The selector.
#[derive(Module, Debug)]
pub struct Selector {
    /// Features.
    pub backbone: SelectorBackbone,
    /// Head.
    pub head: SelectorHead,
}

impl SelectorConfig {
    /// Builds the selector with random weights.
    pub fn init(&self, device: &Device) -> Selector {
        let (backbone, channels, shape) = self.backbone(device);
        let head = match self.head {
            Head::LrAspp => SelectorHead::LrAspp(LrAsppHead::new(channels, shape, device)),
            Head::TopDown => SelectorHead::TopDown(TopDownHead::new(channels, device)),
        };
        Selector { backbone, head }
    }

    fn backbone(&self, device: &Device) -> (SelectorBackbone, Channels, LrAsppShape) {
        match self.mobilenet {
            Some(backbone) => (
                SelectorBackbone::MobileNetV3(MobileNetV3::new(backbone, self.momentum, device)),
                backbone.channels(),
                LrAsppShape { width: 128, gate_bias: false },
            ),
            None => (
                SelectorBackbone::EfficientNetLite(LiteFeatures::new(self.momentum, device)),
                efficientnet_lite::CHANNELS,
                LrAsppShape { width: 96, gate_bias: true },
            ),
        }
    }
}

impl Selector {
    /// The attribution map: `[batch, 3, height, width] -> [batch, 1, height, width]`, in `[0, 1]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [_, _, height, width] = x.dims();
        let logits = self.head.forward(self.backbone.forward(Features::enter(x)));
        sigmoid(logits.resize(height, width).leave())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;

    #[test]
    fn every_backbone_takes_every_head() {
        let device = Device::flex();
        for mobilenet in [None, Some(Backbone::Small), Some(Backbone::Large)] {
            for head in [Head::LrAspp, Head::TopDown] {
                let selector = SelectorConfig { mobilenet, head, momentum: 0.1 }.init(&device);
                let x = Tensor::<4>::random([2, 3, 64, 32], Distribution::Normal(0.0, 1.0), &device);
                let map = selector.forward(x);
                assert_eq!(map.dims(), [2, 1, 64, 32], "{mobilenet:?} {head:?}");
                assert!(map.clone().min().into_scalar::<f32>() >= 0.0);
                assert!(map.max().into_scalar::<f32>() <= 1.0);
            }
        }
    }

    #[test]
    fn a_head_has_one_name_in_files_and_flags() {
        for head in [Head::LrAspp, Head::TopDown] {
            assert_eq!(head.name().parse::<Head>().unwrap(), head);
            assert_eq!(serde_json::to_string(&head).unwrap(), format!("\"{}\"", head.name()));
        }
        assert!("fpn".parse::<Head>().unwrap_err().to_string().contains("lraspp and top-down"));
    }
}
