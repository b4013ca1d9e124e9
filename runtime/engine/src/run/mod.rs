//! Prepared models.
//!
//! A quantized graph is divided into patterns that integer kernels run (`plan`) and nodes that tract runs.
//! A graph that is one region runs without tract, and without allocating; in others the regions are operators of a
//! tract model. This folder and `plan` are the only ones that depend on how a network is run; only this one names tract.

mod error;
mod executable;
mod float;
mod op;
mod options;
mod part;
mod prepare;
mod report;
mod session;

pub use comet_kernels::Tier;
pub use error::EngineError;
pub use options::{KERNEL_VARIABLE, KernelError, Kernels, Options};
pub use part::{DetectorSession, PredictorSession, Probe};
pub use report::{PlanReport, PlannedNode};
pub use session::{ENGINE, Session};
