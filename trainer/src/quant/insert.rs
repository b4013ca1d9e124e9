//! Writes the integers into the graph, as QuantizeLinear and DequantizeLinear pairs.

use std::collections::BTreeSet;

use comet_edge::engine::proto::{NodeProto, tensor_proto::DataType};
use comet_edge::engine::{LEFT_OUT, MASKED};

use super::QuantError;
use super::correct::corrected_bias;
use super::observe::Observations;
use super::range::QuantRange;
use super::scheme::Scheme;
use super::weights::IntegerLayer;
use crate::export::{Graph, attribute, node};

/// The int8 form of a float graph; `correct_bias` takes back what rounding the weights shifts.
pub fn quantize(
    graph: &Graph,
    scheme: &Scheme,
    found: &Observations,
    correct_bias: bool,
) -> Result<Graph, QuantError> {
    let mut quantized = Graph { nodes: Vec::new(), ..graph.clone() };
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
        // Masked pictures are made from the picture itself; its product is rounded once, not twice.
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

/// Name of a value after it went through 8 bits.
fn rounded(value: &str) -> String {
    format!("{value}/dequantized")
}

/// `value -> QuantizeLinear -> DequantizeLinear`
fn round_value(graph: &mut Graph, value: &str, range: QuantRange) {
    let (scale, zero) = (format!("{value}/scale"), format!("{value}/zero_point"));
    graph.set_raw(&scale, DataType::Float, &[], range.scale.to_le_bytes().to_vec());
    graph.set_raw(&zero, DataType::Uint8, &[], vec![range.zero_point]);
    let stored = format!("{value}/quantized");
    graph.nodes.push(node("QuantizeLinear", &[value, &scale, &zero], &stored, vec![]));
    graph.nodes.push(node("DequantizeLinear", &[&stored, &scale, &zero], &rounded(value), vec![]));
}

/// Replaces weights and bias of a layer by integers with a DequantizeLinear each.
fn round_layer(
    graph: &mut Graph,
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
