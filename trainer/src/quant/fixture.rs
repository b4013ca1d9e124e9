//! Graphs that are small enough to know what becomes of each value.

use comet_engine::model::{LEFT_OUT, MASKED};
use comet_onnx::proto::{
    ModelProto, OperatorSetIdProto, TensorShapeProto, TypeProto, ValueInfoProto, tensor_proto::DataType,
    tensor_shape_proto, type_proto,
};
use comet_onnx::{GraphEditor, TensorValues, attribute, node};

/// Rows and columns of the images of [`two_layers`].
pub(super) const SIDE: usize = 32;

/// Numbers between -0.45 and 0.55 that lie on no grid.
fn numbers(count: usize, salt: usize) -> Vec<f32> {
    (0..count).map(|index| ((index * 37 + salt) % 101) as f32 / 101.0 - 0.45).collect()
}

fn set(graph: &mut GraphEditor, name: &str, dims: &[usize], salt: usize) {
    let values = numbers(dims.iter().product(), salt);
    graph.set_floats(name, &TensorValues { dims: dims.to_vec(), values });
}

/// A selector and a predictor with one operator of each kind. It has the names of a COMET graph, but no sizes: it can
/// be quantized, and not be run.
pub(super) fn pair() -> GraphEditor {
    let outputs = ["mask", "logits"].map(str::to_owned).into();
    let mut graph = GraphEditor { input: "image".into(), outputs, ..GraphEditor::default() };
    let constants: [(&str, &[usize]); 7] = [
        ("stem.weight", &[4, 3, 1, 1]),
        ("stem.bias", &[4]),
        ("head.weight", &[1, 4, 1, 1]),
        ("head.bias", &[1]),
        ("body.weight", &[5, 3, 1, 1]),
        ("fc.weight", &[2, 5]),
        ("fc.bias", &[2]),
    ];
    for (salt, (name, dims)) in constants.into_iter().enumerate() {
        set(&mut graph, name, dims, salt);
    }
    graph.nodes = vec![
        node("Conv", &["image", "stem.weight", "stem.bias"], "stem", vec![]),
        node("Relu", &["stem"], "stem#relu", vec![]),
        node("MaxPool", &["stem#relu"], "pooled", vec![]),
        node("Conv", &["pooled", "head.weight", "head.bias"], "head", vec![]),
        node("Resize", &["head"], "resized", vec![]),
        node("Sigmoid", &["resized"], "mask", vec![]),
        node("Mul", &["image", "mask"], MASKED, vec![]),
        node("Conv", &[MASKED, "body.weight"], "body", vec![]),
        node("HardSigmoid", &["body"], "gate", vec![]),
        node("Mul", &["body", "gate"], "gated", vec![]),
        node("GlobalAveragePool", &["gated"], "mean", vec![]),
        node("Flatten", &["mean"], "features", vec![attribute::int("axis", 1)]),
        node("Gemm", &["features", "fc.weight", "fc.bias"], "logits", vec![]),
    ];
    graph
}

/// [`pair`] with what the map leaves out, and a layer that reads it.
pub(super) fn with_left_out() -> GraphEditor {
    let mut graph = pair();
    set(&mut graph, "detector.weight", &[5, 3, 1, 1], 7);
    graph.nodes.extend([
        node("Sub", &["one", "mask"], "left_out_share", vec![]),
        node("Mul", &["image", "left_out_share"], LEFT_OUT, vec![]),
        node("Conv", &[LEFT_OUT, "detector.weight"], "detector", vec![]),
        node("Relu", &["detector"], "detector#relu", vec![]),
    ]);
    graph
}

/// Convolution, ReLU, convolution: 3, 8 and 4 channels.
pub(super) fn two_layers() -> GraphEditor {
    let mut graph =
        GraphEditor { input: "image".into(), outputs: vec!["second".into()], ..GraphEditor::default() };
    set(&mut graph, "first.weight", &[8, 3, 1, 1], 11);
    set(&mut graph, "first.bias", &[8], 5);
    set(&mut graph, "second.weight", &[4, 8, 1, 1], 23);
    set(&mut graph, "second.bias", &[4], 7);
    graph.nodes = vec![
        node("Conv", &["image", "first.weight", "first.bias"], "first", vec![]),
        node("Relu", &["first"], "first#relu", vec![]),
        node("Conv", &["first#relu", "second.weight", "second.bias"], "second", vec![]),
    ];
    graph
}

/// A graph as a model that the engine can be given.
pub(super) fn model(graph: GraphEditor) -> ModelProto {
    let side = SIDE as i64;
    let dim = |size: i64| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(size)),
        ..Default::default()
    };
    let shape = TensorShapeProto { dim: [1, 3, side, side].map(dim).into() };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    let image = ValueInfoProto {
        name: graph.input.clone(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    };
    let mut proto = graph.into_proto();
    proto.input = vec![image];
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 18 }],
        graph: Some(proto),
        ..ModelProto::default()
    }
}
