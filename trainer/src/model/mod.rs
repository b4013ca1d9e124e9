//! The networks of COMET in Burn, equal to torchvision's and EfficientNet-Lite's layer by layer.

mod blocks;
mod classifier;
mod comet;
mod efficientnet_lite;
mod features;
mod import;
mod lraspp;
mod mobilenet_v3;
mod pretrained;
mod pyramid;
mod resnet;
mod selector;
mod top_down;

pub use blocks::{ConvBn, SqueezeExcitation};
pub use classifier::{Classifier, ClassifierConfig};
pub use comet::{Comet, CometConfig, Preset, UnknownPreset};
pub use efficientnet_lite::{EfficientNetLite, EfficientNetLiteConfig, LiteBlock, LiteFeatures};
pub use features::{Activation, Features};
pub use import::{ImportError, import_classifier, import_selector};
pub use lraspp::LrAsppHead;
pub use mobilenet_v3::{Backbone, InvertedResidual, MobileNetV3};
pub use pretrained::{PRETRAINED_MEAN_AND_STD, PretrainedError, WeightsFile, shipped_weights};
pub use pyramid::Pyramid;
pub use resnet::{BasicBlock, Downsample, ResNet18, ResNet18Config};
pub use selector::{Head, Selector, SelectorBackbone, SelectorConfig, SelectorHead, UnknownHead};
pub use top_down::{Refine, TopDownHead};
