//! One frame on its way: pixels as they arrived.

use std::fmt;
use std::time::Instant;

use comet_engine::image::{ImageError, decode_rgb, jpeg};
use image::RgbImage;

use super::raw::RawImage;

/// An image that came from a [`Source`](super::Source).
#[derive(Clone, Debug)]
pub struct Frame {
    /// The file's path, or the name of the source.
    pub source: String,
    /// Counts the source's frames from 0, those included that could not be read.
    pub number: u64,
    /// The image.
    pub image: Pixels,
    /// When it was read or captured.
    pub captured: Instant,
}

/// An image as its source gave it.
#[derive(Clone)]
pub enum Pixels {
    /// An image file of any format that [`decode_rgb`] reads.
    Encoded(Vec<u8>),
    /// Finished pixels.
    Rgb(RgbImage),
    /// A camera's or a video's own layout.
    Raw(RawImage),
}

impl fmt::Debug for Pixels {
    /// Sizes only: a log is no place for a million pixels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoded(bytes) => write!(f, "Encoded({} bytes)", bytes.len()),
            Self::Rgb(image) => write!(f, "Rgb({} x {})", image.width(), image.height()),
            Self::Raw(image) => write!(f, "Raw({image:?})"),
        }
    }
}

impl Frame {
    /// The image as RGB, upright.
    ///
    /// # Errors
    /// The image is damaged, cut off, too large, or of a format that [`decode_rgb`] does not read.
    pub fn decode(&self) -> Result<RgbImage, ImageError> {
        match &self.image {
            Pixels::Rgb(image) => Ok(image.clone()),
            Pixels::Raw(image) => Ok(image.to_rgb()),
            Pixels::Encoded(bytes) => decode_rgb(bytes, &self.source),
        }
    }

    /// The source's own JPEG, with the tables that a decoder needs; `None` for pixels and other formats.
    pub fn into_jpeg(self) -> Option<Vec<u8>> {
        match self.image {
            Pixels::Encoded(bytes) if jpeg::is_jpeg(&bytes) => {
                // What cameras and editors put behind the end of a file is not part of the image.
                let image = jpeg::whole(&bytes).unwrap_or(&bytes);
                Some(jpeg::with_tables(image).into_owned())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample_jpeg::image;
    use super::*;

    fn frame(bytes: Vec<u8>) -> Frame {
        Frame { source: "a.jpg".into(), number: 0, image: Pixels::Encoded(bytes), captured: Instant::now() }
    }

    #[test]
    fn no_prefix_of_a_jpeg_is_taken_for_an_image() {
        let whole = image(24, 16, 3);
        assert_eq!(frame(whole.clone()).decode().unwrap().dimensions(), (24, 16));
        for length in 0..whole.len() {
            let error = frame(whole[..length].to_vec()).decode().unwrap_err();
            assert_eq!(error.name, "a.jpg", "{length} bytes");
        }
    }
}
