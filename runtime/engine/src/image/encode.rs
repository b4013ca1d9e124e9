//! Images as files: JPEG for pages, recordings and overlays, PNG for maps and whatever must not lose a bit.

use std::io::{self, Cursor};

use image::{EncodableLayout, ImageBuffer, ImageFormat, Pixel, PixelWithColorType, RgbImage};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};

/// Encodes an image with colours at half the resolution, as cameras do; `quality` is 1 to 100.
///
/// # Errors
/// The image has no pixels, or more than 65,535 rows or columns.
pub fn encode_jpeg(image: &RgbImage, quality: u8) -> io::Result<Vec<u8>> {
    let too_large = |_| io::Error::new(io::ErrorKind::InvalidInput, "the image is too large for a JPEG");
    let width = u16::try_from(image.width()).map_err(too_large)?;
    let height = u16::try_from(image.height()).map_err(too_large)?;
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, quality.clamp(1, 100));
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(image.as_raw(), width, height, ColorType::Rgb).map_err(io::Error::other)?;
    Ok(jpeg)
}

/// Encodes an image or a map without loss.
///
/// # Errors
/// It has no pixels.
pub fn encode_png<P>(image: &ImageBuffer<P, Vec<P::Subpixel>>) -> io::Result<Vec<u8>>
where
    P: Pixel + PixelWithColorType,
    [P::Subpixel]: EncodableLayout,
{
    let mut png = Cursor::new(Vec::new());
    image.write_to(&mut png, ImageFormat::Png).map_err(io::Error::other)?;
    Ok(png.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode_rgb;

    #[test]
    fn an_image_comes_back_nearly_as_it_was() {
        let image = RgbImage::from_fn(64, 40, |x, y| image::Rgb([2 * x as u8, 3 * y as u8, 90]));
        let back = decode_rgb(&encode_jpeg(&image, 90).unwrap(), "test").unwrap();
        assert_eq!(back.dimensions(), (64, 40));
        let apart: u64 =
            image.as_raw().iter().zip(back.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        assert!(apart < 3 * image.as_raw().len() as u64, "{apart}");
    }

    #[test]
    fn what_cannot_be_a_jpeg_is_an_error() {
        assert!(encode_jpeg(&RgbImage::new(0, 0), 80).is_err());
        assert!(encode_jpeg(&RgbImage::new(70_000, 1), 80).is_err());
    }
}
