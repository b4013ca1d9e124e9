//! BatchNorm goes into the weights of the convolution before it.

use comet_onnx::proto::NodeProto;
use comet_onnx::{GraphEditor, TensorValues, attribute};

use super::error::ExportError;

/// Folds every `Conv -> BatchNormalization`; one that stands elsewhere is an error.
pub(super) fn fold_batch_norm(graph: &mut GraphEditor) -> Result<(), ExportError> {
    let norms: Vec<_> =
        graph.nodes.iter().filter(|node| node.op_type == "BatchNormalization").cloned().collect();
    for norm in norms {
        fold(graph, &norm).ok_or_else(|| {
            ExportError::Graph(format!(
                "BatchNormalization '{}' does not follow a convolution of its own",
                norm.name
            ))
        })?;
    }
    graph.remove_dead();
    Ok(())
}

fn fold(graph: &mut GraphEditor, norm: &NodeProto) -> Option<()> {
    let [input, gamma, beta, mean, variance] = norm.input.as_slice() else {
        return None;
    };
    let output = norm.output.first()?;
    let mut conv = graph.producer(input).filter(|node| node.op_type == "Conv")?.clone();
    if !graph.is_used_once(input) {
        return None;
    }
    let epsilon = f64::from(attribute::float_of(norm, "epsilon").unwrap_or(1e-5));
    let vector = |name: &String| graph.floats(name).map(|tensor| tensor.values);
    let (gamma, beta, mean, variance) = (vector(gamma)?, vector(beta)?, vector(mean)?, vector(variance)?);
    let name = conv.input.get(1)?.clone();
    let weight = graph.floats(&name)?;
    let old_bias = match conv.input.get(2) {
        Some(bias) => graph.floats(bias)?.values,
        None => vec![0.0; gamma.len()],
    };
    let mut values = Vec::with_capacity(weight.values.len());
    let mut bias = Vec::with_capacity(gamma.len());
    let statistics = gamma.iter().zip(&beta).zip(&mean).zip(&variance).zip(&old_bias);
    for (channel, ((((&gamma, &beta), &mean), &variance), &old)) in statistics.enumerate() {
        // In double precision: the file should not add an error of its own to that of the arithmetic.
        let factor = f64::from(gamma) / (f64::from(variance) + epsilon).sqrt();
        values.extend(weight.channel(channel).iter().map(|&w| (f64::from(w) * factor) as f32));
        bias.push((f64::from(beta) + (f64::from(old) - f64::from(mean)) * factor) as f32);
    }
    let stem = name.strip_suffix(".weight").unwrap_or(&name).to_owned();
    let bias_name = format!("{stem}.bias");
    graph.set_floats(&name, &TensorValues { dims: weight.dims, values });
    graph.set_floats(&bias_name, &TensorValues { dims: vec![bias.len()], values: bias });
    conv.input.truncate(2);
    conv.input.push(bias_name);
    graph.replace_producer(input, conv);
    let (input, output) = (input.clone(), output.clone());
    graph.nodes.retain(|node| node.output.first() != Some(&output));
    graph.replace_uses(&output, &input);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use comet_onnx::node;

    #[test]
    fn a_norm_becomes_weights_and_bias() {
        let mut graph =
            GraphEditor { input: "x".into(), outputs: vec!["z".into()], ..GraphEditor::default() };
        let set = |graph: &mut GraphEditor, name: &str, dims: &[usize], values: &[f32]| {
            graph.set_floats(name, &TensorValues { dims: dims.to_vec(), values: values.to_vec() });
        };
        set(&mut graph, "c.weight", &[2, 1, 1, 1], &[1.0, 2.0]);
        for (name, values) in [("g", [2.0, 1.0]), ("b", [0.5, 0.0]), ("m", [1.0, 3.0]), ("v", [4.0, 1.0])] {
            set(&mut graph, name, &[2], &values);
        }
        graph.nodes = vec![
            node("Conv", &["x", "c.weight"], "y", vec![]),
            node(
                "BatchNormalization",
                &["y", "g", "b", "m", "v"],
                "z",
                vec![attribute::float("epsilon", 0.0)],
            ),
        ];
        fold_batch_norm(&mut graph).unwrap();
        assert_eq!(graph.nodes.len(), 1);
        assert_eq!(graph.floats("c.weight").unwrap().values, [1.0, 2.0]);
        assert_eq!(graph.floats("c.bias").unwrap().values, [-0.5, -3.0]);
        assert_eq!(graph.outputs, ["y"]);
    }

    #[test]
    fn a_norm_without_a_convolution_is_an_error() {
        let mut graph =
            GraphEditor { input: "x".into(), outputs: vec!["y".into()], ..GraphEditor::default() };
        graph.nodes = vec![node("BatchNormalization", &["x", "g", "b", "m", "v"], "y", vec![])];
        assert!(fold_batch_norm(&mut graph).is_err());
    }
}
