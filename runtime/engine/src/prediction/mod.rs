//! What a model said about one frame: class probabilities, attribution map, times, and everything they were made from.

mod explanation;
mod frame_result;
mod lazy_jpeg;
mod record;
mod timings;

pub use explanation::{Explanation, largest, softmax, softmax_at};
pub use frame_result::FrameResult;
pub use lazy_jpeg::{EncodedJpeg, LazyJpeg};
pub use record::{Record, SCHEMA, Score};
pub use timings::Timings;
