//! Names that a person recognises in a graph viewer, a profiler, or an error message.

use std::collections::HashSet;

use comet_edge::engine::MASKED;

use super::graph::Graph;
use super::model::ExportError;

/// Names input, outputs and the masked picture, and every other value after the layer that makes it.
pub(super) fn name_values(graph: &mut Graph) -> Result<(), ExportError> {
    let [mask, logits] = graph.outputs.as_slice() else {
        return Err(ExportError::Graph(format!("{} outputs instead of map and logits", graph.outputs.len())));
    };
    let (mask, logits, input) = (mask.clone(), logits.clone(), graph.input.clone());
    let is_masked = |node: &&comet_edge::engine::proto::NodeProto| {
        node.op_type == "Mul" && node.input.contains(&input) && node.input.contains(&mask)
    };
    let masked = graph.nodes.iter().find(is_masked).and_then(|node| node.output.first()).cloned();
    let masked = masked.ok_or(ExportError::Graph("the picture is not multiplied by the map".into()))?;
    graph.rename(&input, "image");
    graph.rename(&mask, "mask");
    graph.rename(&logits, "logits");
    graph.rename(&masked, MASKED);
    let mut taken: HashSet<String> = ["image", "mask", "logits", MASKED].map(String::from).into();
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

/// A layer with weights is called after them; any other after what it reads.
fn describe(node: &comet_edge::engine::proto::NodeProto) -> String {
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
