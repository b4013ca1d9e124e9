//! The head's 1x1 classifier runs before the upsampling instead of after it.
//!
//! A 1x1 convolution acts on channels, bilinear resizing on places, and resizing weights sum to 1 so that the
//! bias passes through: the two can change places. Then one channel is resized instead of 128, and the int8
//! file needs no integer resize.

use comet_edge::engine::proto::{NodeProto, TensorProto, tensor_proto::DataType};

use super::graph::{Graph, attribute};
use super::model::ExportError;

/// Swaps every `Resize -> 1x1 Conv` whose convolution narrows the channels.
pub(super) fn commute_resize(graph: &mut Graph) {
    let resizes: Vec<_> = graph.nodes.iter().filter(|node| node.op_type == "Resize").cloned().collect();
    for resize in resizes {
        swap(graph, &resize);
    }
}

fn swap(graph: &mut Graph, resize: &NodeProto) -> Option<()> {
    let (input, resized) = (resize.input.first()?, resize.output.first()?);
    let conv = graph.only_consumer(resized, "Conv")?.clone();
    let weight = graph.floats(conv.input.get(1)?)?;
    let [outputs, inputs, 1, 1] = weight.dims.as_slice() else {
        return None;
    };
    // Only a resize that names its axes leaves the channels open.
    if outputs >= inputs || attribute::ints_of(resize, "axes") != [2, 3] {
        return None;
    }
    let output = conv.output.first()?.clone();
    let mut early = conv.clone();
    *early.input.first_mut()? = input.clone();
    *early.output.first_mut()? = resized.clone();
    let mut late = resize.clone();
    *late.input.first_mut()? = resized.clone();
    *late.output.first_mut()? = output.clone();
    graph.replace_producer(resized, early);
    graph.replace_producer(&output, late);
    Some(())
}

/// Writes the sizes of one-channel resizes as `[1, 1, height, width]`: `axes` came with opset 18, and not every
/// engine has it.
pub(super) fn spell_out_sizes(graph: &mut Graph) -> Result<(), ExportError> {
    for index in 0..graph.nodes.len() {
        let Some(node) = graph.nodes.get(index).filter(|node| node.op_type == "Resize") else {
            continue;
        };
        let fault = || ExportError::Graph(format!("Resize '{}' has a form that is not expected", node.name));
        let name = node.input.get(3).cloned().ok_or_else(fault)?;
        let sizes = graph.constants.get(&name).and_then(int64s).ok_or_else(fault)?;
        let [height, width] = sizes.as_slice() else {
            return Err(fault());
        };
        let raw = [1, 1, *height, *width].iter().flat_map(|size| size.to_le_bytes()).collect();
        graph.set_raw(&name, DataType::Int64, &[4], raw);
        if let Some(node) = graph.nodes.get_mut(index) {
            node.attribute.retain(|attribute| attribute.name != "axes");
        }
    }
    Ok(())
}

fn int64s(tensor: &TensorProto) -> Option<Vec<i64>> {
    if tensor.data_type != DataType::Int64 as i32 {
        return None;
    }
    if !tensor.int64_data.is_empty() {
        return Some(tensor.int64_data.clone());
    }
    let words = tensor.raw_data.chunks_exact(8);
    words.map(|word| word.try_into().ok().map(i64::from_le_bytes)).collect()
}
