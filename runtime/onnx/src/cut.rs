//! The part of a graph between one value and some others.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::proto::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

/// A model of `graph`, with those of `constants` that its nodes read, in the format version of `source`.
pub fn model_of<'a>(
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

/// The part of `model` between the value `from`, which gets the type and shape of the graph's input `input`, and
/// `outputs`.
///
/// `None` if the outputs do not depend on `from`, or depend on the input in another way as well.
pub fn cut(model: &ModelProto, input: &str, from: &str, outputs: Vec<ValueInfoProto>) -> Option<ModelProto> {
    let graph = model.graph.as_ref()?;
    let whole = graph.input.iter().find(|value| value.name == input)?;
    let mut makers: HashMap<&str, Vec<usize>> = HashMap::new();
    let is_open = |node: &NodeProto| !node.output.iter().any(|output| output == from);
    for (index, node) in graph.node.iter().enumerate().filter(|(_, node)| is_open(node)) {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            makers.entry(output).or_default().push(index);
        }
    }
    let (mut needed, mut kept) = (HashSet::new(), BTreeSet::new());
    let mut open: Vec<&str> = outputs.iter().map(|output| output.name.as_str()).collect();
    while let Some(value) = open.pop() {
        if !needed.insert(value) {
            continue;
        }
        for &index in makers.get(value).into_iter().flatten() {
            if let Some(node) = graph.node.get(index).filter(|_| kept.insert(index)) {
                open.extend(node.input.iter().map(String::as_str));
            }
        }
    }
    if !needed.contains(from) || (from != input && needed.contains(input)) {
        return None;
    }
    let node = kept.iter().filter_map(|index| graph.node.get(*index)).cloned().collect();
    let shapes = graph.value_info.iter().filter(|value| needed.contains(value.name.as_str()));
    let part = GraphProto {
        name: graph.name.clone(),
        node,
        value_info: shapes.cloned().collect(),
        input: vec![ValueInfoProto { name: from.to_owned(), ..whole.clone() }],
        output: outputs,
        ..GraphProto::default()
    };
    Some(model_of(model, part, &graph.initializer))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "image";
    const MASKED: &str = "masked";
    const LEFT_OUT: &str = "left_out";
    const LEFT_OUT_LOGITS: &str = "left_out_logits";

    fn declared(names: &[&str]) -> Vec<ValueInfoProto> {
        names.iter().map(|name| value(name)).collect()
    }

    fn value(name: &str) -> ValueInfoProto {
        ValueInfoProto { name: name.into(), ..Default::default() }
    }

    /// A pair with its detector, as far as who reads what.
    fn model() -> ModelProto {
        let node = |inputs: &[&str], output: &str| NodeProto {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.to_owned()],
            ..NodeProto::default()
        };
        let graph = GraphProto {
            node: vec![
                node(&[IMAGE, "weight"], "mask"),
                node(&[IMAGE, "mask"], MASKED),
                node(&[MASKED, "", "weight"], "features"),
                node(&["features"], "logits"),
                node(&["one", "mask"], "share"),
                node(&[IMAGE, "share"], LEFT_OUT),
                node(&[LEFT_OUT, "weight"], LEFT_OUT_LOGITS),
            ],
            input: vec![value(IMAGE)],
            output: ["mask", "logits", LEFT_OUT_LOGITS].map(value).into(),
            ..GraphProto::default()
        };
        ModelProto { graph: Some(graph), ..ModelProto::default() }
    }

    /// What the nodes of a part make, sorted.
    fn made(part: &ModelProto) -> Vec<&str> {
        let nodes = part.graph.iter().flat_map(|graph| &graph.node);
        let mut names: Vec<&str> = nodes.flat_map(|node| &node.output).map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn a_part_holds_what_lies_between_in_whatever_order_the_file_has_it() {
        let mut model = model();
        for _ in 0..2 {
            let pair = cut(&model, IMAGE, IMAGE, declared(&["mask", "logits"])).unwrap();
            assert_eq!(made(&pair), ["features", "logits", "mask", MASKED]);
            let predictor = cut(&model, IMAGE, MASKED, declared(&["logits"])).unwrap();
            assert_eq!(made(&predictor), ["features", "logits"]);
            let detector = cut(&model, IMAGE, LEFT_OUT, declared(&[LEFT_OUT_LOGITS])).unwrap();
            assert_eq!(made(&detector), [LEFT_OUT_LOGITS]);
            assert_eq!(detector.graph.unwrap().input, [value(LEFT_OUT)]);
            model.graph.as_mut().unwrap().node.reverse();
        }
    }

    #[test]
    fn a_part_that_reads_past_its_input_is_refused() {
        let mut model = model();
        model.graph.as_mut().unwrap().node[3].input.push("mask".into());
        assert!(cut(&model, IMAGE, MASKED, declared(&["logits"])).is_none());
        assert!(cut(&model, IMAGE, MASKED, declared(&[LEFT_OUT_LOGITS])).is_none());
        assert!(cut(&model, IMAGE, MASKED, Vec::new()).is_none());
    }
}
