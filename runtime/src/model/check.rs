//! Rules that every COMET graph keeps, held before the engine sees the file.
//!
//! The engine is a large parser; a hostile file should meet a small one first. What is allowed is listed,
//! everything else is refused by name.

use super::file::ModelErrorKind;
use super::manifest::Manifest;
use crate::engine::LEFT_OUT_LOGITS;
use crate::engine::proto::{GraphProto, ModelProto, TensorProto, dimensions};

/// The largest number of nodes in a graph. The engine's preparation takes more than linear time in it. The largest
/// networks of the trainer, quantized and with their detector, have about 840.
pub const MAX_NODES: usize = 1_000;
/// The largest number in an attribute, and the largest side that a Resize may ask for.
const MAX_NUMBER: i64 = 4_096;
/// Most pixels of a window: pooling over a whole picture of 256x256.
const MAX_TAPS: i64 = 65_536;
/// The largest side of the input.
const MAX_SIDE: u32 = 4_096;
const MAX_CLASSES: usize = 100_000;

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

pub(super) fn check_graph(
    proto: &ModelProto,
    manifest: &Manifest,
    file_bytes: usize,
) -> Result<(), ModelErrorKind> {
    let graph = proto.graph.as_ref().ok_or_else(|| ModelErrorKind::NotOnnx("it holds no graph".into()))?;
    if !proto.functions.is_empty() || !proto.training_info.is_empty() {
        return structure("it defines functions or training graphs".into());
    }
    check_nodes(graph)?;
    check_numbers(graph)?;
    for tensor in &graph.initializer {
        check_tensor(tensor, file_bytes)?;
    }
    check_manifest(manifest)?;
    check_interface(graph, manifest)
}

fn structure<T>(fault: String) -> Result<T, ModelErrorKind> {
    Err(ModelErrorKind::Structure(fault))
}

fn check_nodes(graph: &GraphProto) -> Result<(), ModelErrorKind> {
    if graph.node.len() > MAX_NODES {
        return structure(format!("{} nodes; the limit is {MAX_NODES}", graph.node.len()));
    }
    if !graph.sparse_initializer.is_empty() {
        return structure("it holds sparse initializers".into());
    }
    for node in &graph.node {
        let known = node.domain.is_empty() || node.domain == "ai.onnx";
        if !known || !OPERATORS.contains(&node.op_type.as_str()) {
            let operator = printable(&format!("{}:{}", node.domain, node.op_type));
            let name = printable(&node.name);
            return structure(format!("node '{name}' has the operator '{operator}'"));
        }
        let nested = |a: &crate::engine::proto::AttributeProto| {
            a.g.is_some() || !a.graphs.is_empty() || a.sparse_tensor.is_some()
        };
        if node.attribute.iter().any(nested) {
            let name = printable(&node.name);
            return structure(format!("node '{name}' holds a graph of its own"));
        }
    }
    Ok(())
}

/// Kernels, strides, paddings and sizes that no network has would make the engine take memory and time.
fn check_numbers(graph: &GraphProto) -> Result<(), ModelErrorKind> {
    let sane = |number: &i64| (-MAX_NUMBER..=MAX_NUMBER).contains(number);
    for node in &graph.node {
        for attribute in &node.attribute {
            if !sane(&attribute.i) || !attribute.ints.iter().all(sane) {
                let (name, key) = (printable(&node.name), printable(&attribute.name));
                return structure(format!("node '{name}' has a number in '{key}' that no network needs"));
            }
            // The engine lists every tap of a window.
            let taps = attribute.ints.iter().fold(1i64, |taps, side| taps.saturating_mul((*side).max(1)));
            if attribute.name == "kernel_shape" && taps > MAX_TAPS {
                let name = printable(&node.name);
                return structure(format!(
                    "node '{name}' has a window of {taps} pixels; the limit is {MAX_TAPS}"
                ));
            }
        }
    }
    let sizes = graph.node.iter().filter(|node| node.op_type == "Resize").flat_map(|node| &node.input);
    for name in sizes {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name == *name);
        if tensor.is_some_and(|tensor| !int64s(tensor).iter().all(|size| (1..=MAX_NUMBER).contains(size))) {
            return structure(format!("'{}' asks for a size that no network needs", printable(name)));
        }
    }
    Ok(())
}

/// The values of a tensor of 64-bit integers; none for another type.
fn int64s(tensor: &TensorProto) -> Vec<i64> {
    if tensor.data_type != 7 {
        return Vec::new();
    }
    let raw = tensor.raw_data.chunks_exact(8).filter_map(|word| word.try_into().ok());
    tensor.int64_data.iter().copied().chain(raw.map(i64::from_le_bytes)).collect()
}

