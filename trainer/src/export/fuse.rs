//! Groups of nodes that ONNX has one operator for.

use comet_edge::engine::proto::NodeProto;

use super::graph::{Graph, TensorValues, attribute, node};

/// Name of the constant 1.
const ONE: &str = "one";

/// `(relu(x + 3) - relu(x - 3)) / 6` becomes HardSigmoid, `x * HardSigmoid(x)` HardSwish, `-x + 1` becomes `1 - x`, and
/// `Reshape -> MatMul -> Add` becomes `Flatten -> Gemm`.
pub(super) fn fuse(graph: &mut Graph) {
    let values: Vec<String> = graph.nodes.iter().filter_map(|node| node.output.first().cloned()).collect();
    for value in &values {
        if let Some(fused) = hard_sigmoid(graph, value) {
            graph.replace_producer(value, fused);
        }
    }
    for value in &values {
        if let Some(fused) = hard_swish(graph, value) {
            graph.replace_producer(value, fused);
        }
    }
    for value in &values {
        if let Some(fused) = complement(graph, value) {
            graph.set_floats(ONE, &TensorValues { dims: vec![1; 4], values: vec![1.0] });
            graph.replace_producer(value, fused);
        }
    }
    // Every output but the map is made by a classifier.
    let logits: Vec<String> = graph.outputs.iter().skip(1).cloned().collect();
    for logits in &logits {
        fuse_classifier(graph, logits);
    }
    graph.remove_dead();
}

/// The two inputs of a node.
fn pair(node: &NodeProto) -> Option<(&str, &str)> {
    match node.input.as_slice() {
        [a, b] => Some((a, b)),
        _ => None,
    }
}

fn is_scalar(graph: &Graph, name: &str, value: f32) -> bool {
    graph.scalar(name).is_some_and(|found| (found - value).abs() < 1e-6)
}

/// `value = (relu(x + 3) - relu(x - 3)) * 1/6`
fn hard_sigmoid(graph: &Graph, value: &str) -> Option<NodeProto> {
    let of = |value: &str, operator: &str| graph.producer(value).filter(|node| node.op_type == operator);
    let (difference, sixth) = pair(of(value, "Mul")?)?;
    if !is_scalar(graph, sixth, 1.0 / 6.0) {
        return None;
    }
    let (upper, lower) = pair(of(difference, "Sub")?)?;
    let (x, three) = pair(of(of(upper, "Relu")?.input.first()?, "Add")?)?;
    let (same, other) = pair(of(of(lower, "Relu")?.input.first()?, "Sub")?)?;
    if same != x || !is_scalar(graph, three, 3.0) || !is_scalar(graph, other, 3.0) {
        return None;
    }
    let attributes = vec![attribute::float("alpha", 1.0 / 6.0), attribute::float("beta", 0.5)];
    Some(node("HardSigmoid", &[x], value, attributes))
}

/// `value = x * HardSigmoid(x)`
fn hard_swish(graph: &Graph, value: &str) -> Option<NodeProto> {
    let product = graph.producer(value).filter(|node| node.op_type == "Mul")?;
    let (a, b) = pair(product)?;
    let gate = |gate: &str, x: &str| {
        let node = graph.producer(gate).filter(|node| node.op_type == "HardSigmoid");
        node.is_some_and(|node| node.input.first().is_some_and(|input| input == x))
    };
    let x = if gate(b, a) {
        a
    } else if gate(a, b) {
        b
    } else {
        return None;
    };
    Some(node("HardSwish", &[x], value, vec![]))
}

/// `value = -x + 1`
fn complement(graph: &Graph, value: &str) -> Option<NodeProto> {
    let of = |value: &str, operator: &str| graph.producer(value).filter(|node| node.op_type == operator);
    let (negated, one) = pair(of(value, "Add")?)?;
    let x = of(negated, "Neg")?.input.first()?;
    is_scalar(graph, one, 1.0).then(|| node("Sub", &[ONE, x], value, vec![]))
}

/// The last layer as Gemm; a graph of another form stays as it is.
fn fuse_classifier(graph: &mut Graph, logits: &str) -> Option<()> {
    let add = graph.producer(logits).filter(|node| node.op_type == "Add")?.clone();
    let (product, bias) = pair(&add)?;
    let matmul = graph.producer(product).filter(|node| node.op_type == "MatMul")?.clone();
    let (features, weight) = pair(&matmul)?;
    // The bias arrives reshaped to [1, classes].
    let bias = graph.producer(bias).and_then(|node| node.input.first())?.clone();
    let reshape = graph.producer(features).filter(|node| node.op_type == "Reshape")?.clone();
    let pooled = reshape.input.first()?;
    // Burn keeps [in, out]; transposed, each row is an output channel, as quantizers and engines expect.
    let tensor = graph.floats(weight)?;
    let [inputs, outputs] = tensor.dims.as_slice() else {
        return None;
    };
    let (inputs, outputs) = (*inputs, *outputs);
    let transposed = (0..inputs * outputs)
        .filter_map(|index| tensor.values.get((index % inputs) * outputs + index / inputs).copied())
        .collect();
    let transposed = TensorValues { dims: vec![outputs, inputs], values: transposed };
    graph.set_floats(weight, &transposed);
    let flatten = node("Flatten", &[pooled], features, vec![attribute::int("axis", 1)]);
    let gemm = node("Gemm", &[features, weight, &bias], logits, vec![attribute::int("transB", 1)]);
    graph.replace_producer(features, flatten);
    graph.replace_producer(logits, gemm);
    Some(())
}
