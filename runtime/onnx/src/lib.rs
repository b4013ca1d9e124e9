//! ONNX graphs as COMET uses them, for the engine that runs them and the trainer that writes them.
//!
//! - [`proto`]: the protobuf types of the file format;
//! - [`tensor`]: the values of a stored tensor, whichever of the format's ways they are stored in;
//! - [`attribute`]: attributes of nodes, read and made;
//! - [`GraphView`]: who makes a value, who reads it, what is constant, which shapes follow;
//! - [`GraphEditor`]: a graph that is taken apart, changed and put together again;
//! - [`cut`]: the part of a graph between one value and some others;
//! - [`check`]: rules that every graph keeps before an engine is given it.
//!
//! Nothing here runs a graph.

pub mod attribute;
pub mod check;
mod cut;
mod edit;
pub mod proto;
mod shapes;
pub mod tensor;
mod view;
mod windows;

pub use cut::{cut, model_of};
pub use edit::{GraphEditor, GraphError, TensorValues, node};
pub use view::GraphView;
pub use windows::{Windows, windows};
