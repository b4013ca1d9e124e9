//! Training: the objective, the schedule, the loop, and what a run leaves on disk.

mod checkpoint;
mod collapse;
mod config;
mod device;
mod epoch;
#[cfg(any(feature = "vulkan", feature = "wgpu"))]
mod gpu;
mod journal;
mod objective;
mod prepare;
mod progress;
mod run;
mod schedule;
mod session;
mod validate;

pub use checkpoint::{Best, Checkpoint, CheckpointError, CheckpointErrorKind, Position};
pub use config::{ConfigError, TrainConfig};
pub use device::{DeviceChoice, DeviceError, open_device};
pub use objective::{Completeness, Losses, Objective, StepGradients, comet_step, detector_step};
pub use progress::Progress;
pub use run::{Outcome, TrainPaths, is_run, train};
pub use schedule::{Decay, Schedule};
pub use session::{RunError, RunInfo, Sources, TrainedRun};
pub use validate::BurnSubject;
