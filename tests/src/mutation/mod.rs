//! Ways to break a quantized graph. Which node or constant is broken, and how, is drawn from random numbers.

mod constants;
mod nodes;

use comet_onnx::proto::{GraphProto, TensorProto};

use crate::random::SplitMix64;

/// Breaks a graph somewhere; `None` if it holds nothing of the kind.
pub type Mutation = fn(&mut GraphProto, &mut SplitMix64) -> Option<()>;

/// Every mutation and what it breaks.
pub const MUTATIONS: &[(&str, Mutation)] = &[
    ("a scale", constants::scale),
    ("a scale that is a node", constants::scale_as_node),
    ("a zero point and its type", constants::zero_point),
    ("the number of scales", constants::number_of_scales),
    ("an axis", nodes::axis),
    ("a bias", constants::bias),
    ("the dimensions of weights", constants::dimensions),
    ("the type of weights", constants::type_of_weights),
    ("the order of inputs", nodes::order),
    ("an input that is missing", nodes::missing),
    ("a circle", nodes::circle),
    ("a value that is made twice", nodes::twice),
    ("an attribute", nodes::attribute),
    ("a node that is missing", nodes::removed),
    ("the size of a resize", constants::size),
    ("half of a quantizer", nodes::half),
    ("an image that is dequantized", nodes::dequantized_input),
    ("a shape that is a lie", nodes::lie),
    ("a second output", nodes::second_output),
    ("a name", nodes::name),
    ("an operator", nodes::operator),
];

fn pick<T: Clone>(random: &mut SplitMix64, from: &[T]) -> Option<T> {
    from.get(random.below(from.len())).cloned()
}

/// A node with one of these operators; any node if none is named.
fn some_node(graph: &GraphProto, random: &mut SplitMix64, operators: &[&str]) -> Option<usize> {
    let fits =
        |index: &usize| operators.is_empty() || operators.contains(&graph.node[*index].op_type.as_str());
    pick(random, &(0..graph.node.len()).filter(fits).collect::<Vec<_>>())
}

fn some_tensor(
    graph: &GraphProto,
    random: &mut SplitMix64,
    fits: impl Fn(&TensorProto) -> bool,
) -> Option<usize> {
    let all = 0..graph.initializer.len();
    pick(random, &all.filter(|index| fits(&graph.initializer[*index])).collect::<Vec<_>>())
}
