//! Static int8 quantization: measure ranges, round weights, correct biases, write QDQ, and apply the gate.
//!
//! Activations are unsigned 8-bit with one scale and zero point a value; weights signed 8-bit, symmetric, one
//! scale an output channel; biases 32-bit with the product of both scales. The last layers of the map and the
//! logits stay float: they are tiny, and the map is what must not change. A detector in the graph is quantized as the
//! predictor is; neither changes a bit of the other.

mod correct;
mod error;
#[cfg(test)]
mod fixture;
mod gate;
mod insert;
mod observe;
mod range;
mod scheme;
mod weights;

pub use error::QuantError;
pub use gate::{detector_agreement, measure};
pub use insert::quantize;
pub use observe::{Observations, observe};
pub use range::{Method, MethodError, QuantRange};
pub use scheme::Scheme;

#[cfg(test)]
mod tests;
