//! Which values of a graph become 8-bit.

use std::collections::{BTreeMap, BTreeSet};

use comet_engine::model::{LEFT_OUT, MASKED};
use comet_onnx::GraphEditor;

use super::error::QuantError;

/// The values that are quantized, and which of them share a range.
#[derive(Clone, Debug, Default)]
pub struct Scheme {
    /// Names of the quantized values, the input first.
    pub values: Vec<String>,
    /// A value whose range is that of another one: selecting or reshaping changes no number, blending none beyond its
    /// neighbours, and the detector is given whole images too.
    pub same_as: BTreeMap<String, String>,
    /// Values known to lie in `[0, 1]`.
    pub unit: BTreeSet<String>,
}

/// Operators with an 8-bit form whose output gets a range of its own.
const QUANTIZED: [&str; 10] = [
    "Conv",
    "Gemm",
    "Add",
    "Mul",
    "Relu",
    "Clip",
    "HardSwish",
    "HardSigmoid",
    "Sigmoid",
    "GlobalAveragePool",
];
/// Operators that pick or reorder numbers, or give numbers between them.
const PASSING: [&str; 3] = ["MaxPool", "Flatten", "Resize"];
/// Functions that are done in one step with the operator before them.
const FUSED: [&str; 2] = ["Relu", "Clip"];

impl Scheme {
    /// Chooses the values of a float graph as [`crate::export::float_graph`] makes it.
    pub fn of(graph: &GraphEditor) -> Result<Self, QuantError> {
        let tail = map_tail(graph);
        let mut scheme = Self { values: vec![graph.input.clone()], ..Self::default() };
        for node in &graph.nodes {
            let (Some(output), Some(input)) = (node.output.first(), node.input.first()) else {
                continue;
            };
            // The complement of the map is float as the map is.
            let is_complement = node.op_type == "Sub" && node.input.iter().any(|input| input == "mask");
            if tail.contains(output) || graph.outputs.contains(output) || is_complement {
                continue;
            }
            // Convolution and addition are followed by their ReLU or clip in one step, so only its output is rounded.
            if FUSED.iter().any(|function| graph.only_consumer(output, function).is_some()) {
                continue;
            }
            let operator = node.op_type.as_str();
            if PASSING.contains(&operator) {
                scheme.same_as.insert(output.clone(), input.clone());
            } else if !QUANTIZED.contains(&operator) {
                return Err(QuantError::Graph(format!("node '{}' has the operator {operator}", node.name)));
            }
            if output == LEFT_OUT {
                scheme.same_as.insert(output.clone(), graph.input.clone());
            }
            if ["HardSigmoid", "Sigmoid"].contains(&operator) {
                scheme.unit.insert(output.clone());
            }
            scheme.values.push(output.clone());
        }
        if !scheme.values.iter().any(|value| value == MASKED) {
            return Err(QuantError::Graph(format!("there is no value '{MASKED}'")));
        }
        Ok(scheme)
    }
}

/// The values from the head's two classifiers to the map: one channel each, kept in float.
fn map_tail(graph: &GraphEditor) -> BTreeSet<String> {
    let mut tail = BTreeSet::new();
    let mut open = vec!["mask".to_owned()];
    while let Some(value) = open.pop() {
        if let Some(node) = graph.producer(&value) {
            if ["Sigmoid", "Resize", "Add"].contains(&node.op_type.as_str()) {
                open.extend(node.input.iter().filter(|input| graph.producer(input).is_some()).cloned());
            }
            tail.insert(value);
        }
    }
    tail
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::fixture::{pair, with_left_out};
    use comet_onnx::node;

    fn names<'a>(values: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
        values.into_iter().map(String::as_str).collect()
    }

    #[test]
    fn values_inside_become_8_bit_and_the_maps_tail_and_the_outputs_stay_float() {
        let scheme = Scheme::of(&pair()).unwrap();
        let expected = ["image", "stem#relu", "pooled", MASKED, "body", "gate", "gated", "mean", "features"];
        assert_eq!(names(&scheme.values), expected);
        let same: Vec<_> = scheme.same_as.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(same, [("features", "mean"), ("pooled", "stem#relu")]);
        assert_eq!(names(&scheme.unit), ["gate"]);
    }

    #[test]
    fn what_is_left_out_has_the_images_range_and_the_complement_of_the_map_stays_float() {
        let scheme = Scheme::of(&with_left_out()).unwrap();
        let expected = [
            "image",
            "stem#relu",
            "pooled",
            MASKED,
            "body",
            "gate",
            "gated",
            "mean",
            "features",
            LEFT_OUT,
            "detector#relu",
        ];
        assert_eq!(names(&scheme.values), expected);
        assert_eq!(scheme.same_as.get(LEFT_OUT).map(String::as_str), Some("image"));
    }

    #[test]
    fn a_value_with_more_readers_than_its_relu_is_rounded_too() {
        let mut graph = pair();
        graph.nodes.insert(2, node("Add", &["stem", "stem#relu"], "sum", vec![]));
        let scheme = Scheme::of(&graph).unwrap();
        assert_eq!(names(&scheme.values)[..4], ["image", "stem", "stem#relu", "sum"]);
    }

    #[test]
    fn a_clip_is_rounded_in_place_of_what_it_clips_and_a_resize_of_features_has_their_range() {
        let mut graph = pair();
        // Between the pool and the head, so that it is not the map's tail.
        graph.nodes[1] = node("Clip", &["stem", "zero", "six"], "stem#clip", vec![]);
        graph.nodes[2].input[0] = "stem#clip".into();
        graph.nodes.insert(3, node("Resize", &["pooled"], "large", vec![]));
        graph.nodes[4].input[0] = "large".into();
        let scheme = Scheme::of(&graph).unwrap();
        assert_eq!(names(&scheme.values)[..4], ["image", "stem#clip", "pooled", "large"]);
        assert_eq!(scheme.same_as.get("large").map(String::as_str), Some("pooled"));
        assert!(!scheme.values.iter().any(|value| value == "stem" || value == "resized"));
    }

    #[test]
    fn an_operator_without_an_8_bit_form_and_a_graph_without_a_masked_image_are_errors() {
        let mut graph = pair();
        graph.nodes.insert(0, node("Softplus", &["image"], "odd", vec![]));
        let refused = Scheme::of(&graph).unwrap_err().to_string();
        assert!(refused.contains("'odd'") && refused.contains("Softplus"), "{refused}");
        let mut graph = pair();
        graph.rename(MASKED, "other");
        let refused = Scheme::of(&graph).unwrap_err().to_string();
        assert!(refused.contains(MASKED), "{refused}");
    }
}
