//! The head's 1x1 classifier runs before the upsampling instead of after it.
//!
//! A 1x1 convolution acts on channels, bilinear resizing on places, and resizing weights sum to 1 so that the
//! bias passes through: the two can change places. Then one channel is resized instead of 128, in real numbers. A
//! top-down head, which adds features to what it resized, keeps its resizes.

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

/// Writes the sizes of resizes as `[1, channels, height, width]`: `axes` came with opset 18, and not every engine has it.
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
        let channels = node.input.first().and_then(|input| channels(graph, input)).ok_or_else(fault)?;
        let raw = [1, channels, *height, *width].iter().flat_map(|size| size.to_le_bytes()).collect();
        graph.set_raw(&name, DataType::Int64, &[4], raw);
        if let Some(node) = graph.nodes.get_mut(index) {
            node.attribute.retain(|attribute| attribute.name != "axes");
        }
    }
    Ok(())
}

/// Channels of a value, which are those of the convolutions that it comes from; the largest of them, because a mask has
/// one for all.
fn channels(graph: &GraphEditor, value: &str) -> Option<i64> {
    let node = graph.producer(value)?;
    match node.op_type.as_str() {
        "Conv" => i64::try_from(*graph.floats(node.input.get(1)?)?.dims.first()?).ok(),
        "Add" | "Mul" => node.input.iter().filter_map(|input| channels(graph, input)).max(),
        "Relu" | "Clip" | "HardSwish" | "HardSigmoid" | "Sigmoid" | "Resize" | "MaxPool"
        | "GlobalAveragePool" => channels(graph, node.input.first()?),
        _ => None,
    }
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

    /// A convolution to four channels, what `nodes` make of `features`, and a Resize of `last`.
    fn features_then_resize(nodes: Vec<NodeProto>, last: &str) -> GraphEditor {
        let mut graph = resize_then_conv(1, 4, 1, &[2, 3]);
        for (name, dims) in [("f.weight", [4, 3, 1, 1]), ("g.weight", [1, 3, 1, 1])] {
            let values = vec![0.5; dims.iter().product()];
            graph.set_floats(name, &TensorValues { dims: dims.to_vec(), values });
        }
        graph.nodes[0].input[0] = last.into();
        let mut all = vec![
            node("Conv", &["x", "f.weight"], "features", vec![]),
            node("Conv", &["x", "g.weight"], "one", vec![]),
        ];
        all.extend(nodes);
        all.append(&mut graph.nodes);
        graph.nodes = all;
        graph
    }

    #[test]
    fn sizes_are_written_for_all_four_axes() {
        let clipped = node("Clip", &["features", "zero", "six"], "clipped", vec![]);
        let product = node("Mul", &["one", "clipped"], "product", vec![]);
        let sum = node("Add", &["product", "features"], "sum", vec![]);
        for (nodes, last, channels) in [
            (vec![], "features", 4),
            (vec![], "one", 1),
            (vec![clipped.clone()], "clipped", 4),
            (vec![clipped, product, sum], "sum", 4),
        ] {
            let mut graph = features_then_resize(nodes, last);
            spell_out_sizes(&mut graph).unwrap();
            assert_eq!(tensor::integers(&graph.constants["sizes"]), Some(vec![1, channels, 8, 6]), "{last}");
            let resize = graph.nodes.iter().find(|node| node.op_type == "Resize").unwrap();
            let names: Vec<&str> = resize.attribute.iter().map(|found| found.name.as_str()).collect();
            assert_eq!(names, ["antialias"], "only the axes are gone");
        }
    }

    #[test]
    fn a_resize_of_another_form_is_an_error_that_names_it() {
        let mut graph = features_then_resize(vec![], "features");
        spell_out_sizes(&mut graph).unwrap();
        let refused = spell_out_sizes(&mut graph).unwrap_err().to_string();
        assert!(refused.contains("'large'"), "four sizes are not two: {refused}");
        let mut unknown = resize_then_conv(1, 4, 1, &[2, 3]);
        let refused = spell_out_sizes(&mut unknown).unwrap_err().to_string();
        assert!(refused.contains("'large'"), "no convolution says how many channels: {refused}");
        let mut without = features_then_resize(vec![], "features");
        without.constants.remove("sizes");
        assert!(spell_out_sizes(&mut without).is_err());
    }
}
