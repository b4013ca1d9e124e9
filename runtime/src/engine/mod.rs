//! The network: the only folder that names tract.
//!
//! A quantized graph is divided by `fuse` into patterns (`layer` reads convolutions) and by `segment` into regions; `lower` turns each region into
//! a `program` of integer kernels that works on bytes in NHWC order from its first convolution to its last. A graph
//! that is one region runs without tract, and without allocating; in others the regions are operators of a tract model.

mod arena;
mod float;
mod fuse;
mod graph;
mod layer;
mod lower;
mod op;
mod options;
mod part;
mod pattern;
mod placement;
mod plan;
mod program;
pub mod proto;
mod report;
mod segment;
mod session;

pub use comet_kernels::Tier;
pub use options::{KERNEL_VARIABLE, Kernels, Options};
pub use part::{DetectorSession, LEFT_OUT, LEFT_OUT_LOGITS, MASKED, PredictorSession, Probe};
pub use report::{PlanReport, PlannedNode};
pub use session::{ENGINE, Explanation, Session, largest, softmax};
