//! The way of a frame: source, hand-off, inference, sinks.
//!
//! Files are pulled: the next one is read when the last one is answered, and nothing is dropped. A live
//! source runs on a thread of its own and leaves its newest frame in a slot: an old frame is worth nothing,
//! and a queue would only make every answer late.

mod exchange;
mod inference;
mod intake;
mod notice;
mod pacing;
mod run;
mod smoothing;
mod timer;

pub use exchange::Exchange;
pub use inference::{AnswerError, Inference, InferenceOptions};
pub use notice::Notice;
pub use run::{RunControl, RunError, RunOptions, run};

pub use crate::monitor::{Counters, Counts, Monitor};
pub use crate::sink::{FrameResult, Record};
pub use crate::slot::{LatestSlot, Put, Taken};
