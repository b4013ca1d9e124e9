//! Rules that every COMET graph keeps, held before the engine sees the file.
//!
//! The engine is a large parser; a hostile file should meet a small one first. What is allowed is listed,
//! everything else is refused by name.

use crate::proto::{AttributeProto, GraphProto, ModelProto, TensorProto};
use crate::tensor;

/// The largest number of nodes in a graph. The engine's preparation takes more than linear time in it. The largest
/// networks of the trainer, quantized and with their detector, have about 1,010.
pub const MAX_NODES: usize = 1_200;
/// The largest number in an attribute, and the largest side that a Resize may ask for.
const MAX_NUMBER: i64 = 4_096;
/// Most pixels of a window: pooling over a whole image of 256x256.
const MAX_TAPS: i64 = 65_536;
/// Operators of COMET graphs, as written by our exporter and by the usual quantizers.
const OPERATORS: &[&str] = &[
    "Add",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Clip",
    "Constant",
    "Conv",
    "DequantizeLinear",
    "Div",
    "Flatten",
    "Gemm",
    "GlobalAveragePool",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "MatMul",
    "MaxPool",
    "Mul",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
    "ReduceMean",
    "Relu",
    "Reshape",
    "Resize",
    "Shape",
    "Sigmoid",
    "Slice",
    "Softmax",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
];

/// Why a graph was refused, as a sentence that follows the name of the file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

/// Holds `proto`, read from a file of `file_bytes` bytes, against the rules of this module.
///
/// # Errors
/// A rule is broken; the text names the node or tensor, and the limit.
pub fn check(proto: &ModelProto, graph: &GraphProto, file_bytes: usize) -> Result<(), Refusal> {
    if !proto.functions.is_empty() || !proto.training_info.is_empty() {
        return refuse("it defines functions or training graphs".into());
    }
    check_nodes(graph)?;
    check_numbers(graph)?;
    stored(graph).try_for_each(|(name, tensor)| check_tensor(name, tensor, file_bytes))
}

/// Every tensor that the file holds, with its name: constants may stand in nodes as well as in the list of the graph.
fn stored(graph: &GraphProto) -> impl Iterator<Item = (&str, &TensorProto)> {
    let listed = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor));
    let in_nodes = graph.node.iter().flat_map(|node| {
        let name = node.output.first().map_or(node.name.as_str(), String::as_str);
        let tensors =
            node.attribute.iter().flat_map(|attribute| attribute.t.iter().chain(&attribute.tensors));
        tensors.map(move |tensor| (name, tensor))
    });
    listed.chain(in_nodes)
}

fn refuse<T>(fault: String) -> Result<T, Refusal> {
    Err(Refusal(fault))
}

fn check_nodes(graph: &GraphProto) -> Result<(), Refusal> {
    if graph.node.len() > MAX_NODES {
        return refuse(format!("{} nodes; the limit is {MAX_NODES}", graph.node.len()));
    }
    if !graph.sparse_initializer.is_empty() {
        return refuse("it holds sparse initializers".into());
    }
    for node in &graph.node {
        let known = node.domain.is_empty() || node.domain == "ai.onnx";
        if !known || !OPERATORS.contains(&node.op_type.as_str()) {
            let operator = printable(&format!("{}:{}", node.domain, node.op_type));
            let name = printable(&node.name);
            return refuse(format!("node '{name}' has the operator '{operator}'"));
        }
        let nested = |a: &AttributeProto| a.g.is_some() || !a.graphs.is_empty() || a.sparse_tensor.is_some();
        if node.attribute.iter().any(nested) {
            let name = printable(&node.name);
            return refuse(format!("node '{name}' holds a graph of its own"));
        }
    }
    Ok(())
}

/// Kernels, strides, paddings and sizes that no network has would make the engine take memory and time.
fn check_numbers(graph: &GraphProto) -> Result<(), Refusal> {
    let sane = |number: &i64| (-MAX_NUMBER..=MAX_NUMBER).contains(number);
    for node in &graph.node {
        for attribute in &node.attribute {
            if !sane(&attribute.i) || !attribute.ints.iter().all(sane) {
                let (name, key) = (printable(&node.name), printable(&attribute.name));
                return refuse(format!("node '{name}' has a number in '{key}' that no network needs"));
            }
            if !attribute.f.is_finite() || !attribute.floats.iter().all(|value| value.is_finite()) {
                let (name, key) = (printable(&node.name), printable(&attribute.name));
                return refuse(format!("node '{name}' has a value in '{key}' that is not a finite number"));
            }
            // The engine lists every tap of a window.
            let taps = attribute.ints.iter().fold(1i64, |taps, side| taps.saturating_mul((*side).max(1)));
            if attribute.name == "kernel_shape" && taps > MAX_TAPS {
                let name = printable(&node.name);
                return refuse(format!(
                    "node '{name}' has a window of {taps} pixels; the limit is {MAX_TAPS}"
                ));
            }
        }
    }
    let sizes = graph.node.iter().filter(|node| node.op_type == "Resize").flat_map(|node| &node.input);
    for name in sizes {
        let tensor = stored(graph).find(|(stored, _)| stored == name);
        if tensor.is_some_and(|(_, tensor)| !is_sane_size(tensor)) {
            return refuse(format!("'{}' asks for a size that no network needs", printable(name)));
        }
    }
    Ok(())
}

