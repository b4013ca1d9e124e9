//! Writes the integers into the graph, as QuantizeLinear and DequantizeLinear pairs.

use std::collections::BTreeSet;

use comet_engine::model::{LEFT_OUT, MASKED};
use comet_onnx::proto::{NodeProto, tensor_proto::DataType};
use comet_onnx::{GraphEditor, attribute, node};

use super::correct::corrected_bias;
use super::error::QuantError;
use super::observe::Observations;
use super::range::QuantRange;
use super::scheme::Scheme;
use super::weights::IntegerLayer;

/// The int8 form of a float graph; with `correct_bias` the biases compensate for the shift that rounding the weights
/// causes.
pub fn quantize(
    graph: &GraphEditor,
    scheme: &Scheme,
    found: &Observations,
    correct_bias: bool,
) -> Result<GraphEditor, QuantError> {
    let mut quantized = GraphEditor { nodes: Vec::new(), ..graph.clone() };
    let values: BTreeSet<&str> = scheme.values.iter().map(String::as_str).collect();
    let range_of = |value: &str| {
        let range = found.ranges.get(value).copied();
        range.ok_or_else(|| QuantError::Graph(format!("'{value}' was not measured")))
    };
    round_value(&mut quantized, &graph.input, range_of(&graph.input)?);
    for node in &graph.nodes {
        let mut node = node.clone();
        if ["Conv", "Gemm"].contains(&node.op_type.as_str()) {
            let source = node.input.first().cloned().unwrap_or_default();
            round_layer(
                &mut quantized,
                &mut node,
                range_of(&source)?,
                found.channel_means.get(&source).filter(|_| correct_bias),
            )?;
        }
        let output = node.output.first().cloned().unwrap_or_default();
        // Masked images are made from the image itself; its product is rounded once, not twice.
        if ![MASKED, LEFT_OUT].contains(&output.as_str()) {
            for input in node.input.iter_mut().filter(|input| values.contains(input.as_str())) {
                *input = rounded(input);
            }
        }
        quantized.nodes.push(node);
        if values.contains(output.as_str()) {
            round_value(&mut quantized, &output, range_of(&output)?);
        }
    }
    quantized.remove_dead();
    Ok(quantized)
}

/// Name of a value after it was rounded to 8 bits.
fn rounded(value: &str) -> String {
    format!("{value}/dequantized")
}

/// `value -> QuantizeLinear -> DequantizeLinear`
fn round_value(graph: &mut GraphEditor, value: &str, range: QuantRange) {
    let (scale, zero) = (format!("{value}/scale"), format!("{value}/zero_point"));
    graph.set_raw(&scale, DataType::Float, &[], range.scale.to_le_bytes().to_vec());
    graph.set_raw(&zero, DataType::Uint8, &[], vec![range.zero_point]);
    let stored = format!("{value}/quantized");
    graph.nodes.push(node("QuantizeLinear", &[value, &scale, &zero], &stored, vec![]));
    graph.nodes.push(node("DequantizeLinear", &[&stored, &scale, &zero], &rounded(value), vec![]));
}

