//! Static int8 quantization: measure ranges, round weights, correct biases, write QDQ, and hold the gate.
//!
//! Activations are unsigned 8-bit with one scale and zero point a value; weights signed 8-bit, symmetric, one
//! scale an output channel; biases 32-bit with the product of both scales. The last layers of the map and the
//! logits stay float: they are tiny, and the map is what must not change. A detector in the graph is quantized as the
//! predictor is; neither changes a bit of the other.

mod correct;
mod gate;
mod insert;
mod observe;
mod range;
mod scheme;
mod weights;

pub use gate::{detector_agreement, measure};
pub use insert::quantize;
pub use observe::{Observations, observe};
pub use range::{Method, QuantRange};
pub use scheme::Scheme;

/// Why a graph could not be quantized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// There is nothing to measure ranges on.
    #[error("there are no calibration pictures")]
    NoPictures,
    /// The graph has a form that is not understood.
    #[error("the graph cannot be quantized: {0}")]
    Graph(String),
    /// The engine could not run the graph for measuring.
    #[error("the ranges cannot be measured ({0})")]
    Engine(String),
    /// A value took no finite number during calibration.
    #[error("the value '{0}' is not finite during calibration: the weights have diverged")]
    NotFinite(String),
}

#[cfg(test)]
mod tests;
