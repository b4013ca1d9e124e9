//! Where frames come from: cameras, files, programs, the network, standard input, and a drawn scene.
//!
//! Everything behind one trait, [`Source`]; [`SourceSpec`] turns what a user types into one. A frame keeps
//! its pixels as they arrived and is decoded only when it is needed: most camera frames are never shown to
//! the model.

mod address;
#[cfg(feature = "camera")]
mod camera;
#[cfg(feature = "camera")]
mod capture;
mod commands;
mod devices;
mod error;
mod files;
mod frame;
mod http;
mod interruptible;
mod messages;
mod mjpeg;
#[cfg(feature = "camera")]
mod negotiate;
mod open;
mod options;
mod patience;
mod piped;
mod program;
mod raw;
mod reader;
mod reconnect;
mod repeating;
#[cfg(test)]
mod sample_jpeg;
mod spec;
mod stream;
mod supervised;
mod synthetic;
mod walk;
#[cfg(feature = "camera")]
mod worker;
mod y4m;

pub use address::Address;
#[cfg(feature = "camera")]
pub use camera::{CameraSource, camera_formats};
pub use commands::TypedCommand;
pub use devices::{VideoDevice, describe_devices, video_devices};
pub use error::{GRAMMAR, Recovery, SourceError, SourceErrorKind};
pub use files::{FilesSource, MAX_IMAGE_BYTES};
pub use frame::{Frame, Pixels};
pub use interruptible::InterruptibleReader;
pub use mjpeg::{MAX_FRAME_BYTES, MjpegReader};
pub use options::{CameraOptions, OpenOptions};
#[cfg(feature = "cli")]
pub(crate) use program::kill_programs;
pub use raw::{Layout, RawImage, ValueRange};
pub use reader::Source;
pub use spec::SourceSpec;
pub use stream::StreamSource;
pub use synthetic::{SceneError, SyntheticScene, SyntheticSource};
pub use walk::{FoundImages, expand, images_in};
pub use y4m::{MAX_VIDEO_PIXELS, Y4mHeader, Y4mReader};
