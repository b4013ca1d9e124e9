//! From trained networks to a model file: capture the forward pass as ONNX, fold, fuse, name, seal.

mod capture;
mod commute;
#[cfg(test)]
pub(crate) mod fixture;
mod fold;
mod fuse;
mod graph;
mod model;
mod name;
mod package;

pub use graph::{Graph, TensorValues, attribute, node};
pub use model::{ExportError, float_graph};
pub use package::package;
