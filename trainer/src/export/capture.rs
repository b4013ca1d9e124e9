//! The forward pass, recorded by burn-onnx.

use burn::tensor::Tensor;
use burn_onnx::export::OnnxExporter;
use comet_edge::engine::proto::{Message, ModelProto};

use super::graph::Graph;
use super::model::ExportError;
use crate::model::Comet;

/// Records `comet` for one picture of `height x width`: outputs map, logits.
pub(super) fn capture(comet: &Comet, height: usize, width: usize) -> Result<Graph, ExportError> {
    let device = comet.predictor.fc.weight.val().device();
    let example = Tensor::<4>::zeros([1, 3, height, width], &device);
    let model = OnnxExporter::new()
        .export(comet, example, |comet: &Comet, x| comet.forward(x))
        .map_err(|error| ExportError::Capture(error.to_string()))?;
    let proto =
        ModelProto::decode(model.as_bytes()).map_err(|error| ExportError::Capture(error.to_string()))?;
    Graph::from_model(proto)
}