/// Replaces weights and bias of a layer by integers with a DequantizeLinear each.
fn round_layer(
    graph: &mut GraphEditor,
    layer: &mut NodeProto,
    input: QuantRange,
    input_means: Option<&Vec<f64>>,
) -> Result<(), QuantError> {
    let fault = || QuantError::Graph(format!("layer '{}' has no weights and bias of its own", layer.name));
    let [_, weight_name, rest @ ..] = layer.input.as_slice() else {
        return Err(fault());
    };
    let weight = graph.floats(weight_name).ok_or_else(fault)?;
    let channels = weight.dims.first().copied().unwrap_or(0);
    let bias_name = match rest {
        [name] => name.clone(),
        _ => format!("{}.bias", weight_name.trim_end_matches(".weight")),
    };
    let bias = graph.floats(&bias_name).map_or_else(|| vec![0.0; channels], |tensor| tensor.values);
    let mut integers = IntegerLayer::round(&weight, &bias, input.scale);
    if let Some(means) = input_means {
        let groups = attribute::int_of(layer, "group").unwrap_or(1).max(1) as usize;
        let bias = corrected_bias(&weight, &bias, &integers, means, groups);
        integers = IntegerLayer::round(&weight, &bias, input.scale);
    }
    let weight_name = weight_name.clone();
    let along_outputs = || vec![attribute::int("axis", 0)];
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let names =
        |name: &str| [format!("{name}/integers"), format!("{name}/scale"), format!("{name}/zero_point")];

    let [stored, scale, zero] = names(&weight_name);
    let bytes = integers.weights.iter().map(|&weight| weight as u8).collect();
    graph.set_raw(&stored, DataType::Int8, &weight.dims, bytes);
    graph.set_raw(&scale, DataType::Float, &[channels], floats(&integers.scales));
    graph.set_raw(&zero, DataType::Int8, &[channels], vec![0; channels]);
    graph.nodes.push(node(
        "DequantizeLinear",
        &[&stored, &scale, &zero],
        &rounded(&weight_name),
        along_outputs(),
    ));

    let [stored, scale, zero] = names(&bias_name);
    let bytes = integers.bias.iter().flat_map(|bias| bias.to_le_bytes()).collect();
    graph.set_raw(&stored, DataType::Int32, &[channels], bytes);
    graph.set_raw(&scale, DataType::Float, &[channels], floats(&integers.bias_scales));
    graph.set_raw(&zero, DataType::Int32, &[channels], vec![0; 4 * channels]);
    graph.nodes.push(node(
        "DequantizeLinear",
        &[&stored, &scale, &zero],
        &rounded(&bias_name),
        along_outputs(),
    ));

    layer.input.truncate(1);
    layer.input.extend([rounded(&weight_name), rounded(&bias_name)]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::fixture::pair;
    use comet_onnx::tensor;

    /// Ranges and means for [`pair`].
    fn found(scheme: &Scheme) -> Observations {
        let ranges = scheme.values.iter().map(|value| (value.clone(), QuantRange::covering(-1.0, 1.55)));
        let means = [("image", vec![0.3; 3]), ("pooled", vec![0.2; 4]), (MASKED, vec![0.1; 3])];
        let means = means.into_iter().chain([("features", vec![0.5; 5])]);
        let channel_means = means.map(|(name, means)| (name.to_owned(), means)).collect();
        Observations { ranges: ranges.collect(), channel_means }
    }

    fn quantized(correct_bias: bool) -> GraphEditor {
        let graph = pair();
        let scheme = Scheme::of(&graph).unwrap();
        quantize(&graph, &scheme, &found(&scheme), correct_bias).unwrap()
    }

    fn inputs<'a>(graph: &'a GraphEditor, value: &str) -> Vec<&'a str> {
        graph.producer(value).unwrap().input.iter().map(String::as_str).collect()
    }

    fn integers(graph: &GraphEditor, name: &str) -> Vec<i64> {
        tensor::integers(&graph.constants[name]).unwrap()
    }

    #[test]
    fn layers_read_integers_and_the_masked_image_is_made_from_the_image_itself() {
        let graph = quantized(false);
        let layers = graph.nodes.iter().filter(|node| ["Conv", "Gemm"].contains(&node.op_type.as_str()));
        for layer in layers {
            assert_eq!(layer.input.len(), 3, "{}", layer.name);
            assert!(layer.input.iter().all(|input| input.ends_with("/dequantized")), "{:?}", layer.input);
        }
        assert_eq!(inputs(&graph, MASKED), ["image", "mask"]);
        assert_eq!(inputs(&graph, "gated"), ["body/dequantized", "gate/dequantized"]);
        assert_eq!(inputs(&graph, "mask"), ["resized"], "the map's tail is float");
        assert_eq!(graph.outputs, ["mask", "logits"]);
        assert!(!graph.constants.contains_key("stem.weight"), "no float weights are left");
    }

    #[test]
    fn each_value_passes_through_8_bits_with_its_own_range() {
        let graph = quantized(false);
        let pairs = graph.nodes.iter().filter(|node| node.op_type == "QuantizeLinear").count();
        assert_eq!(pairs, 9, "one for each value of the scheme");
        assert_eq!(inputs(&graph, "body/dequantized"), ["body/quantized", "body/scale", "body/zero_point"]);
        assert_eq!(inputs(&graph, "body/quantized"), ["body", "body/scale", "body/zero_point"]);
        assert_eq!(graph.scalar("body/scale"), Some(2.55 / 255.0));
        assert_eq!(integers(&graph, "body/zero_point"), [100]);
    }

    #[test]
    fn weights_and_biases_have_one_scale_an_output_channel() {
        let graph = quantized(false);
        let weight = pair().floats("fc.weight").unwrap();
        let layer = IntegerLayer::round(&weight, &pair().floats("fc.bias").unwrap().values, 2.55 / 255.0);
        let expected: Vec<i64> = layer.weights.iter().map(|&weight| weight.into()).collect();
        assert_eq!(integers(&graph, "fc.weight/integers"), expected);
        assert_eq!(graph.constants["fc.weight/integers"].dims, [2, 5]);
        assert_eq!(graph.floats("fc.weight/scale").unwrap().values, layer.scales);
        let expected: Vec<i64> = layer.bias.iter().map(|&bias| bias.into()).collect();
        assert_eq!(integers(&graph, "fc.bias/integers"), expected);
        assert_eq!(graph.floats("fc.bias/scale").unwrap().values, layer.bias_scales);
        for name in ["fc.weight/zero_point", "fc.bias/zero_point"] {
            assert_eq!(integers(&graph, name), [0, 0], "{name}");
        }
        assert_eq!(integers(&graph, "body.bias/integers"), [0; 5], "a layer without a bias gets one");
    }

    #[test]
    fn biases_are_corrected_only_where_it_is_asked_for_and_means_are_known() {
        let (plain, corrected) = (quantized(false), quantized(true));
        for name in ["stem.bias", "head.bias", "body.bias", "fc.bias"] {
            let name = format!("{name}/integers");
            assert_ne!(integers(&plain, &name), integers(&corrected, &name), "{name}");
        }
        let graph = pair();
        let scheme = Scheme::of(&graph).unwrap();
        let unknown = Observations { channel_means: std::collections::BTreeMap::new(), ..found(&scheme) };
        let graph = quantize(&graph, &scheme, &unknown, true).unwrap();
        assert_eq!(integers(&graph, "fc.bias/integers"), integers(&plain, "fc.bias/integers"));
    }

    #[test]
    fn a_value_that_was_not_measured_and_a_layer_without_weights_are_errors() {
        let graph = pair();
        let scheme = Scheme::of(&graph).unwrap();
        let mut missing = found(&scheme);
        missing.ranges.remove("gate");
        let refused = quantize(&graph, &scheme, &missing, true).unwrap_err().to_string();
        assert!(refused.contains("'gate' was not measured"), "{refused}");
        let mut graph = pair();
        graph.constants.remove("fc.weight");
        let refused = quantize(&graph, &scheme, &found(&scheme), true).unwrap_err().to_string();
        assert!(refused.contains("'logits'"), "{refused}");
    }
}
