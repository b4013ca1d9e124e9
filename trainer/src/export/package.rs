//! A graph becomes a model file that carries its own checksum.

use comet_engine::model::{
    CHECKSUM_KEY, MANIFEST_KEY, Manifest, ModelFile, checksum_placeholder, write_checksum,
};
use comet_onnx::GraphEditor;
use comet_onnx::proto::{
    Message, ModelProto, OperatorSetIdProto, StringStringEntryProto, TensorShapeProto, TypeProto,
    ValueInfoProto, tensor_proto::DataType, tensor_shape_proto, type_proto,
};

use super::error::ExportError;

/// ONNX file format 8, which every reader of opset 17 and 18 knows.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 18;

/// Serializes `graph` with its manifest, writes the checksum, and reads the file back as the runtime will.
pub fn package(graph: GraphEditor, manifest: &Manifest) -> Result<Vec<u8>, ExportError> {
    let self_check = |error: String| ExportError::SelfCheck(error);
    let (height, width) = (manifest.preprocess.height.into(), manifest.preprocess.width.into());
    let classes = manifest.classes.len() as i64;
    let output = |name: &String| match name.as_str() {
        "mask" => value(name, &[1, 1, height, width]),
        logits => value(logits, &[1, classes]),
    };
    let outputs = graph.outputs.iter().map(output).collect();
    let mut proto = graph.into_proto();
    proto.input = vec![value("image", &[1, 3, height, width])];
    proto.output = outputs;
    let text = serde_json::to_string(manifest).map_err(|error| self_check(error.to_string()))?;
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
    let model = ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "comet-trainer".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: format!("COMET '{}': attribution map and class of the masked image", manifest.name),
        graph: Some(proto),
        metadata_props: vec![entry(MANIFEST_KEY, text), entry(CHECKSUM_KEY, checksum_placeholder())],
        ..ModelProto::default()
    };
    let mut bytes = model.encode_to_vec();
    if !write_checksum(&mut bytes) {
        return Err(self_check("the place of the checksum was not found".into()));
    }
    ModelFile::parse("the file", &bytes, true).map_err(|error| self_check(error.to_string()))?;
    Ok(bytes)
}

fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = |&size: &i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(size)),
        ..Default::default()
    };
    let shape = TensorShapeProto { dim: dims.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
