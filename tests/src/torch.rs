//! torchvision's names of tensors and ours: the importer's rules, read backwards.

use std::collections::BTreeMap;

/// Key and shape of a tensor in a PyTorch file.
pub type Entry = (String, Vec<usize>);

/// Our name of a tensor of torchvision's selector.
pub fn selector_name(key: &str, layout: &[Entry]) -> String {
    let parts: Vec<&str> = key.split('.').collect();
    let named = match parts.as_slice() {
        ["backbone", "0", layer, leaf] => format!("backbone.stem.{}.{leaf}", conv_or_bn(layer)),
        ["backbone", _, layer @ ("0" | "1"), leaf] => format!("backbone.last.{}.{leaf}", conv_or_bn(layer)),
        ["backbone", block, "block", rest @ ..] => block_name(block, rest, layout),
        ["classifier", "cbr", layer, leaf] => format!("head.cbr.{}.{leaf}", conv_or_bn(layer)),
        ["classifier", "scale", _, leaf] => format!("head.scale.{leaf}"),
        ["classifier", "low_classifier", leaf] => format!("head.low.{leaf}"),
        ["classifier", "high_classifier", leaf] => format!("head.high.{leaf}"),
        _ => key.to_owned(),
    };
    norm_name(&named)
}

/// A block has an expansion unless it begins with its depthwise layer, and squeezes if a layer has `fc1`.
fn block_name(block: &str, rest: &[&str], layout: &[Entry]) -> String {
    let prefix = format!("backbone.{block}.block.");
    let keys = layout.iter().filter_map(|(key, _)| key.strip_prefix(prefix.as_str()));
    let mut squeezes = BTreeMap::new();
    for key in keys {
        let (position, layer) = key.split_once('.').unwrap_or((key, ""));
        *squeezes.entry(position).or_insert(false) |= layer.starts_with("fc");
    }
    let convolutions: Vec<&str> =
        squeezes.iter().filter(|(_, squeezes)| !**squeezes).map(|(position, _)| *position).collect();
    let names: &[&str] =
        if convolutions.len() == 3 { &["expand", "depthwise", "project"] } else { &["depthwise", "project"] };
    let index = block.parse::<usize>().map_or(0, |block| block - 1);
    let place = |position: &str| convolutions.iter().position(|convolution| *convolution == position);
    match rest {
        [_, fc @ ("fc1" | "fc2"), leaf] => format!("backbone.blocks.{index}.squeeze.{fc}.{leaf}"),
        [position, layer, leaf] => {
            let name = place(position).and_then(|place| names.get(place)).unwrap_or(&"unknown");
            format!("backbone.blocks.{index}.{name}.{}.{leaf}", conv_or_bn(layer))
        }
        _ => rest.join("."),
    }
}

fn conv_or_bn(layer: &str) -> &'static str {
    if layer == "0" { "conv" } else { "bn" }
}

/// Our name of a tensor of torchvision's ResNet-18.
pub fn resnet_name(key: &str) -> String {
    norm_name(
        &key.replace(".downsample.0.", ".downsample.conv.").replace(".downsample.1.", ".downsample.bn."),
    )
}

/// Our name of a tensor of a network that has the trainer's names of modules (`tests/reference/lite.py`).
pub fn own_name(key: &str) -> String {
    norm_name(key)
}

/// Burn calls a BatchNorm's weight gamma and its bias beta.
fn norm_name(name: &str) -> String {
    let Some((layer, leaf)) = name.rsplit_once('.') else { return name.to_owned() };
    let is_norm = layer.rsplit('.').next().is_some_and(|last| last.starts_with("bn"));
    match (is_norm, leaf) {
        (true, "weight") => format!("{layer}.gamma"),
        (true, "bias") => format!("{layer}.beta"),
        _ => name.to_owned(),
    }
}

/// Where entry `index` of a tensor of PyTorch stands in ours: Burn has the weights of linear layers transposed.
pub fn place(key: &str, shape: &[usize], index: usize) -> usize {
    match shape {
        [outputs, inputs] if key.ends_with("fc.weight") => (index % inputs) * outputs + index / inputs,
        _ => index,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_our_modules() {
        let keys = [
            "backbone.1.block.0.0.weight",
            "backbone.1.block.1.fc1.weight",
            "backbone.1.block.2.1.bias",
            "backbone.2.block.0.0.weight",
            "backbone.2.block.1.1.weight",
            "backbone.2.block.2.1.running_var",
        ];
        let layout: Vec<Entry> = keys.iter().map(|key| ((*key).to_owned(), vec![1])).collect();
        let names: Vec<String> = keys.iter().map(|key| selector_name(key, &layout)).collect();
        let expected = [
            "backbone.blocks.0.depthwise.conv.weight",
            "backbone.blocks.0.squeeze.fc1.weight",
            "backbone.blocks.0.project.bn.beta",
            "backbone.blocks.1.expand.conv.weight",
            "backbone.blocks.1.depthwise.bn.gamma",
            "backbone.blocks.1.project.bn.running_var",
        ];
        assert_eq!(names, expected);
        assert_eq!(selector_name("backbone.0.1.weight", &layout), "backbone.stem.bn.gamma");
        assert_eq!(selector_name("backbone.12.0.weight", &layout), "backbone.last.conv.weight");
        assert_eq!(selector_name("classifier.scale.1.weight", &layout), "head.scale.weight");
        assert_eq!(resnet_name("layer2.0.downsample.1.bias"), "layer2.0.downsample.bn.beta");
        assert_eq!(resnet_name("bn1.weight"), "bn1.gamma");
        // Two rows of three become three rows of two.
        let places: Vec<usize> = (0..6).map(|index| place("fc.weight", &[2, 3], index)).collect();
        assert_eq!(places, [0, 2, 4, 1, 3, 5]);
    }
}
