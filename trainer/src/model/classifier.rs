//! Predictor `f_P` and detector `f_D`: two networks of the same kind.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};

use super::efficientnet_lite::{EfficientNetLite, EfficientNetLiteConfig};
use super::resnet::{ResNet18, ResNet18Config};

/// What classifier to build.
#[derive(Clone, Copy, Debug)]
pub enum ClassifierConfig {
    /// Of `full` and `small`.
    ResNet18(ResNet18Config),
    /// Of `lite`.
    EfficientNetLite(EfficientNetLiteConfig),
}

/// A classifier.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "there are two classifiers, not a collection of them")]
pub enum Classifier {
    /// See [`ResNet18`].
    ResNet18(ResNet18),
    /// See [`EfficientNetLite`].
    EfficientNetLite(EfficientNetLite),
}

impl ClassifierConfig {
    /// Builds the classifier with random weights.
    pub fn init(&self, device: &Device) -> Classifier {
        match self {
            Self::ResNet18(config) => Classifier::ResNet18(config.init(device)),
            Self::EfficientNetLite(config) => Classifier::EfficientNetLite(config.init(device)),
        }
    }
}

impl Classifier {
    /// `[batch, 3, height, width] -> [batch, classes]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<2> {
        match self {
            Self::ResNet18(network) => network.forward(x),
            Self::EfficientNetLite(network) => network.forward(x),
        }
    }

    /// The last layer.
    pub fn fc(&self) -> &Linear {
        match self {
            Self::ResNet18(network) => &network.fc,
            Self::EfficientNetLite(network) => &network.fc,
        }
    }

    /// The last layer, to be changed.
    pub fn fc_mut(&mut self) -> &mut Linear {
        match self {
            Self::ResNet18(network) => &mut network.fc,
            Self::EfficientNetLite(network) => &mut network.fc,
        }
    }
}
