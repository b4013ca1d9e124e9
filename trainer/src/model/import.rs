//! Weights from torchvision: `.pth` and `.safetensors` files, by renaming keys.

use std::path::{Path, PathBuf};

use burn_store::{
    ApplyError, ApplyResult, KeyRemapper, ModuleSnapshot, PyTorchToBurnAdapter, PytorchStore,
    SafetensorsStore,
};

use super::classifier::Classifier;
use super::mobilenet_v3::Backbone;
use super::selector::Selector;

/// Why weights could not be taken over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The suffix is that of no known format.
    #[error("{0}: weights are read from .pth, .pt and .safetensors files")]
    UnknownFormat(PathBuf),
    /// The file could not be read as what its suffix says.
    #[error("{path}: cannot be read as weights ({fault})")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reader's message.
        fault: String,
    },
    /// Tensors are missing or have another shape.
    #[error("{path}: does not fit the {network}: {fault}. Is it a file of torchvision's {expected}?")]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// What was to be filled.
        network: &'static str,
        /// The first tensors that do not fit.
        fault: String,
        /// torchvision's name of the network.
        expected: &'static str,
    },
    /// torchvision has no such network.
    #[error(
        "{path}: torchvision's weights fit the presets full and small; the {network} of the preset lite comes with weights of its own"
    )]
    NoTorchvision {
        /// The file.
        path: PathBuf,
        /// selector or predictor.
        network: &'static str,
    },
    /// The rename rules do not compile; cannot happen with the fixed rules of this file.
    #[error("key rules: {0}")]
    Rules(String),
}

/// Fills a selector from torchvision's `lraspp_mobilenet_v3_large` or from a MobileNetV3 classifier's features.
///
/// The last layers (`head.low`, `head.high`) stay as they are when the file was made for another number of
/// classes; a file of a classifier fills the backbone only. Returns the number of tensors taken over.
///
/// # Errors
/// [`ImportError`]; without a `backbone` (the preset lite) always.
pub fn import_selector(
    selector: &mut Selector,
    backbone: Option<Backbone>,
    path: &Path,
) -> Result<usize, ImportError> {
    let Some(backbone) = backbone else {
        return Err(ImportError::NoTorchvision { path: path.to_owned(), network: "selector" });
    };
    let optional = |name: &str| name.starts_with("head.");
    import(
        selector,
        &selector_rules(backbone),
        path,
        optional,
        "selector",
        match backbone {
            Backbone::Large => "lraspp_mobilenet_v3_large or mobilenet_v3_large",
            Backbone::Small => "mobilenet_v3_small (or the LR-ASPP on it)",
        },
    )
}

/// Fills a predictor or detector from torchvision's `resnet18`. The last layer stays as it is when the file
/// was made for another number of classes. Returns the number of tensors taken over.
///
/// # Errors
/// [`ImportError`]; for a classifier that is no ResNet-18 always.
pub fn import_classifier(network: &mut Classifier, path: &Path) -> Result<usize, ImportError> {
    let Classifier::ResNet18(network) = network else {
        return Err(ImportError::NoTorchvision { path: path.to_owned(), network: "predictor" });
    };
    let rules = vec![
        (r"\.downsample\.0\.".to_owned(), ".downsample.conv.".to_owned()),
        (r"\.downsample\.1\.".to_owned(), ".downsample.bn.".to_owned()),
    ];
    import(network, &rules, path, |name| name.starts_with("fc."), "predictor", "resnet18")
}

fn import<M: ModuleSnapshot>(
    network: &mut M,
    rules: &[(String, String)],
    path: &Path,
    optional: impl Fn(&str) -> bool,
    name: &'static str,
    expected: &'static str,
) -> Result<usize, ImportError> {
    let remapper =
        KeyRemapper::from_patterns(rules.to_vec()).map_err(|error| ImportError::Rules(error.to_string()))?;
    let unreadable = |fault: String| ImportError::Unreadable { path: path.to_owned(), fault };
    let suffix = path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default();
    if !path.is_file() {
        return Err(unreadable("there is no such file".into()));
    }
    let result = match suffix {
        "pth" | "pt" => {
            let mut store = PytorchStore::from_file(path)
                .remap(remapper)
                .skip_enum_variants(true)
                .validate(false)
                .allow_partial(true);
            network.load_from(&mut store).map_err(|error| unreadable(error.to_string()))?
        }
        "safetensors" => {
            let mut store = SafetensorsStore::from_file(path)
                .with_from_adapter(PyTorchToBurnAdapter)
                .skip_enum_variants(true)
                .remap(remapper)
                .validate(false)
                .allow_partial(true);
            network.load_from(&mut store).map_err(|error| unreadable(error.to_string()))?
        }
        _ => return Err(ImportError::UnknownFormat(path.to_owned())),
    };
    match faults(&result, optional) {
        faults if faults.is_empty() => Ok(result.applied.len()),
        faults => Err(ImportError::Mismatch {
            path: path.to_owned(),
            network: name,
            fault: faults.into_iter().take(3).collect::<Vec<_>>().join("; "),
            expected,
        }),
    }
}

/// What does not fit, the optional layers aside.
pub(super) fn faults(result: &ApplyResult, optional: impl Fn(&str) -> bool) -> Vec<String> {
    let errors = result.errors.iter().filter(|error| match error {
        ApplyError::ShapeMismatch { path, .. } => !optional(path),
        _ => true,
    });
    let missing = result.missing.iter().map(|(path, _)| path).filter(|path| !optional(path));
    errors.map(ToString::to_string).chain(missing.map(|path| format!("'{path}' is missing"))).collect()
}

/// torchvision's keys to ours: nine fixed rules, and some for each block of the table.
fn selector_rules(backbone: Backbone) -> Vec<(String, String)> {
    let mut rules = Vec::new();
    let mut rule = |from: String, to: &str| {
        rules.push((format!("^{}\\.", from.replace('.', "\\.")), format!("{to}.")));
    };
    let last = backbone.blocks().len() + 1;
    // In a segmentation model the features are called `backbone`, in a classifier `features`.
    for root in ["backbone", "features"] {
        rule(format!("{root}.0.0"), "backbone.stem.conv");
        rule(format!("{root}.0.1"), "backbone.stem.bn");
        rule(format!("{root}.{last}.0"), "backbone.last.conv");
        rule(format!("{root}.{last}.1"), "backbone.last.bn");
        for (index, spec) in backbone.blocks().iter().enumerate() {
            let from = format!("{root}.{}.block", index + 1);
            let to = format!("backbone.blocks.{index}");
            let mut position = 0;
            let mut layer = |name: &str, with_norm: bool| {
                if with_norm {
                    rule(format!("{from}.{position}.0"), &format!("{to}.{name}.conv"));
                    rule(format!("{from}.{position}.1"), &format!("{to}.{name}.bn"));
                } else {
                    rule(format!("{from}.{position}"), &format!("{to}.{name}"));
                }
                position += 1;
            };
            if spec.expanded != spec.input {
                layer("expand", true);
            }
            layer("depthwise", true);
            if spec.squeeze {
                layer("squeeze", false);
            }
            layer("project", true);
        }
    }
    rule("classifier.cbr.0".into(), "head.cbr.conv");
    rule("classifier.cbr.1".into(), "head.cbr.bn");
    rule("classifier.scale.1".into(), "head.scale");
    rule("classifier.low_classifier".into(), "head.low");
    rule("classifier.high_classifier".into(), "head.high");
    rules
}
