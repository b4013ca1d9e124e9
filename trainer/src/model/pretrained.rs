//! The weights on ImageNet that ship with the trainer.

use burn::tensor::DType;
use burn_store::{
    FloatCastAdapter, KeyRemapper, ModuleAdapter, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore,
};
use sha2::{Digest, Sha256};

use super::classifier::Classifier;
use super::comet::Comet;
use super::efficientnet_lite::EfficientNetLite;
use super::import::faults;
use super::selector::{Selector, SelectorBackbone};

/// EfficientNet-Lite0 without its classifier, half precision; see `models/backbones/README.md`.
const EFFICIENTNET_LITE0: &[u8] = include_bytes!("../../../models/backbones/efficientnet-lite0.safetensors");
/// Its checksum, in hexadecimal.
const EFFICIENTNET_LITE0_SHA256: &str = include_str!("../../../models/backbones/efficientnet-lite0.sha256");
/// Each channel of an image, between 0 and 1, minus this and divided by this: what the network was trained with.
pub const PRETRAINED_MEAN_AND_STD: f32 = 0.5;

/// Why pretrained weights could not be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PretrainedError {
    /// The bytes are not those that were checked.
    #[error(
        "{name}: its SHA-256 is {found}, not {expected}: the file is damaged or another one; get it again"
    )]
    Checksum {
        /// The file.
        name: String,
        /// The checksum of the bytes.
        found: String,
        /// The checksum that they should have.
        expected: String,
    },
    /// It is no safetensors file.
    #[error("{name}: cannot be read as safetensors ({fault}); get the file again")]
    Unreadable {
        /// The file.
        name: String,
        /// The reader's message.
        fault: String,
    },
    /// Tensors are missing or have another shape.
    #[error("{name}: does not fit EfficientNet-Lite0: {fault}. Use the file that came with this version")]
    Mismatch {
        /// The file.
        name: String,
        /// The first tensors that do not fit.
        fault: String,
    },
    /// Weights ship for another network only.
    #[error(
        "the {network} has no pretrained weights of its own: only the preset lite has; use --from-scratch, or torchvision's weights with --init-selector and --init-predictor"
    )]
    NoWeights {
        /// selector or predictor.
        network: &'static str,
    },
}

/// A file of pretrained weights: its name in messages, its bytes and the checksum that they should have.
#[derive(Clone, Copy, Debug)]
pub struct WeightsFile<'a> {
    /// Name in messages.
    pub name: &'a str,
    /// The whole file.
    pub bytes: &'a [u8],
    /// SHA-256 in hexadecimal.
    pub sha256: &'a str,
}

/// The file that ships with the trainer.
pub fn shipped_weights() -> WeightsFile<'static> {
    WeightsFile {
        name: "models/backbones/efficientnet-lite0.safetensors",
        bytes: EFFICIENTNET_LITE0,
        sha256: EFFICIENTNET_LITE0_SHA256,
    }
}

impl WeightsFile<'_> {
    /// Fills the backbones of selector, predictor and detector; last layers and heads stay as they are. Returns the
    /// number of tensors taken over in all.
    ///
    /// # Errors
    /// [`PretrainedError`]: networks without such a backbone, a wrong checksum, tensors that are missing or have
    /// another shape. Nothing is promised of networks that were given with an error.
    pub fn fill(&self, comet: &mut Comet, detector: &mut Classifier) -> Result<usize, PretrainedError> {
        self.check()?;
        let Selector { backbone: SelectorBackbone::EfficientNetLite(features), .. } = &mut comet.selector
        else {
            return Err(PretrainedError::NoWeights { network: "selector" });
        };
        let mut count = self.load(features, "")?;
        for classifier in [&mut comet.predictor, detector] {
            let Classifier::EfficientNetLite(network) = classifier else {
                return Err(PretrainedError::NoWeights { network: "predictor" });
            };
            count += self.load_classifier(network)?;
        }
        Ok(count)
    }

    /// Fills one classifier, its last layer apart. Returns the number of tensors taken over.
    ///
    /// # Errors
    /// See [`WeightsFile::fill`].
    pub fn fill_classifier(&self, network: &mut EfficientNetLite) -> Result<usize, PretrainedError> {
        self.check()?;
        self.load_classifier(network)
    }

    fn load_classifier(&self, network: &mut EfficientNetLite) -> Result<usize, PretrainedError> {
        Ok(self.load(&mut network.features, "")? + self.load(&mut network.last, "last.")?)
    }

    fn check(&self) -> Result<(), PretrainedError> {
        let found: String = Sha256::digest(self.bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        // The file is in the form of `sha256sum`: the name comes after the checksum.
        let expected = self.sha256.split_whitespace().next().unwrap_or_default();
        if found == expected {
            return Ok(());
        }
        Err(PretrainedError::Checksum { name: self.name.to_owned(), found, expected: expected.to_owned() })
    }

    /// Fills a module with the tensors whose names begin with `prefix`.
    fn load<M: ModuleSnapshot>(&self, module: &mut M, prefix: &str) -> Result<usize, PretrainedError> {
        let name = self.name.to_owned();
        let unreadable = |fault: String| PretrainedError::Unreadable { name: name.clone(), fault };
        let rules = vec![(format!("^{}", prefix.replace('.', "\\.")), String::new())];
        let rules = if prefix.is_empty() { Vec::new() } else { rules };
        let remapper = KeyRemapper::from_patterns(rules).map_err(|error| unreadable(error.to_string()))?;
        let mut store = SafetensorsStore::from_bytes(Some(self.bytes.to_vec()))
            .with_from_adapter(PyTorchToBurnAdapter.chain(FloatCastAdapter::to(DType::F32)))
            .remap(remapper)
            .validate(false)
            .allow_partial(true);
        let result = module.load_from(&mut store).map_err(|error| unreadable(error.to_string()))?;
        let faults = faults(&result, |_| false);
        if faults.is_empty() {
            return Ok(result.applied.len());
        }
        let fault = faults.into_iter().take(3).collect::<Vec<_>>().join("; ");
        Err(PretrainedError::Mismatch { name, fault })
    }
}
