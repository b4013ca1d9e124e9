//! COMET: selector and predictor; the detector guides their training and stands beside them.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::classifier::{Classifier, ClassifierConfig};
use super::efficientnet_lite::EfficientNetLiteConfig;
use super::mobilenet_v3::Backbone;
use super::resnet::ResNet18Config;
use super::selector::{Head, Selector, SelectorConfig};

/// A pair of selector and predictor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// EfficientNet-Lite0 in all networks, which ships with weights on ImageNet: the best choice for photographs.
    Lite,
    /// LR-ASPP on MobileNetV3-Large and ResNet-18: the paper's networks.
    Full,
    /// LR-ASPP on MobileNetV3-Small and a narrow ResNet-18: for weak boards and training on a CPU.
    #[default]
    Small,
}

impl Preset {
    /// The name used in files and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lite => "lite",
            Self::Full => "full",
            Self::Small => "small",
        }
    }

    /// The selector's head unless the user sets another.
    pub fn default_head(self) -> Head {
        match self {
            Self::Lite => Head::TopDown,
            Self::Full | Self::Small => Head::LrAspp,
        }
    }

    /// First-stage width of predictor and detector unless the user sets another; EfficientNet-Lite0 has one width.
    pub fn default_width(self) -> usize {
        match self {
            Self::Lite => 0,
            Self::Full => 64,
            Self::Small => 32,
        }
    }
}

/// A name that is not that of a preset.
#[derive(Debug, thiserror::Error)]
#[error("unknown preset '{0}'; there are lite, full and small")]
pub struct UnknownPreset(String);

impl std::str::FromStr for Preset {
    type Err = UnknownPreset;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "lite" => Ok(Self::Lite),
            "full" => Ok(Self::Full),
            "small" => Ok(Self::Small),
            _ => Err(UnknownPreset(name.to_owned())),
        }
    }
}

/// What pair to build.
#[derive(Clone, Copy, Debug)]
pub struct CometConfig {
    /// Which networks.
    pub preset: Preset,
    /// The selector's head.
    pub head: Head,
    /// First-stage width of the predictor (`full` and `small`).
    pub width: usize,
    /// Classes.
    pub classes: usize,
    /// BatchNorm momentum of the selector's backbone.
    pub momentum: f64,
}

impl CometConfig {
    /// Selector and predictor with random weights.
    pub fn init(&self, device: &Device) -> Comet {
        Comet { selector: self.selector().init(device), predictor: self.classifier().init(device) }
    }

    /// The selector alone.
    pub fn selector(&self) -> SelectorConfig {
        let mobilenet = match self.preset {
            Preset::Lite => None,
            Preset::Full => Some(Backbone::Large),
            Preset::Small => Some(Backbone::Small),
        };
        SelectorConfig { mobilenet, head: self.head, momentum: self.momentum }
    }

    /// A network of the predictor's shape: the detector is one as well.
    pub fn classifier(&self) -> ClassifierConfig {
        let classes = self.classes;
        match self.preset {
            Preset::Lite => ClassifierConfig::EfficientNetLite(EfficientNetLiteConfig { classes }),
            Preset::Full | Preset::Small => {
                ClassifierConfig::ResNet18(ResNet18Config { classes, width: self.width })
            }
        }
    }
}

/// The deployed pair.
#[derive(Module, Debug)]
pub struct Comet {
    /// `S`: draws the map.
    pub selector: Selector,
    /// `f_P`: sees the masked image only.
    pub predictor: Classifier,
}

impl Comet {
    /// `[batch, 3, height, width]`, normalised, to the map `[batch, 1, height, width]` and the logits
    /// `[batch, classes]` of the masked image. The fill `q` is the mean pixel: 0 after normalisation.
    pub fn forward(&self, x: Tensor<4>) -> (Tensor<4>, Tensor<2>) {
        let mask = self.selector.forward(x.clone());
        let logits = self.predictor.forward(x * mask.clone());
        (mask, logits)
    }
}