/// Whether the tensor's data are inside the file, as many as its dimensions say, and finite.
fn check_tensor(tensor: &TensorProto, file_bytes: usize) -> Result<(), ModelErrorKind> {
    let name = printable(&tensor.name);
    if tensor.data_location == Some(1) || !tensor.external_data.is_empty() {
        return structure(format!("tensor '{name}' keeps its data in another file"));
    }
    let count =
        tensor.dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(usize::try_from(dim).ok()?));
    let Some(count) = count.filter(|&count| count <= file_bytes) else {
        return structure(format!("tensor '{name}' claims more values than the file has bytes"));
    };
    let width = match tensor.data_type {
        1 | 6 => 4,
        2 | 3 | 9 => 1,
        7 | 11 => 8,
        other => return structure(format!("tensor '{name}' has the data type {other}")),
    };
    if !tensor.raw_data.is_empty() && Some(tensor.raw_data.len()) != count.checked_mul(width) {
        return structure(format!("tensor '{name}' has {} bytes for {count} values", tensor.raw_data.len()));
    }
    // The engine's Sigmoid makes 0 of NaN: the file would run, and its map would look like one.
    if !is_finite(tensor) {
        return structure(format!("tensor '{name}' holds a value that is not a finite number"));
    }
    Ok(())
}

/// Whether all values of a tensor of 32-bit floats are finite numbers; true for another type.
fn is_finite(tensor: &TensorProto) -> bool {
    let (words, _) = tensor.raw_data.as_chunks::<4>();
    let mut raw = words.iter().map(|word| f32::from_le_bytes(*word));
    let mut listed = tensor.float_data.iter().copied();
    tensor.data_type != 1 || (raw.all(f32::is_finite) && listed.all(f32::is_finite))
}

fn check_manifest(manifest: &Manifest) -> Result<(), ModelErrorKind> {
    let field = |field, fault: String| Err(ModelErrorKind::Field { field, fault });
    let preprocess = &manifest.preprocess;
    let side = 8..=MAX_SIDE;
    if !side.contains(&preprocess.width) || !side.contains(&preprocess.height) {
        let fault = format!("{} x {} is outside 8..{MAX_SIDE}", preprocess.width, preprocess.height);
        return field("preprocess", fault);
    }
    if preprocess.std.iter().any(|std| !(std.is_finite() && *std > 1e-4)) {
        return field("preprocess.std", format!("{:?}", preprocess.std));
    }
    if preprocess.mean.iter().any(|mean| !(0.0..=1.0).contains(mean)) {
        return field("preprocess.mean", format!("{:?}", preprocess.mean));
    }
    if manifest.fill != 0.0 {
        let fault = format!("{} (this engine composites with the mean pixel, 0)", manifest.fill);
        return field("fill", fault);
    }
    if manifest.classes.is_empty() || manifest.classes.len() > MAX_CLASSES {
        return field("classes", format!("there are {} classes", manifest.classes.len()));
    }
    Ok(())
}

/// `image [1,3,H,W] -> mask [1,1,H,W], logits [1,K]`, and `left_out_logits [1,K]` if the file carries the detector, by
/// name and shape.
fn check_interface(graph: &GraphProto, manifest: &Manifest) -> Result<(), ModelErrorKind> {
    let height = i64::from(manifest.preprocess.height);
    let width = i64::from(manifest.preprocess.width);
    let classes = manifest.classes.len() as i64;
    let initializers: Vec<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    let inputs: Vec<_> =
        graph.input.iter().filter(|input| !initializers.contains(&input.name.as_str())).collect();
    let [input] = inputs.as_slice() else {
        return structure(format!("it has {} inputs instead of one", inputs.len()));
    };
    let expected = [(*input, "image", vec![1, 3, height, width], "preprocess")];
    for (value, name, shape, field) in expected {
        if value.name != name {
            return structure(format!("the input is called '{}', not '{name}'", printable(&value.name)));
        }
        check_shape(dimensions(value), &shape, name, field)?;
    }
    let outputs = [
        ("mask", vec![1, 1, height, width], "preprocess"),
        ("logits", vec![1, classes], "classes"),
        (LEFT_OUT_LOGITS, vec![1, classes], "classes"),
    ];
    for &(name, ref shape, field) in &outputs {
        match graph.output.iter().find(|output| output.name == name) {
            Some(value) => check_shape(dimensions(value), shape, name, field)?,
            None if name == LEFT_OUT_LOGITS => (),
            None => return structure(format!("it has no output '{name}'")),
        }
    }
    let is_known = |name: &str| outputs.iter().any(|(known, ..)| *known == name);
    match graph.output.iter().find(|output| !is_known(&output.name)) {
        Some(other) => structure(format!("it has an unknown output '{}'", printable(&other.name))),
        None => Ok(()),
    }
}

fn check_shape(
    found: Option<Vec<i64>>,
    expected: &[i64],
    name: &str,
    field: &'static str,
) -> Result<(), ModelErrorKind> {
    match found {
        Some(found) if found == expected => Ok(()),
        found => Err(ModelErrorKind::Field {
            field,
            fault: format!("'{name}' should be {expected:?}, the graph says {found:?}"),
        }),
    }
}

/// Names come from the file: cut and made harmless for a terminal.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(80).collect()
}
