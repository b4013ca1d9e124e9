//! The way of a frame: source, hand-off, inference, sinks.
//!
//! Files are pulled: the next one is read when the last one is answered, and nothing is dropped. A live
//! source runs on a thread of its own and leaves its newest frame in a slot: an old frame is worth nothing,
//! and a queue would only make every answer late.

mod counters;
mod inference;
mod intake;
mod notice;
mod run;
mod slot;
mod timer;

pub use counters::{Counters, Counts};
pub use inference::{AnswerError, Inference};
pub use notice::Notice;
pub use run::{RunControl, RunError, RunOptions, run};
pub use slot::{LatestSlot, Put, Taken};

pub use crate::sink::{FrameResult, Record};
