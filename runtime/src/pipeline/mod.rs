//! The way of a frame: source, hand-off, inference, sinks.
//!
//! Files are pulled: the next one is read when the last one was predicted, and nothing is dropped. A live
//! source runs on a thread of its own and leaves its newest frame in a slot: an old frame is worth nothing,
//! and a queue would only make every prediction late.

mod control;
mod error;
mod exchange;
mod inference;
mod intake;
mod notice;
mod pacing;
mod run;
mod smoothing;
mod timer;

pub use control::{RunControl, RunOptions};
pub use error::{PredictError, RunError};
pub use exchange::Exchange;
pub use inference::{Inference, InferenceOptions};
pub use notice::Notice;
pub use run::run;

pub use crate::monitor::{Counters, Counts, Monitor};
pub use crate::slot::{LatestSlot, Put, Taken};
pub use comet_engine::prediction::{FrameResult, Record};
