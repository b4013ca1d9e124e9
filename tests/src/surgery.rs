//! Finding parts of a graph by their names, to change them.

use anyhow::Context;
use comet_onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, attribute_proto::AttributeType};

use crate::small_model::{floats, node};

/// Where the node of this name stands.
pub fn position(graph: &GraphProto, name: &str) -> anyhow::Result<usize> {
    graph.node.iter().position(|node| node.name == name).with_context(|| format!("no node '{name}'"))
}

/// The node of this name.
pub fn node_named<'g>(graph: &'g mut GraphProto, name: &str) -> anyhow::Result<&'g mut NodeProto> {
    graph.node.iter_mut().find(|node| node.name == name).with_context(|| format!("no node '{name}'"))
}

/// The constant of this name.
pub fn tensor_named<'g>(graph: &'g mut GraphProto, name: &str) -> anyhow::Result<&'g mut TensorProto> {
    let mut tensors = graph.initializer.iter_mut();
    tensors.find(|tensor| tensor.name == name).with_context(|| format!("no constant '{name}'"))
}

/// The node that makes `value`.
pub fn maker<'g>(graph: &'g mut GraphProto, value: &str) -> anyhow::Result<&'g mut NodeProto> {
    let mut nodes = graph.node.iter_mut();
    nodes
        .find(|node| node.output.iter().any(|name| name == value))
        .with_context(|| format!("no node makes '{value}'"))
}

/// The names that node `name` reads.
pub fn inputs(graph: &mut GraphProto, name: &str) -> anyhow::Result<Vec<String>> {
    Ok(node_named(graph, name)?.input.clone())
}

/// Adds a node with one output before the node `reader`, which reads it instead of its first input.
pub fn insert_before(graph: &mut GraphProto, reader: &str, new: NodeProto) -> anyhow::Result<()> {
    let index = position(graph, reader)?;
    if let (Some(input), Some(output)) = (graph.node[index].input.first_mut(), new.output.first()) {
        output.clone_into(input);
    }
    graph.node.insert(index, new);
    Ok(())
}

/// Lets every node that reads `from` read `to`.
pub fn rewire(graph: &mut GraphProto, from: &str, to: &str) {
    for input in graph.node.iter_mut().flat_map(|node| &mut node.input).filter(|input| input.as_str() == from)
    {
        to.clone_into(input);
    }
}

/// Sets an attribute, whether the node has it or not.
pub fn set_attribute(node: &mut NodeProto, attribute: AttributeProto) {
    node.attribute.retain(|other| other.name != attribute.name);
    node.attribute.push(attribute);
}

/// A node that holds a constant.
pub fn constant(tensor: TensorProto) -> NodeProto {
    let name = tensor.name.clone();
    let r#type = AttributeType::Tensor as i32;
    let value = AttributeProto { name: "value".into(), r#type, t: Some(tensor), ..AttributeProto::default() };
    NodeProto { attribute: vec![value], ..node("Constant", &[], &name) }
}

/// The values of a constant of floats.
pub fn reals(tensor: &TensorProto) -> Vec<f32> {
    let (words, _) = tensor.raw_data.as_chunks::<4>();
    words.iter().map(|word| f32::from_le_bytes(*word)).chain(tensor.float_data.iter().copied()).collect()
}

/// The values of a constant of 32-bit integers.
pub fn wholes(tensor: &TensorProto) -> Vec<i32> {
    let (words, _) = tensor.raw_data.as_chunks::<4>();
    words.iter().map(|word| i32::from_le_bytes(*word)).chain(tensor.int32_data.iter().copied()).collect()
}

/// Gives a constant of floats other values.
pub fn set_reals(tensor: &mut TensorProto, dims: &[i64], values: &[f32]) {
    *tensor = floats(&tensor.name, dims, values);
}

/// Gives a constant another type and other bytes.
pub fn set_raw(tensor: &mut TensorProto, data_type: i32, dims: Vec<i64>, raw_data: Vec<u8>) {
    let name = std::mem::take(&mut tensor.name);
    *tensor = TensorProto { name, dims, data_type, raw_data, ..TensorProto::default() };
}

/// The bytes of 32-bit integers in a file.
pub fn bytes_of(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}
