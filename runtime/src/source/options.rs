//! How a source is to be opened.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// How to open a source.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Set when the program is to end; sources that wait look at it.
    pub stop: Arc<AtomicBool>,
    /// Treat streams, videos and the drawn scene as live: late frames are dropped. Cameras, addresses and
    /// commands always are.
    pub live: bool,
    /// Begin again at the end of files, streams and videos in files included.
    pub repeat: bool,
    /// What to ask of a camera.
    pub camera: CameraOptions,
}

/// What to ask of a camera; it may give something else. Addresses and commands take only what concerns
/// opening them again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CameraOptions {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Frames a second.
    pub fps: u32,
    /// How long to try to open it again after a disconnection; zero does not try.
    pub reconnect: Duration,
}

impl Default for CameraOptions {
    fn default() -> Self {
        Self { width: 640, height: 480, fps: 30, reconnect: Duration::from_secs(30) }
    }
}
