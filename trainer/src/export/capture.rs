//! The forward pass, recorded by burn-onnx.

use burn::module::Module;
use burn::tensor::Tensor;
use burn_onnx::export::OnnxExporter;
use comet_onnx::GraphEditor;
use comet_onnx::proto::{Message, ModelProto};

use super::error::ExportError;
use crate::model::{Comet, LrAspp, ResNet18};

/// Records the networks for one image of `height x width`. The outputs are the map, the logits and, with a detector, its
/// logits.
pub(super) fn capture(
    comet: &Comet,
    detector: Option<&ResNet18>,
    height: usize,
    width: usize,
) -> Result<GraphEditor, ExportError> {
    let device = comet.predictor.fc.weight.val().device();
    let example = Tensor::<4>::zeros([1, 3, height, width], &device);
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
    Ok(GraphEditor::from_model(proto)?)
}

/// The pair and its detector as one module: the recorder names weights after its fields.
#[derive(Module, Debug)]
struct WithDetector {
    selector: LrAspp,
    predictor: ResNet18,
    detector: ResNet18,
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
