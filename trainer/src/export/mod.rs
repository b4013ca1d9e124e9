//! From trained networks to a model file: capture the forward pass as ONNX, fold, fuse, name, write.

mod capture;
mod commute;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod fold;
mod fuse;
mod model;
mod name;
mod package;

pub use error::ExportError;
pub use model::float_graph;
pub use package::package;