/// Whether the tensor's data are inside the file, as many as its dimensions say, and finite.
fn check_tensor(name: &str, tensor: &TensorProto, file_bytes: usize) -> Result<(), Refusal> {
    let name = printable(name);
    if tensor.data_location == Some(1) || !tensor.external_data.is_empty() {
        return refuse(format!("tensor '{name}' keeps its data in another file"));
    }
    let count =
        tensor.dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(usize::try_from(dim).ok()?));
    let Some(count) = count.filter(|&count| count <= file_bytes) else {
        return refuse(format!("tensor '{name}' claims more values than the file has bytes"));
    };
    let width = match tensor.data_type {
        1 | 6 => 4,
        2 | 3 | 9 => 1,
        7 | 11 => 8,
        other => return refuse(format!("tensor '{name}' has the data type {other}")),
    };
    if !tensor.raw_data.is_empty() && Some(tensor.raw_data.len()) != count.checked_mul(width) {
        return refuse(format!("tensor '{name}' has {} bytes for {count} values", tensor.raw_data.len()));
    }
    // The engine's Sigmoid makes 0 of NaN: the file would run, and its map would look like one.
    if !tensor::is_finite(tensor) {
        return refuse(format!("tensor '{name}' holds a value that is not a finite number"));
    }
    Ok(())
}

/// Whether every size that the tensor asks for is one that a network may need; true for one that holds no sizes.
fn is_sane_size(tensor: &TensorProto) -> bool {
    tensor.data_type != 7
        || tensor::integers(tensor)
            .is_some_and(|sizes| sizes.iter().all(|size| (1..=MAX_NUMBER).contains(size)))
}

/// Names come from the file: cut and made harmless for a terminal.
pub fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::NodeProto;

    /// A graph whose only node is a constant with the floats `values`.
    fn constant(values: &[f32]) -> GraphProto {
        let tensor = TensorProto {
            data_type: 1,
            dims: vec![values.len() as i64],
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
            ..TensorProto::default()
        };
        let value = AttributeProto { name: "value".into(), t: Some(tensor), ..AttributeProto::default() };
        let node = NodeProto {
            op_type: "Constant".into(),
            output: vec!["weight".into()],
            attribute: vec![value],
            ..NodeProto::default()
        };
        GraphProto { node: vec![node], ..GraphProto::default() }
    }

    fn outcome(graph: &GraphProto) -> Result<(), String> {
        check(&ModelProto::default(), graph, 1_000).map_err(|refusal| refusal.to_string())
    }

    #[test]
    fn a_tensor_in_a_constant_node_is_checked_like_any_other() {
        assert_eq!(outcome(&constant(&[1.0, 2.0])), Ok(()));
        let refused = outcome(&constant(&[1.0, f32::NAN])).unwrap_err();
        assert_eq!(refused, "tensor 'weight' holds a value that is not a finite number");
        let mut cut = constant(&[1.0, 2.0]);
        cut.node[0].attribute[0].t.as_mut().unwrap().raw_data.pop();
        assert_eq!(outcome(&cut).unwrap_err(), "tensor 'weight' has 7 bytes for 2 values");
        let mut elsewhere = constant(&[1.0]);
        elsewhere.node[0].attribute[0].t.as_mut().unwrap().data_location = Some(1);
        assert!(outcome(&elsewhere).unwrap_err().contains("another file"));
    }

    #[test]
    fn a_number_in_an_attribute_is_finite() {
        let mut graph = constant(&[1.0]);
        graph.node[0].attribute.push(crate::attribute::float("alpha", f32::INFINITY));
        assert!(outcome(&graph).unwrap_err().contains("'alpha'"));
    }

    #[test]
    fn a_resize_does_not_hide_its_size_in_a_constant_node() {
        let size = |side: i64| {
            let mut graph = constant(&[]);
            let tensor = graph.node[0].attribute[0].t.as_mut().unwrap();
            *tensor = TensorProto {
                data_type: 7,
                dims: vec![1],
                raw_data: side.to_le_bytes().into(),
                ..TensorProto::default()
            };
            let inputs = ["x", "", "", "weight"].map(String::from).into();
            graph.node.push(NodeProto { op_type: "Resize".into(), input: inputs, ..NodeProto::default() });
            graph
        };
        assert_eq!(outcome(&size(224)), Ok(()));
        assert!(outcome(&size(1 << 40)).unwrap_err().contains("'weight' asks for a size"));
    }
}
