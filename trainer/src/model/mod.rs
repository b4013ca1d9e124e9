//! The networks of COMET in Burn, equal to torchvision's layer by layer.

mod blocks;
mod comet;
mod import;
mod lraspp;
mod mobilenet_v3;
mod resnet;

pub use blocks::{ConvBn, SqueezeExcitation};
pub use comet::{Comet, CometConfig, Preset, UnknownPreset};
pub use import::{ImportError, import_classifier, import_selector};
pub use lraspp::{LrAspp, LrAsppConfig, LrAsppHead};
pub use mobilenet_v3::{Backbone, InvertedResidual, MobileNetV3};
pub use resnet::{BasicBlock, Downsample, ResNet18, ResNet18Config};
