//! Names that a person recognises in a graph viewer, a profiler, or an error message.

use std::collections::HashSet;

use comet_engine::model::{LEFT_OUT, LEFT_OUT_LOGITS, MASKED};
use comet_onnx::GraphEditor;
use comet_onnx::proto::NodeProto;

use super::error::ExportError;

/// Name of `1 - S(x)`.
const LEFT_OUT_SHARE: &str = "left_out_share";

/// Names input, outputs, the masked image and what it leaves out; every other value is named after the layer that makes
/// it.
pub(super) fn name_values(graph: &mut GraphEditor) -> Result<(), ExportError> {
    let (mask, logits, left_out_logits) = match graph.outputs.as_slice() {
        [mask, logits] => (mask, logits, None),
        [mask, logits, left_out_logits] => (mask, logits, Some(left_out_logits)),
        others => {
            return Err(ExportError::Graph(format!("{} outputs instead of map and logits", others.len())));
        }
    };
    let mut known = vec![
        (graph.input.clone(), "image"),
        (mask.clone(), "mask"),
        (logits.clone(), "logits"),
        (product(graph, mask)?, MASKED),
    ];
    if let Some(left_out_logits) = left_out_logits {
        let share = complement(graph, mask)?;
        known.push((product(graph, &share)?, LEFT_OUT));
        known.push((share, LEFT_OUT_SHARE));
        known.push((left_out_logits.clone(), LEFT_OUT_LOGITS));
    }
    for (old, name) in &known {
        graph.rename(old, name);
    }
    let mut taken: HashSet<String> = known.iter().map(|(_, name)| (*name).to_owned()).collect();
    for index in 0..graph.nodes.len() {
        let Some(node) = graph.nodes.get(index) else { break };
        let Some(old) = node.output.first().cloned() else { continue };
        let name = if taken.contains(&old) { old.clone() } else { unique(&describe(node), &mut taken) };
        if let Some(node) = graph.nodes.get_mut(index) {
            node.name = format!("{name}/{}", node.op_type);
        }
        if name != old {
            graph.rename(&old, &name);
        }
    }
    Ok(())
}

/// Name of the product of the image and `share`, which is the map or what it leaves.
fn product(graph: &GraphEditor, share: &str) -> Result<String, ExportError> {
    let factors = [graph.input.as_str(), share];
    let reads_both =
        |node: &NodeProto| factors.iter().all(|name| node.input.iter().any(|input| input == name));
    let product = graph.nodes.iter().find(|node| node.op_type == "Mul" && reads_both(node));
    let output = product.and_then(|node| node.output.first()).cloned();
    output.ok_or_else(|| ExportError::Graph("the image is not multiplied by the map".into()))
}

/// Name of `1 - mask`.
fn complement(graph: &GraphEditor, mask: &str) -> Result<String, ExportError> {
    let is_complement =
        |node: &&NodeProto| node.op_type == "Sub" && node.input.get(1).is_some_and(|input| input == mask);
    let output = graph.nodes.iter().find(is_complement).and_then(|node| node.output.first()).cloned();
    output.ok_or_else(|| ExportError::Graph("there is no value for what the map leaves out".into()))
}

/// A layer with weights is called after them; any other after what it reads.
fn describe(node: &NodeProto) -> String {
    let weight = node.input.get(1).and_then(|name| name.strip_suffix(".weight"));
    if let Some(layer) = weight {
        return layer.replace('.', "/");
    }
    let source = node.input.first().map_or("value", String::as_str);
    // `a/conv/relu/add` says enough with its layer and the last step.
    let layer = source.split('#').next().unwrap_or(source);
    format!("{layer}#{}", node.op_type.to_lowercase())
}

fn unique(name: &str, taken: &mut HashSet<String>) -> String {
    let mut candidate = name.to_owned();
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{name}{number}");
        number += 1;
    }
    candidate
}
