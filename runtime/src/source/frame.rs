//! One frame on its way: pixels as they arrived.

use std::fmt;
use std::time::Instant;

use image::RgbImage;

use super::raw::RawPicture;
use super::{huffman, jpeg};
use crate::guard::guarded;
use crate::image::{ImageError, ImageErrorKind, decode_rgb};

/// A picture that came from a [`Source`](super::Source).
#[derive(Clone, Debug)]
pub struct Frame {
    /// The file's path, or the name of the source.
    pub source: String,
    /// Counts the source's frames from 0, those included that could not be read.
    pub number: u64,
    /// The picture.
    pub picture: Pixels,
    /// When it was read or captured.
    pub captured: Instant,
}

/// A picture as its source gave it.
#[derive(Clone)]
pub enum Pixels {
    /// A JPEG or PNG file.
    Encoded(Vec<u8>),
    /// Finished pixels.
    Rgb(RgbImage),
    /// A camera's or a video's own layout.
    Raw(RawPicture),
}

impl fmt::Debug for Pixels {
    /// Sizes only: nobody reads a million pixels in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encoded(bytes) => write!(f, "Encoded({} bytes)", bytes.len()),
            Self::Rgb(picture) => write!(f, "Rgb({} x {})", picture.width(), picture.height()),
            Self::Raw(picture) => write!(f, "Raw({picture:?})"),
        }
    }
}

impl Frame {
    /// The picture as RGB, upright.
    ///
    /// # Errors
    /// The picture is damaged, cut off, too large, or neither JPEG nor PNG.
    pub fn decode(&self) -> Result<RgbImage, ImageError> {
        let encoded = match &self.picture {
            Pixels::Rgb(picture) => return Ok(picture.clone()),
            Pixels::Raw(picture) => return Ok(picture.to_rgb()),
            Pixels::Encoded(bytes) => bytes,
        };
        // A decoder's panic on a hostile picture must not end a program that runs for months.
        guarded(|| decode_encoded(encoded, &self.source))
            .unwrap_or_else(|| Err(self.damaged("the decoder panicked on it")))
    }

    /// The source's own JPEG, with the tables that a decoder needs; `None` for pixels and other formats.
    pub fn into_jpeg(self) -> Option<Vec<u8>> {
        match self.picture {
            Pixels::Encoded(bytes) if jpeg::is_jpeg(&bytes) => {
                // What cameras and editors put behind the end of a file is no part of the picture.
                let picture = jpeg::whole(&bytes).unwrap_or(&bytes);
                Some(huffman::with_tables(picture).into_owned())
            }
            _ => None,
        }
    }

    fn damaged(&self, fault: &str) -> ImageError {
        damaged(&self.source, fault)
    }
}

fn damaged(name: &str, fault: &str) -> ImageError {
    ImageError { name: name.to_owned(), kind: ImageErrorKind::Damaged(fault.to_owned()) }
}

fn decode_encoded(bytes: &[u8], name: &str) -> Result<RgbImage, ImageError> {
    if !jpeg::is_jpeg(bytes) {
        return decode_rgb(bytes, name);
    }
    // The decoder fills what is missing with grey; an answer about half a picture would look like one.
    if jpeg::is_cut_off(bytes) {
        return Err(damaged(name, "the data end before the picture does"));
    }
    decode_rgb(&huffman::with_tables(bytes), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(bytes: Vec<u8>) -> Frame {
        Frame { source: "a.jpg".into(), number: 0, picture: Pixels::Encoded(bytes), captured: Instant::now() }
    }

    #[test]
    fn no_prefix_of_a_jpeg_is_taken_for_a_picture() {
        let whole = jpeg::sample::picture(24, 16, 3);
        assert_eq!(frame(whole.clone()).decode().unwrap().dimensions(), (24, 16));
        for length in 0..whole.len() {
            let error = frame(whole[..length].to_vec()).decode().unwrap_err();
            assert_eq!(error.name, "a.jpg", "{length} bytes");
        }
    }
}
