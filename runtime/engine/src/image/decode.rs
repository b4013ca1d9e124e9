//! Reading a photograph of unknown origin without trusting it: the one decoder of both programs.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};

use super::error::{ImageError, ImageErrorKind, MAX_FILE_BYTES, MAX_PIXELS};
use super::exif;
use super::formats::format_of;
use super::jpeg::{check_blocks, is_cut_off, with_tables};
use crate::guard::guarded;

/// Reads an image file as [`decode_rgb`] does.
///
/// # Errors
/// The file cannot be read, or is not a valid image.
pub fn read_rgb(path: &Path) -> Result<RgbImage, ImageError> {
    let name = path.display().to_string();
    match read(path) {
        Ok(bytes) => decode_rgb(&bytes, &name),
        Err(kind) => Err(ImageError { name, kind }),
    }
}

/// Decodes a JPEG, PNG, WebP, BMP, GIF or TIFF held in memory; `name` appears in the error.
///
/// The format is recognised by the content. The image is turned upright as its EXIF orientation says. Transparent
/// pixels are laid over white, as an image viewer's page does. Of several images (an animation, the pages of a TIFF)
/// this is the first one. A JPEG without Huffman tables, as cameras send them, gets the standard ones.
///
/// # Errors
/// The image is damaged, cut off, too large, of another format, or a JPEG with blocks missing: a decoder would fill
/// them with grey, and the prediction would be about half an image.
pub fn decode_rgb(bytes: &[u8], name: &str) -> Result<RgbImage, ImageError> {
    // A decoder's panic on a hostile image must not end a program that runs for months.
    let decoded = guarded(|| decode(bytes))
        .unwrap_or_else(|| Err(ImageErrorKind::Damaged("the decoder panicked on it".into())));
    decoded.map_err(|kind| ImageError { name: name.to_owned(), kind })
}

fn read(path: &Path) -> Result<Vec<u8>, ImageErrorKind> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > MAX_FILE_BYTES {
        true => Err(ImageErrorKind::TooLong),
        false => Ok(bytes),
    }
}

fn decode(bytes: &[u8]) -> Result<RgbImage, ImageErrorKind> {
    let cut_off = || Err(ImageErrorKind::Damaged("the data end before the image does".into()));
    match format_of(bytes).map_err(ImageErrorKind::UnknownFormat)? {
        ImageFormat::Jpeg if is_cut_off(bytes) => cut_off(),
        ImageFormat::Jpeg => {
            let whole = with_tables(bytes);
            check_blocks(&whole)?;
            pixels(&whole, ImageFormat::Jpeg)
        }
        ImageFormat::WebP if is_shorter_than_its_header_says(bytes) => cut_off(),
        ImageFormat::Tiff if exif::is_camera_raw(bytes) => {
            Err(ImageErrorKind::Unsupported("a camera's raw file, which begins with a thumbnail".into()))
        }
        format => pixels(bytes, format),
    }
}

/// Whether a RIFF file ends before the length that stands in its header.
fn is_shorter_than_its_header_says(riff: &[u8]) -> bool {
    let length = riff.get(4..).and_then(|rest| rest.first_chunk::<4>());
    length.is_none_or(|length| (riff.len() as u64) < u64::from(u32::from_le_bytes(*length)) + 8)
}

fn pixels(bytes: &[u8], format: ImageFormat) -> Result<RgbImage, ImageErrorKind> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(ImageErrorKind::TooLarge { width, height });
    }
    if width == 0 || height == 0 {
        return Err(ImageErrorKind::Empty);
    }
    let orientation = match format {
        ImageFormat::Tiff => decoder.orientation().map_err(fault)?,
        _ => decoder
            .exif_metadata()
            .map_err(fault)?
            .and_then(|chunk| exif::orientation(&chunk))
            .unwrap_or(Orientation::NoTransforms),
    };
    let mut image = DynamicImage::from_decoder(decoder).map_err(fault)?;
    image.apply_orientation(orientation);
    Ok(without_alpha(image, format))
}

/// The image over white; its colours as they are if it has no transparency.
fn without_alpha(image: DynamicImage, format: ImageFormat) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let rgba = image.into_rgba8();
    // Many writers of BMP leave the fourth byte at zero and mean nothing by it.
    let unused = format == ImageFormat::Bmp && rgba.pixels().all(|pixel| pixel.0[3] == 0);
    let mut rgb = RgbImage::new(rgba.width(), rgba.height());
    for (pixel, from) in rgb.pixels_mut().zip(rgba.pixels()) {
        let [red, green, blue, alpha] = from.0;
        let alpha = if unused { 255 } else { alpha };
        pixel.0 = [red, green, blue].map(|colour| over_white(colour, alpha));
    }
    rgb
}

fn over_white(colour: u8, alpha: u8) -> u8 {
    let (colour, alpha) = (u32::from(colour), u32::from(alpha));
    ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8
}

fn fault(error: image::ImageError) -> ImageErrorKind {
    match error {
        image::ImageError::Unsupported(error) => ImageErrorKind::Unsupported(error.to_string()),
        error => ImageErrorKind::Damaged(error.to_string()),
    }
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    // Four bytes a pixel, and as much again for the decoder's own rows.
    limits.max_alloc = Some(MAX_PIXELS * 8);
    limits
}

#[cfg(test)]
mod tests;
