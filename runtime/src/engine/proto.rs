//! The ONNX file format, as tract defines it, for whoever reads or writes model files.

use std::collections::HashSet;

pub use prost::Message;
pub use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto, tensor_proto,
    tensor_shape_proto, type_proto,
};

/// A model of `graph`, with those of `constants` that its nodes read, in the dialect of `source`.
pub(super) fn model_of<'a>(
    source: &ModelProto,
    mut graph: GraphProto,
    constants: impl IntoIterator<Item = &'a TensorProto>,
) -> ModelProto {
    let used: HashSet<&str> = graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    let kept = constants.into_iter().filter(|tensor| used.contains(tensor.name.as_str()));
    graph.initializer = kept.cloned().collect();
    ModelProto {
        graph: Some(graph),
        ir_version: source.ir_version,
        opset_import: source.opset_import.clone(),
        ..ModelProto::default()
    }
}

/// The dimensions of a value, if all of them are numbers.
pub fn dimensions(value: &ValueInfoProto) -> Option<Vec<i64>> {
    let type_proto::Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    let dims = &tensor.shape.as_ref()?.dim;
    dims.iter()
        .map(|dim| match dim.value {
            Some(tensor_shape_proto::dimension::Value::DimValue(number)) => Some(number),
            _ => None,
        })
        .collect()
}
