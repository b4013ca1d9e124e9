//! A quantized graph as a float one: constants multiplied out, activations left unrounded.
//!
//! Where a processor multiplies bytes no faster than floats, tract may run this graph faster than the integer kernels
//! run the quantized one.

use std::collections::HashMap;

use comet_onnx::attribute::int_of;
use comet_onnx::proto::{GraphProto, ModelProto, TensorProto};
use comet_onnx::tensor::{floats, integers};
use comet_onnx::{GraphView, model_of};

/// `proto` without quantization; `None` if some of it cannot be taken out.
pub(crate) fn dequantized(proto: &ModelProto, input: &[usize]) -> Option<ModelProto> {
    let source = proto.graph.as_ref()?;
    let graph = GraphView::new(source, input);
    // The name that a value has without quantization.
    let mut names: HashMap<&str, &str> = HashMap::new();
    let mut initializer = Vec::new();
    let mut node = Vec::new();
    for old in &source.node {
        let output = old.output.first()?.as_str();
        let first = old.input.first().map(String::as_str);
        match old.op_type.as_str() {
            "QuantizeLinear" | "DequantizeLinear" if graph.is_output(output) => return None,
            "DequantizeLinear" if graph.is_constant(first?) => {
                let scale = graph.constant(old.input.get(1)?)?;
                let zero_point = match old.input.get(2).filter(|name| !name.is_empty()) {
                    None => None,
                    Some(name) => Some(graph.constant(name)?),
                };
                let axis = int_of(old, "axis").unwrap_or(1);
                initializer.push(multiplied(output, graph.constant(first?)?, scale, zero_point, axis)?);
            }
            "QuantizeLinear" | "DequantizeLinear" => {
                let name = names.get(first?).copied().unwrap_or(first?);
                names.insert(output, name);
            }
            _ => {
                let mut new = old.clone();
                for name in &mut new.input {
                    if let Some(other) = names.get(name.as_str()) {
                        *name = (*other).to_owned();
                    }
                }
                node.push(new);
            }
        }
    }
    let graph = GraphProto {
        name: source.name.clone(),
        node,
        input: source.input.clone(),
        output: source.output.clone(),
        ..GraphProto::default()
    };
    Some(model_of(proto, graph, initializer.iter().chain(&source.initializer)))
}

/// `(tensor - zero_point) * scale` along `axis`, as a tensor of floats called `name`.
fn multiplied(
    name: &str,
    tensor: &TensorProto,
    scale: &TensorProto,
    zero_point: Option<&TensorProto>,
    axis: i64,
) -> Option<TensorProto> {
    let (values, scales) = (integers(tensor)?, floats(scale)?);
    let zeros = zero_point.map_or_else(|| Some(vec![0]), integers)?;
    let dims: Option<Vec<usize>> = tensor.dims.iter().map(|side| usize::try_from(*side).ok()).collect();
    let dims = dims?;
    let axis = usize::try_from(if axis < 0 { axis + dims.len() as i64 } else { axis }).ok()?;
    // Values that share a scale lie in runs of this length.
    let run: usize = dims.iter().skip(axis + 1).product();
    let count = if scales.len() == 1 { 1 } else { *dims.get(axis)? };
    if run == 0 || count == 0 || scales.len() != count || (zeros.len() != 1 && zeros.len() != count) {
        return None;
    }
    let real = |(index, value): (usize, &i64)| {
        let channel = index / run % count;
        let zero = zeros.get(channel).or(zeros.first()).copied().unwrap_or(0);
        (value - zero) as f32 * scales.get(channel).copied().unwrap_or(f32::NAN)
    };
    let raw_data = values.iter().enumerate().map(real).flat_map(f32::to_le_bytes).collect();
    Some(TensorProto {
        name: name.to_owned(),
        dims: tensor.dims.clone(),
        data_type: 1,
        raw_data,
        ..TensorProto::default()
    })
}
