//! Nodes that are broken: what they read and make, their attributes, their operators.

use comet_onnx::proto::GraphProto;

use super::{pick, some_node};
use crate::random::SplitMix64;
use crate::small_model::{int, ints, node, value};
use crate::surgery::{rewire, set_attribute};

const ANY: &[&str] = &[];
const QUANTIZERS: &[&str] = &["QuantizeLinear", "DequantizeLinear"];

pub(super) fn axis(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_node(graph, random, QUANTIZERS)?;
    let axis = pick(random, &[-4096, -4, -1, 0, 1, 2, 3, 4, 4096])?;
    set_attribute(&mut graph.node[index], int("axis", axis));
    Some(())
}

pub(super) fn order(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_node(graph, random, ANY)?;
    let inputs = &mut graph.node[index].input;
    let other = 1 + random.below(inputs.len().saturating_sub(1));
    (other < inputs.len()).then(|| inputs.swap(0, other))
}

pub(super) fn missing(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_node(graph, random, ANY)?;
    let inputs = &mut graph.node[index].input;
    let (place, removed) = (random.below(inputs.len()), random.below(2) == 0);
    if removed && place < inputs.len() {
        inputs.remove(place);
    } else {
        inputs.get_mut(place)?.clear();
    }
    Some(())
}

/// A node that reads its own output, or that of a later node.
pub(super) fn circle(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let reader = some_node(graph, random, ANY)?;
    let maker = reader + random.below(graph.node.len() - reader);
    let made = graph.node[maker].output.first()?.clone();
    let inputs = &mut graph.node[reader].input;
    let place = random.below(inputs.len());
    *inputs.get_mut(place)? = made;
    Some(())
}

pub(super) fn twice(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let (one, other) = (some_node(graph, random, ANY)?, some_node(graph, random, ANY)?);
    let made = graph.node[other].output.first()?.clone();
    *graph.node[one].output.first_mut()? = made;
    Some(())
}

pub(super) fn attribute(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_node(graph, random, &["Conv", "MaxPool"])?;
    let name = pick(random, &["group", "strides", "pads", "dilations", "kernel_shape"])?;
    // More padding is a matter of memory: see the tests of files that ask for gigabytes.
    let largest = if name == "pads" { 128 } else { 4096 };
    let value = pick(random, &[-1, 0, 2, 64, largest])?;
    let changed = match name {
        "group" => int(name, value),
        "pads" => ints(name, &[value; 4]),
        _ => ints(name, &[value; 2]),
    };
    set_attribute(&mut graph.node[index], changed);
    Some(())
}

pub(super) fn removed(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_node(graph, random, ANY)?;
    graph.node.remove(index);
    Some(())
}

/// A QuantizeLinear without its DequantizeLinear, or the other way round.
pub(super) fn half(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_node(graph, random, QUANTIZERS)?;
    let gone = graph.node.remove(index);
    rewire(graph, gone.output.first()?, gone.input.first()?);
    Some(())
}

pub(super) fn dequantized_input(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_node(graph, random, &["QuantizeLinear"])?;
    let mut inputs = graph.node[index].input.clone();
    "image".clone_into(inputs.first_mut()?);
    rewire(graph, "image", "image_again");
    let mut added = node("DequantizeLinear", &[], "image_again");
    added.input = inputs;
    graph.node.insert(0, added);
    Some(())
}

pub(super) fn lie(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    const SHAPES: [&[i64]; 7] =
        [&[1, 12, 16, 16], &[1, 20, 8, 8], &[1, 1, 1, 1], &[1, 1 << 20, 1, 1], &[1, 3, 0, 8], &[7], &[]];
    let index = some_node(graph, random, ANY)?;
    let name = graph.node[index].output.first()?.clone();
    let shape = pick(random, &SHAPES)?;
    graph.value_info.retain(|value| value.name != name);
    graph.value_info.push(value(&name, shape));
    Some(())
}

pub(super) fn second_output(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let index = some_node(graph, random, ANY)?;
    graph.node[index].output.push("more".into());
    Some(())
}

/// A name as the engine makes them.
pub(super) fn name(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    let (one, other) = (some_node(graph, random, ANY)?, some_node(graph, random, ANY)?);
    let old = graph.node[one].output.first()?.clone();
    let new = format!("{}#real", graph.node[other].output.first()?);
    new.clone_into(graph.node[one].output.first_mut()?);
    rewire(graph, &old, &new);
    Some(())
}

pub(super) fn operator(graph: &mut GraphProto, random: &mut SplitMix64) -> Option<()> {
    const OPERATORS: [&str; 17] = [
        "Relu",
        "Clip",
        "Sigmoid",
        "HardSwish",
        "HardSigmoid",
        "Identity",
        "Flatten",
        "Add",
        "Mul",
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "QuantizeLinear",
        "DequantizeLinear",
        "Softmax",
        "Transpose",
        "Reshape",
    ];
    let index = some_node(graph, random, ANY)?;
    graph.node[index].op_type = pick(random, &OPERATORS)?.to_owned();
    Some(())
}
