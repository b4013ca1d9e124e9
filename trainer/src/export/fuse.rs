//! Groups of nodes that ONNX has one operator for.

use comet_onnx::proto::NodeProto;
use comet_onnx::{GraphEditor, TensorValues, attribute, node};

/// Name of the constant 1.
const ONE: &str = "one";
/// Names of the limits of ReLU6.
const ZERO: &str = "zero";
const SIX: &str = "six";

/// `(relu(x + 3) - relu(x - 3)) / 6` becomes HardSigmoid, `x * HardSigmoid(x)` HardSwish, `relu(x) - relu(x - 6)` Clip from
/// 0 to 6, `-x + 1` becomes `1 - x`, and `Reshape -> MatMul -> Add` becomes `Flatten -> Gemm`.
pub(super) fn fuse(graph: &mut GraphEditor) {
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
        if let Some(fused) = relu6(graph, value) {
            for (name, limit) in [(ZERO, 0.0), (SIX, 6.0)] {
                graph.set_floats(name, &TensorValues { dims: Vec::new(), values: vec![limit] });
            }
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

fn is_scalar(graph: &GraphEditor, name: &str, value: f32) -> bool {
    graph.scalar(name).is_some_and(|found| (found - value).abs() < 1e-6)
}

/// `value = (relu(x + 3) - relu(x - 3)) * 1/6`
fn hard_sigmoid(graph: &GraphEditor, value: &str) -> Option<NodeProto> {
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
fn hard_swish(graph: &GraphEditor, value: &str) -> Option<NodeProto> {
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

/// `value = relu(x) - relu(x - 6)`
fn relu6(graph: &GraphEditor, value: &str) -> Option<NodeProto> {
    let of = |value: &str, operator: &str| graph.producer(value).filter(|node| node.op_type == operator);
    let (positive, above) = pair(of(value, "Sub")?)?;
    let x = of(positive, "Relu")?.input.first()?;
    let (same, limit) = pair(of(of(above, "Relu")?.input.first()?, "Sub")?)?;
    (same == x && is_scalar(graph, limit, 6.0)).then(|| node("Clip", &[x, ZERO, SIX], value, vec![]))
}

/// `value = -x + 1`
fn complement(graph: &GraphEditor, value: &str) -> Option<NodeProto> {
    let of = |value: &str, operator: &str| graph.producer(value).filter(|node| node.op_type == operator);
    let (negated, one) = pair(of(value, "Add")?)?;
    let x = of(negated, "Neg")?.input.first()?;
    is_scalar(graph, one, 1.0).then(|| node("Sub", &[ONE, x], value, vec![]))
}

/// The last layer as Gemm; a graph of another form stays as it is.
fn fuse_classifier(graph: &mut GraphEditor, logits: &str) -> Option<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(constants: &[(&str, f32)], nodes: Vec<NodeProto>) -> GraphEditor {
        let output = nodes.last().unwrap().output[0].clone();
        let mut graph = GraphEditor { input: "x".into(), outputs: vec![output], ..GraphEditor::default() };
        for (name, value) in constants {
            graph.set_floats(name, &TensorValues { dims: vec![1], values: vec![*value] });
        }
        graph.nodes = nodes;
        graph
    }

    /// `x * (relu(x + 3) - relu(x - 3)) / 6`, with these three constants.
    fn swish(plus: f32, minus: f32, sixth: f32) -> GraphEditor {
        let nodes = vec![
            node("Add", &["x", "plus"], "a", vec![]),
            node("Relu", &["a"], "b", vec![]),
            node("Sub", &["x", "minus"], "c", vec![]),
            node("Relu", &["c"], "d", vec![]),
            node("Sub", &["b", "d"], "e", vec![]),
            node("Mul", &["e", "sixth"], "gate", vec![]),
            node("Mul", &["x", "gate"], "y", vec![]),
        ];
        graph(&[("plus", plus), ("minus", minus), ("sixth", sixth)], nodes)
    }

    fn operators(graph: &GraphEditor) -> Vec<&str> {
        graph.nodes.iter().map(|node| node.op_type.as_str()).collect()
    }

    #[test]
    fn hard_swish_is_found_with_its_factors_in_either_order() {
        for turned in [false, true] {
            let mut graph = swish(3.0, 3.0, 1.0 / 6.0);
            if turned {
                graph.nodes[6].input.reverse();
            }
            fuse(&mut graph);
            assert_eq!(operators(&graph), ["HardSwish"]);
            assert_eq!(graph.nodes[0].input, ["x"]);
            assert_eq!(graph.outputs, ["y"]);
            assert!(graph.constants.is_empty());
        }
    }

    #[test]
    fn other_constants_are_another_function() {
        for (plus, minus, sixth) in [(2.0, 3.0, 1.0 / 6.0), (3.0, 2.0, 1.0 / 6.0), (3.0, 3.0, 0.2)] {
            let mut graph = swish(plus, minus, sixth);
            fuse(&mut graph);
            assert_eq!(operators(&graph), ["Add", "Relu", "Sub", "Relu", "Sub", "Mul", "Mul"]);
        }
        let mut other_source = swish(3.0, 3.0, 1.0 / 6.0);
        other_source.nodes[2].input[0] = "plus".into();
        fuse(&mut other_source);
        assert_eq!(other_source.nodes.len(), 7);
    }

    #[test]
    fn a_gate_for_another_value_is_a_hard_sigmoid_and_a_product() {
        let mut graph = swish(3.0, 3.0, 1.0 / 6.0);
        graph.nodes[6].input[0] = "plus".into();
        fuse(&mut graph);
        assert_eq!(operators(&graph), ["HardSigmoid", "Mul"]);
        let gate = &graph.nodes[0];
        assert_eq!(attribute::float_of(gate, "alpha"), Some(1.0 / 6.0));
        assert_eq!(attribute::float_of(gate, "beta"), Some(0.5));
    }

    /// `relu(x) - relu(x - limit)`
    fn limited(limit: f32) -> GraphEditor {
        let nodes = vec![
            node("Relu", &["x"], "a", vec![]),
            node("Sub", &["x", "limit"], "b", vec![]),
            node("Relu", &["b"], "c", vec![]),
            node("Sub", &["a", "c"], "y", vec![]),
        ];
        graph(&[("limit", limit)], nodes)
    }

    #[test]
    fn relu6_becomes_a_clip_whose_limits_are_scalars() {
        let mut graph = limited(6.0);
        fuse(&mut graph);
        assert_eq!(operators(&graph), ["Clip"]);
        assert_eq!(graph.nodes[0].input, ["x", ZERO, SIX]);
        for (name, limit) in [(ZERO, 0.0), (SIX, 6.0)] {
            // ONNX wants limits without dimensions.
            assert_eq!(graph.floats(name), Some(TensorValues { dims: vec![], values: vec![limit] }));
        }
        assert_eq!(graph.constants.len(), 2, "the limit of the recorded form is gone");
    }

    #[test]
    fn another_limit_or_another_value_is_no_relu6() {
        let mut other_limit = limited(5.0);
        let mut other_value = limited(6.0);
        other_value.nodes[1].input[0] = "limit".into();
        let mut turned = limited(6.0);
        turned.nodes[3].input.reverse();
        for graph in [&mut other_limit, &mut other_value, &mut turned] {
            fuse(graph);
            assert_eq!(operators(graph), ["Relu", "Sub", "Relu", "Sub"]);
            assert!(!graph.constants.contains_key(SIX));
        }
    }

    #[test]
    fn a_negated_value_plus_one_is_its_complement() {
        for (constant, expected) in [(1.0, &["Sub"][..]), (2.0, &["Neg", "Add"][..])] {
            let nodes = vec![node("Neg", &["x"], "n", vec![]), node("Add", &["n", "constant"], "y", vec![])];
            let mut graph = graph(&[("constant", constant)], nodes);
            fuse(&mut graph);
            assert_eq!(operators(&graph), expected);
            if constant == 1.0 {
                assert_eq!(graph.nodes[0].input, [ONE, "x"]);
                assert_eq!(graph.scalar(ONE), Some(1.0));
            }
        }
    }

    #[test]
    fn the_last_layer_becomes_gemm_with_its_weights_transposed() {
        let nodes = vec![
            node("Sigmoid", &["x"], "mask", vec![]),
            node("Reshape", &["x", "shape"], "features", vec![]),
            node("MatMul", &["features", "w"], "product", vec![]),
            node("Reshape", &["bias", "row"], "wide", vec![]),
            node("Add", &["product", "wide"], "logits", vec![]),
        ];
        let mut graph = graph(&[("shape", 0.0), ("row", 0.0), ("bias", 0.0)], nodes);
        graph.outputs = ["mask", "logits"].map(str::to_owned).into();
        let values = vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        graph.set_floats("w", &TensorValues { dims: vec![3, 2], values });
        fuse(&mut graph);
        assert_eq!(operators(&graph), ["Sigmoid", "Flatten", "Gemm"]);
        assert_eq!(graph.nodes[1].input, ["x"]);
        assert_eq!(graph.nodes[2].input, ["features", "w", "bias"]);
        assert_eq!(attribute::int_of(&graph.nodes[2], "transB"), Some(1));
        let expected = TensorValues { dims: vec![2, 3], values: vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0] };
        assert_eq!(graph.floats("w"), Some(expected));
    }
}
