//! Which values of a graph become 8-bit.

use std::collections::{BTreeMap, BTreeSet};

use comet_edge::engine::{LEFT_OUT, MASKED};

use super::QuantError;
use crate::export::Graph;

/// The values that are quantized, and which of them share a range.
#[derive(Clone, Debug, Default)]
pub struct Scheme {
    /// Names of the quantized values, the input first.
    pub values: Vec<String>,
    /// A value whose range is that of another one: selecting or reshaping changes no number, and the detector is asked
    /// about whole pictures too.
    pub same_as: BTreeMap<String, String>,
    /// Values known to lie in `[0, 1]`.
    pub unit: BTreeSet<String>,
}

/// Operators with an 8-bit form whose output gets a range of its own.
const QUANTIZED: [&str; 9] =
    ["Conv", "Gemm", "Add", "Mul", "Relu", "HardSwish", "HardSigmoid", "Sigmoid", "GlobalAveragePool"];
/// Operators that pick or reorder numbers.
const PASSING: [&str; 2] = ["MaxPool", "Flatten"];

impl Scheme {
    /// Chooses the values of a float graph as [`crate::export::float_graph`] makes it.
    pub fn of(graph: &Graph) -> Result<Self, QuantError> {
        let tail = map_tail(graph);
        let mut scheme = Self { values: vec![graph.input.clone()], ..Self::default() };
        for node in &graph.nodes {
            let (Some(output), Some(input)) = (node.output.first(), node.input.first()) else {
                continue;
            };
            // What the map leaves is float as the map is.
            let is_complement = node.op_type == "Sub" && node.input.iter().any(|input| input == "mask");
            if tail.contains(output) || graph.outputs.contains(output) || is_complement {
                continue;
            }
            // Convolution and addition are followed by their ReLU in one step, so only its output is rounded.
            if graph.only_consumer(output, "Relu").is_some() {
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
fn map_tail(graph: &Graph) -> BTreeSet<String> {
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
