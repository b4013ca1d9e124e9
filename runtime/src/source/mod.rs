//! Where frames come from: cameras, files, programs, the network, standard input, and a drawn scene.
//!
//! Everything behind one trait, [`Source`]; [`SourceSpec`] turns what a user types into one. A frame keeps
//! its pixels as they arrived and is decoded only if somebody asks: most camera frames are never shown to
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
mod huffman;
mod jpeg;
mod messages;
mod mjpeg;
#[cfg(feature = "camera")]
mod negotiate;
mod piped;
mod program;
mod raw;
mod repeating;
mod spec;
mod stdin;
mod stream;
mod supervised;
mod synthetic;
#[cfg(feature = "camera")]
mod worker;
mod y4m;

pub use address::Address;
#[cfg(feature = "camera")]
pub use camera::{CameraSource, camera_formats};
pub use commands::TypedCommand;
pub use devices::{VideoDevice, describe_devices, video_devices};
pub use error::{GRAMMAR, Recovery, SourceError, SourceErrorKind};
pub use files::{FilesSource, MAX_PICTURE_BYTES, expand, has_picture_extension, pictures_in};
pub use frame::{Frame, Pixels};
pub use mjpeg::{MAX_FRAME_BYTES, MjpegReader};
#[cfg(feature = "cli")]
pub(crate) use program::kill_programs;
pub use raw::{Layout, RawPicture, ValueRange};
pub use spec::{CameraOptions, OpenOptions, SourceSpec};
pub use stdin::InterruptibleReader;
pub use stream::StreamSource;
pub use synthetic::{SyntheticScene, SyntheticSource};
pub use y4m::{MAX_VIDEO_PIXELS, Y4mHeader, Y4mReader};

/// Gives frames, one after the other.
///
/// A source that can wait for long (a camera, a network) must look at the program's stop flag while it
/// waits, at least every 200 ms, and answer `Ok(None)` once it is set.
pub trait Source: Send {
    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// [`SourceError::recovery`] says what an error means for the frames after it: after
    /// [`Recovery::NextFrame`] and [`Recovery::Reconnecting`] call again, after [`Recovery::Lost`] do not.
    fn next(&mut self) -> Result<Option<Frame>, SourceError>;

    /// Whether frames come at their own pace, so that late ones are worth less than new ones.
    fn is_live(&self) -> bool;

    /// Short name for logs, such as `camera0` or `stdin`.
    fn name(&self) -> &str;
}

/// What opening a source gives.
type Opened = Result<Box<dyn Source>, SourceError>;
