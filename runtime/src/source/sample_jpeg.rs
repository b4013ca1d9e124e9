//! JPEGs for tests.

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};

/// A small image with some texture.
pub(super) fn image(width: u32, height: u32, seed: u8) -> Vec<u8> {
    let image = RgbImage::from_fn(width, height, |x, y| {
        let level = |factor: u32| (x * 7 + y * factor + u32::from(seed) * 31) as u8;
        Rgb([level(3), level(5), level(11)])
    });
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, 85).encode_image(&image).unwrap();
    bytes
}

/// The same image with `thumbnail` inside an APP1 segment, as cameras store it.
pub(super) fn with_thumbnail(image: &[u8], thumbnail: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xFF, 0xD8, 0xFF, 0xE1];
    bytes.extend_from_slice(&(thumbnail.len() as u16 + 8).to_be_bytes());
    bytes.extend_from_slice(b"Thumb\0");
    bytes.extend_from_slice(thumbnail);
    bytes.extend_from_slice(&image[2..]);
    bytes
}
