//! The forward pass, recorded by burn-onnx.

use burn::module::Module;
use burn::tensor::Tensor;
use burn_onnx::export::OnnxExporter;
use comet_onnx::GraphEditor;
use comet_onnx::proto::{Message, ModelProto};

use super::error::ExportError;
use crate::model::{Classifier, Comet, Selector};

/// Records the networks for one image of `height x width`. The outputs are the map, the logits and, with a detector, its
/// logits.
pub(super) fn capture(
    comet: &Comet,
    detector: Option<&Classifier>,
    height: usize,
    width: usize,
) -> Result<GraphEditor, ExportError> {
    let devices = comet.devices();
    let device = devices.first().ok_or_else(|| ExportError::Capture("they have no weights".into()))?;
    let example = Tensor::<4>::zeros([1, 3, height, width], device);
    let exporter = OnnxExporter::new();
    let model = match detector {
        None => exporter.export(comet, example, |comet: &Comet, x| comet.forward(x)),
        Some(detector) => {
            let Comet { selector, predictor } = comet.clone();
            let all = WithDetector { selector, predictor, detector: detector.clone() };
            exporter.export(&all, example, |all: &WithDetector, x| all.forward(x))
        }
    };
    let model = model.map_err(|error| ExportError::Capture(error.to_string()))?;
    let proto =
        ModelProto::decode(model.as_bytes()).map_err(|error| ExportError::Capture(error.to_string()))?;
    let mut graph = GraphEditor::from_model(proto)?;
    leave_out_variants(&mut graph);
    Ok(graph)
}

/// Takes the kinds of the networks out of the names of weights: `predictor.ResNet18.fc.weight` becomes
/// `predictor.fc.weight`. The recorder names weights after fields and after the variants of enums, which alone begin with
/// a capital letter.
fn leave_out_variants(graph: &mut GraphEditor) {
    let names: Vec<String> = graph.constants.keys().cloned().collect();
    for name in names {
        let is_field = |part: &&str| !part.starts_with(|first: char| first.is_ascii_uppercase());
        let fields = name.split('.').filter(is_field).collect::<Vec<&str>>().join(".");
        if fields != name {
            graph.rename(&name, &fields);
        }
    }
}

/// The pair and its detector as one module: the recorder names weights after its fields.
#[derive(Module, Debug)]
struct WithDetector {
    selector: Selector,
    predictor: Classifier,
    detector: Classifier,
}

impl WithDetector {
    /// As [`Comet::forward`], and the detector's logits `[batch, classes]` of what the map leaves out: the fill is 0.
    fn forward(&self, x: Tensor<4>) -> (Tensor<4>, Tensor<2>, Tensor<2>) {
        let mask = self.selector.forward(x.clone());
        let logits = self.predictor.forward(x.clone() * mask.clone());
        let left_out = x * (mask.clone().neg() + 1.0);
        (mask, logits, self.detector.forward(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use comet_onnx::{TensorValues, node};

    #[test]
    fn weights_are_named_after_fields_and_not_after_kinds_of_networks() {
        let mut graph =
            GraphEditor { input: "x".into(), outputs: vec!["y".into()], ..GraphEditor::default() };
        for name in ["predictor.ResNet18.fc.weight", "selector.head.low.bias", "node_3_scalar"] {
            graph.set_floats(name, &TensorValues { dims: vec![1], values: vec![0.5] });
        }
        let inputs = ["x", "predictor.ResNet18.fc.weight", "selector.head.low.bias"];
        graph.nodes = vec![node("Conv", &inputs, "y", vec![])];
        leave_out_variants(&mut graph);
        let names: Vec<&str> = graph.constants.keys().map(String::as_str).collect();
        assert_eq!(names, ["node_3_scalar", "predictor.fc.weight", "selector.head.low.bias"]);
        assert_eq!(graph.nodes[0].input, ["x", "predictor.fc.weight", "selector.head.low.bias"]);
    }
}
