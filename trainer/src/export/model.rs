//! The float graph of a trained pair, in the form that goes into files.

use super::capture::capture;
use super::commute::{commute_resize, spell_out_sizes};
use super::fold::fold_batch_norm;
use super::fuse::fuse;
use super::graph::Graph;
use super::name::name_values;
use crate::model::Comet;

/// Why a run could not be written as a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Burn could not record the forward pass.
    #[error("the networks cannot be recorded as ONNX ({0})")]
    Capture(String),
    /// The recorded graph has another form than expected.
    #[error("the recorded graph is not what was expected: {0}. This is a fault of this program")]
    Graph(String),
    /// The file does not pass the runtime's checks.
    #[error("the finished file does not pass the runtime's own checks ({0}). This is a fault of this program")]
    SelfCheck(String),
}

/// Records `comet` at `height x width`, folds BatchNorm, fuses and names.
pub fn float_graph(comet: &Comet, height: usize, width: usize) -> Result<Graph, ExportError> {
    let mut graph = capture(comet, height, width)?;
    fold_batch_norm(&mut graph)?;
    fuse(&mut graph);
    commute_resize(&mut graph);
    spell_out_sizes(&mut graph)?;
    name_values(&mut graph)?;
    Ok(graph)
}
