//! Why images of nothing could not be made or written.

use std::io;
use std::path::PathBuf;

/// Why images of nothing could not be made or written.
#[derive(Debug, thiserror::Error)]
pub enum NothingError {
    /// The folder for frames has no images.
    #[error(
        "{0}: no frames found. Expected images such as {0}/*.jpg, or a data set with {0}/images/train/ and {0}/images/val/"
    )]
    NoFrames(PathBuf),
    /// Every frame is unreadable.
    #[error(
        "none of the {count} frames could be read; the first fault: {fault}. Give other folders, or none, and everything is drawn"
    )]
    NothingReadable {
        /// How many were tried.
        count: usize,
        /// The first one's error.
        fault: String,
    },
    /// A folder of the set could not be made.
    #[error("cannot make the folder {}: check that its parent is writable", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// An image could not be encoded.
    #[error("cannot encode {} as JPEG", .path.display())]
    Encode {
        /// The file that would have been written.
        path: PathBuf,
        /// What the encoder said.
        source: io::Error,
    },
    /// An image could not be written.
    #[error("cannot write {}: check the free space and the permissions", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
