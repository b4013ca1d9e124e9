//! Why an image cannot be used.

use super::formats::FORMATS;

/// The largest image that is decoded, in pixels. A header may claim 65,535 x 65,535.
pub const MAX_PIXELS: u64 = 100_000_000;
/// The largest image file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 256 << 20;

/// Why an image could not be read; `name` is the file or the frame.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {kind}")]
pub struct ImageError {
    /// The file's path or the frame's name.
    pub name: String,
    /// What was wrong.
    pub kind: ImageErrorKind,
}

/// The ways in which an image can be unreadable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageErrorKind {
    /// The file could not be opened or read.
    #[error("cannot be read ({0})")]
    Io(#[from] std::io::Error),
    /// The file is larger than [`MAX_FILE_BYTES`].
    #[error("has more than {MAX_FILE_BYTES} bytes, which is too large for an image")]
    TooLong,
    /// The content is of no format that is read; what it is instead, as far as that can be seen.
    #[error("is {0}; {FORMATS} are read")]
    UnknownFormat(&'static str),
    /// The header asks for more pixels than [`MAX_PIXELS`].
    #[error("claims {width} x {height} pixels; the limit is {MAX_PIXELS} pixels")]
    TooLarge {
        /// Claimed width.
        width: u32,
        /// Claimed height.
        height: u32,
    },
    /// The image has no pixels.
    #[error("has no pixels")]
    Empty,
    /// The data cannot be decoded.
    #[error("is damaged ({0})")]
    Damaged(String),
    /// Blocks of a JPEG are missing. A decoder would fill them with grey, and the result would be about half an image.
    #[error("is damaged (premature end of the image data: {missing} of {expected} blocks are missing)")]
    MissingBlocks {
        /// How many are missing.
        missing: u64,
        /// How many the image has.
        expected: u64,
    },
    /// A sequential JPEG with its components in scans of their own, sampled so that the decoder misplaces rows.
    #[error(
        "keeps its colours in separate scans, which would be decoded wrongly: save it again with an image editor, or \
         without loss with 'jpegtran -optimize FILE > NEW'"
    )]
    SeparateScans,
    /// A rare kind of a known format.
    #[error("is of a kind that is not supported ({0}): save it as an ordinary JPEG or PNG")]
    Unsupported(String),
}
