//! Recording: what the model saw and what it predicted, in segments that a cut does not break.
//!
//! A segment is a Motion JPEG video, `<start>.avi`, and a text beside it, `<start>.jsonl`, whose line k is the
//! record of frame k. `<start>` is the time in UTC at which it was begun, such as `20261123T155503.123Z`.
//! While a segment is written, both names end in `.part`; it is finished when both files are on the disk and
//! renamed. What a kill or a power cut leaves behind is recovered by the next recording into the same folder,
//! as `<start>.recovered.avi` and `<start>.recovered.jsonl`.
//!
//! The parts: `recorder` takes results and does not wait for the disk; its thread, `worker`, writes them into
//! a `segment`; `quota` removes the oldest segments; `recover` looks after what was cut off. `avi`, `header`
//! and `reader` know the video's format, `stamp` and `names` the files' names.

mod avi;
mod fault;
mod header;
mod names;
mod quota;
mod reader;
mod recorder;
mod recover;
mod segment;
mod size;
mod worker;

pub use reader::AviReader;
pub use recorder::{Recorder, RecordingOptions};
pub use size::{ByteSize, ByteSizeError};
