//! Reading a photograph of unknown origin without trusting it.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader, Limits, RgbImage};

/// The largest picture that is decoded, in pixels. A header may claim 65,535 x 65,535.
pub const MAX_PIXELS: u64 = 100_000_000;

/// Why a picture could not be read; `name` is the file or the frame.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {kind}")]
pub struct ImageError {
    /// The file's path or the frame's name.
    pub name: String,
    /// What was wrong.
    pub kind: ImageErrorKind,
}

/// The ways in which a picture can be unreadable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageErrorKind {
    /// The file could not be opened or read.
    #[error("cannot be read ({0})")]
    Io(#[from] std::io::Error),
    /// The first bytes are of no format that is understood.
    #[error("is neither JPEG nor PNG")]
    UnknownFormat,
    /// The header asks for more pixels than [`MAX_PIXELS`].
    #[error("claims {width} x {height} pixels; the limit is {MAX_PIXELS} pixels")]
    TooLarge {
        /// Claimed width.
        width: u32,
        /// Claimed height.
        height: u32,
    },
    /// The picture has no pixels.
    #[error("has no pixels")]
    Empty,
    /// The decoder gave up: the data are damaged.
    #[error("is damaged ({0})")]
    Damaged(String),
}

/// Reads a JPEG or PNG file as RGB, turned upright as its EXIF orientation says.
pub fn read_rgb(path: &Path) -> Result<RgbImage, ImageError> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).map_err(|error| ImageError { name: name(), kind: error.into() })?;
    decode(&bytes).map_err(|kind| ImageError { name: name(), kind })
}

/// Decodes a JPEG or PNG held in memory; `name` appears in the error.
pub fn decode_rgb(bytes: &[u8], name: &str) -> Result<RgbImage, ImageError> {
    decode(bytes).map_err(|kind| ImageError { name: name.to_owned(), kind })
}

fn decode(bytes: &[u8]) -> Result<RgbImage, ImageErrorKind> {
    let damaged = |error: image::ImageError| ImageErrorKind::Damaged(error.to_string());
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    if reader.format().is_none() {
        return Err(ImageErrorKind::UnknownFormat);
    }
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(damaged)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageErrorKind::TooLarge { width, height });
    }
    if width == 0 || height == 0 {
        return Err(ImageErrorKind::Empty);
    }
    let orientation = decoder.orientation().map_err(damaged)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(damaged)?;
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    // Four bytes a pixel, and as much again for the decoder's own rows.
    limits.max_alloc = Some(MAX_PIXELS * 8);
    limits
}
