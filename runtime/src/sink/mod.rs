//! Where results go: lines of text or JSON, images with the map drawn in, maps and inputs as files.

mod contact_sheet;
mod ending;
mod evidence;
mod files;
mod interface;
mod jsonl;
mod label;
#[cfg(feature = "mqtt")]
mod mqtt;
mod names;
mod overlay;
mod printable;
mod recording;
#[cfg(test)]
mod sample;
mod stamp;
mod text;
#[cfg(feature = "web")]
mod web;
#[cfg(feature = "window")]
mod window;

pub use comet_engine::prediction::{FrameResult, Record, SCHEMA, Score, Timings};
pub use contact_sheet::ContactSheet;
pub use evidence::{EvidenceFolder, EvidenceOf};
pub use files::{FrameFiles, InputFiles, MaskFiles};
pub use interface::{Sink, SinkError};
pub use jsonl::JsonLines;
#[cfg(feature = "mqtt")]
pub use mqtt::{MqttAddress, MqttAddressError, MqttError, MqttOptions, MqttSink};
pub use overlay::OverlayFiles;
pub use recording::{AviReader, ByteSize, ByteSizeError, Recorder, RecordingOptions};
pub use text::TextLines;
#[cfg(feature = "web")]
pub use web::{WebAddressError, WebError, WebOptions, WebSink, parse_web_address};
#[cfg(feature = "window")]
pub use window::WindowSink;
