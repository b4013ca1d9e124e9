//! A model file of six nodes, built by hand, so that tests can break any part of it.

use comet_engine::model::{CHECKSUM_KEY, MANIFEST_KEY, checksum_placeholder, write_checksum};
use comet_onnx::proto::{
    AttributeProto, GraphProto, Message, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType,
    tensor_proto::DataType, tensor_shape_proto, type_proto,
};
use serde_json::{Value, json};

/// Side of the model's input in pixels.
pub const SIDE: i64 = 8;

/// A 1x1 convolution and a sigmoid give the map; the masked image's mean colour gives two logits.
pub fn model() -> ModelProto {
    let graph = GraphProto {
        name: "small".into(),
        node: vec![
            node("Conv", &["image", "weight", "bias"], "raw"),
            node("Sigmoid", &["raw"], "mask"),
            node("Mul", &["image", "mask"], "masked"),
            node("GlobalAveragePool", &["masked"], "pooled"),
            node("Flatten", &["pooled"], "flat"),
            NodeProto {
                attribute: vec![int("transB", 1)],
                ..node("Gemm", &["flat", "class_weight", "class_bias"], "logits")
            },
        ],
        initializer: vec![
            floats("weight", &[1, 3, 1, 1], &[0.5, -0.25, 0.125]),
            floats("bias", &[1], &[0.1]),
            floats("class_weight", &[2, 3], &[0.1, 0.2, 0.3, -0.1, -0.2, -0.3]),
            floats("class_bias", &[2], &[0.0, 0.5]),
        ],
        input: vec![value("image", &[1, 3, SIDE, SIDE])],
        output: vec![value("mask", &[1, 1, SIDE, SIDE]), value("logits", &[1, 2])],
        ..GraphProto::default()
    };
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 18 }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

/// The manifest that fits [`model`].
pub fn manifest() -> Value {
    json!({
        "format_version": 1,
        "name": "small",
        "writer": "comet-tests",
        "classes": ["left", "right"],
        "preprocess": {
            "width": SIDE, "height": SIDE, "fit": "crop", "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25],
        },
        "fill": 0.0,
        "precision": "float32",
        "preset": "small",
        "training": {
            "completeness": "hinge", "alpha": 4.0, "beta": 100.0, "target_area": 0.3, "detector_epochs": 1,
            "epochs": 1, "best_epoch": 1, "seed": 0, "seconds": 1.0, "device": "none",
        },
        "data": { "name": "none", "train": 1, "val": 1, "paste": 0.0 },
    })
}

/// The bytes of a model file with a manifest and a valid checksum: anyone who writes a file can compute one.
pub fn with_checksum(model: &ModelProto, manifest: &str) -> Vec<u8> {
    let entry = |key: &str, value: String| StringStringEntryProto { key: key.into(), value };
    let mut model = model.clone();
    model.metadata_props.retain(|entry| entry.key != MANIFEST_KEY && entry.key != CHECKSUM_KEY);
    model.metadata_props.push(entry(MANIFEST_KEY, manifest.to_owned()));
    model.metadata_props.push(entry(CHECKSUM_KEY, checksum_placeholder()));
    let mut bytes = model.encode_to_vec();
    write_checksum(&mut bytes);
    bytes
}

/// A node with one output, which gives it its name.
pub fn node(operator: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        op_type: operator.to_owned(),
        name: output.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

/// An attribute with an integer.
pub fn int(name: &str, value: i64) -> AttributeProto {
    let r#type = AttributeType::Int as i32;
    AttributeProto { name: name.to_owned(), r#type, i: value, ..AttributeProto::default() }
}

/// An attribute with a text.
pub fn text(name: &str, value: &str) -> AttributeProto {
    let r#type = AttributeType::String as i32;
    AttributeProto {
        name: name.to_owned(),
        r#type,
        s: value.as_bytes().to_vec(),
        ..AttributeProto::default()
    }
}

/// An attribute with a list of integers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = AttributeType::Ints as i32;
    AttributeProto { name: name.to_owned(), r#type, ints: values.to_vec(), ..AttributeProto::default() }
}

/// A constant of floats.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, dims, DataType::Float, raw)
}

/// A constant of 64-bit integers, with one dimension.
pub fn integers(name: &str, values: &[i64]) -> TensorProto {
    let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, &[values.len() as i64], DataType::Int64, raw)
}

fn tensor(name: &str, dims: &[i64], kind: DataType, raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: dims.to_vec(),
        data_type: kind as i32,
        raw_data,
        ..TensorProto::default()
    }
}

/// An input or output of floats with fixed dimensions.
pub fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
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

#[cfg(test)]
mod tests {
    use super::*;
    use comet_engine::model::ModelFile;
    use comet_engine::run::Session;

    #[test]
    fn the_unbroken_model_is_accepted_and_gives_a_prediction() {
        let bytes = with_checksum(&model(), &manifest().to_string());
        let file = ModelFile::parse("small", &bytes, true).unwrap();
        let mut session = Session::new(&file).unwrap();
        let prediction = session.explain(&crate::fixture::image(20, 10, 1)).unwrap();
        assert!(prediction.is_valid() && prediction.logits.len() == 2);
    }
}
