//! The head's 1x1 classifier runs before the upsampling instead of after it.
//!
//! A 1x1 convolution acts on channels, bilinear resizing on places, and resizing weights sum to 1 so that the
//! bias passes through: the two can change places. Then one channel is resized instead of 128, and the int8
//! file needs no integer resize.

use comet_onnx::proto::{NodeProto, tensor_proto::DataType};
use comet_onnx::{GraphEditor, attribute, tensor};

use super::error::ExportError;

/// Swaps every `Resize -> 1x1 Conv` whose convolution narrows the channels.
pub(super) fn commute_resize(graph: &mut GraphEditor) {
    let resizes: Vec<_> = graph.nodes.iter().filter(|node| node.op_type == "Resize").cloned().collect();
    for resize in resizes {
        swap(graph, &resize);
    }
}

fn swap(graph: &mut GraphEditor, resize: &NodeProto) -> Option<()> {
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
pub(super) fn spell_out_sizes(graph: &mut GraphEditor) -> Result<(), ExportError> {
    for index in 0..graph.nodes.len() {
        let Some(node) = graph.nodes.get(index).filter(|node| node.op_type == "Resize") else {
            continue;
        };
        let fault = || ExportError::Graph(format!("Resize '{}' has a form that is not expected", node.name));
        let name = node.input.get(3).cloned().ok_or_else(fault)?;
        let sizes = graph.constants.get(&name).and_then(tensor::integers).ok_or_else(fault)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use comet_onnx::proto::AttributeProto;
    use comet_onnx::{TensorValues, node};

    /// `x -> Resize -> Conv -> y`, with so many output and input channels and a window of this side.
    fn resize_then_conv(outputs: usize, inputs: usize, side: usize, axes: &[i64]) -> GraphEditor {
        let mut graph =
            GraphEditor { input: "x".into(), outputs: vec!["y".into()], ..GraphEditor::default() };
        let dims = vec![outputs, inputs, side, side];
        let values = vec![0.5; dims.iter().product()];
        graph.set_floats("c.weight", &TensorValues { dims, values });
        let sizes = [8i64, 6].iter().flat_map(|size| size.to_le_bytes()).collect();
        graph.set_raw("sizes", DataType::Int64, &[2], sizes);
        let axes = AttributeProto { name: "axes".into(), ints: axes.to_vec(), ..AttributeProto::default() };
        let kept = attribute::int("antialias", 0);
        graph.nodes = vec![
            node("Resize", &["x", "", "", "sizes"], "large", vec![axes, kept]),
            node("Conv", &["large", "c.weight"], "y", vec![]),
        ];
        graph
    }

    fn order(graph: &GraphEditor) -> Vec<(&str, &str, &str)> {
        let parts = graph.nodes.iter();
        parts.map(|node| (node.op_type.as_str(), node.input[0].as_str(), node.output[0].as_str())).collect()
    }

    #[test]
    fn a_convolution_that_narrows_comes_before_the_resize() {
        let mut graph = resize_then_conv(1, 4, 1, &[2, 3]);
        commute_resize(&mut graph);
        assert_eq!(order(&graph), [("Conv", "x", "large"), ("Resize", "large", "y")]);
        assert_eq!(graph.nodes[0].input[1], "c.weight");
        assert_eq!(graph.nodes[1].input[3], "sizes");
    }

    #[test]
    fn other_resizes_stay_where_they_are() {
        let wide = resize_then_conv(4, 4, 1, &[2, 3]);
        let window = resize_then_conv(1, 4, 3, &[2, 3]);
        let all_axes = resize_then_conv(1, 4, 1, &[]);
        let mut read_twice = resize_then_conv(1, 4, 1, &[2, 3]);
        read_twice.nodes.push(node("Relu", &["large"], "z", vec![]));
        for graph in [wide, window, all_axes, read_twice] {
            let mut changed = graph.clone();
            commute_resize(&mut changed);
            assert_eq!(order(&changed), order(&graph));
        }
    }

    #[test]
    fn sizes_are_written_for_all_four_axes() {
        let mut graph = resize_then_conv(1, 4, 1, &[2, 3]);
        spell_out_sizes(&mut graph).unwrap();
        assert_eq!(tensor::integers(&graph.constants["sizes"]), Some(vec![1, 1, 8, 6]));
        let names: Vec<&str> = graph.nodes[0].attribute.iter().map(|found| found.name.as_str()).collect();
        assert_eq!(names, ["antialias"], "only the axes are gone");
        let refused = spell_out_sizes(&mut graph).unwrap_err().to_string();
        assert!(refused.contains("'large'"), "four sizes are not two: {refused}");
        graph.constants.remove("sizes");
        assert!(spell_out_sizes(&mut graph).is_err());
    }
}
