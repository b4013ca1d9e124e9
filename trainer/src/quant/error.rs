//! Why a graph could not be quantized.

use comet_engine::run::EngineError;

/// Why a graph could not be quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// There is nothing to measure ranges on.
    #[error("there are no calibration images")]
    NoImages,
    /// The graph has a form that is not understood.
    #[error("the graph cannot be quantized: {0}")]
    Graph(String),
    /// The engine could not run the graph for measuring.
    #[error("the engine could not run the graph to measure the ranges")]
    Engine(#[from] EngineError),
    /// A value took on something that is not a finite number during calibration.
    #[error("the value '{0}' is not finite during calibration: the weights have diverged")]
    NotFinite(String),
}
