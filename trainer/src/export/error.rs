//! Why a run could not be written as a model file.

use comet_onnx::GraphError;

/// Why a run could not be written as a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Burn could not record the forward pass.
    #[error("the networks cannot be recorded as ONNX ({0})")]
    Capture(String),
    /// The recorded model could not be taken apart.
    #[error("the recorded networks cannot be edited. This is a bug in this program")]
    Recorded(#[from] GraphError),
    /// The recorded graph has another form than expected.
    #[error("the recorded graph does not have the expected form: {0}. This is a bug in this program")]
    Graph(String),
    /// Training has gone wrong.
    #[error(
        "the weights '{0}' hold values that are not finite numbers: training has diverged. Export --checkpoint best, or train again with a lower learning rate"
    )]
    NotFinite(String),
    /// The file does not pass the runtime's checks.
    #[error("the finished file does not pass the runtime's own checks ({0}). This is a bug in this program")]
    SelfCheck(String),
}
