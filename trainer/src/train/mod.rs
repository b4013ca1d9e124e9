//! Training: the objective, the schedule, the epochs, and what a run leaves on disk.

mod automatic;
mod checkpoint;
mod clip;
mod collapse;
mod config;
mod context;
mod device;
mod device_error;
mod ema;
mod epoch;
mod error;
#[cfg(any(feature = "vulkan", feature = "wgpu"))]
mod gpu;
mod head_first;
mod journal;
mod losses;
mod networks;
mod objective;
mod prepare;
mod progress;
mod recipe;
mod record;
mod requested;
mod run;
mod run_folder;
mod schedule;
mod targets;
mod tensorboard;
mod trained;
mod validate;

pub use checkpoint::{Best, Checkpoint, CheckpointError, CheckpointErrorKind, Position};
pub use config::{ConfigError, TrainConfig};
pub use context::{Drawings, ResumeFrom, TrainPaths, UnknownCheckpoint};
pub use device::{DeviceChoice, UnknownDevice, open_device};
pub use device_error::DeviceError;
pub use error::TrainError;
pub use objective::{
    Completeness, Losses, Objective, StepGradients, UnknownCompleteness, comet_step, detector_step,
};
pub use progress::Progress;
pub use recipe::{Recipe, UnknownRecipe};
pub use record::{EpochRecord, Phase, ValidationRecord, read_records};
pub use requested::{Automatic, Requested, SettingsFile};
pub use run::{Outcome, train};
pub use run_folder::{RunError, RunInfo, Sources, is_run};
pub use schedule::{Decay, Schedule, UnknownDecay};
pub use trained::TrainedRun;
pub use validate::BurnModel;
