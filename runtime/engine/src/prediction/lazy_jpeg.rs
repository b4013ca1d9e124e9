//! An image as JPEG, encoded when it is first needed, and once for all readers.

use std::io;
use std::sync::{Arc, OnceLock};

use image::RgbImage;

use crate::image::encode_jpeg;

/// Quality of images that are encoded for pages and recordings.
const QUALITY: u8 = 85;

/// The JPEG of one frame once it was encoded. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct EncodedJpeg(Arc<OnceLock<Result<Arc<Vec<u8>>, String>>>);

impl EncodedJpeg {
    /// The JPEG of `image`, encoded by the first caller. All calls must be about the same image.
    ///
    /// # Errors
    /// The image has no pixels, or more rows or columns than a JPEG can have.
    pub fn of(&self, image: &RgbImage) -> io::Result<Arc<Vec<u8>>> {
        let encode = || encode_jpeg(image, QUALITY).map(Arc::new).map_err(|fault| fault.to_string());
        let encoded = self.0.get_or_init(encode).clone();
        encoded.map_err(|fault| io::Error::new(io::ErrorKind::InvalidInput, fault))
    }

    /// Whether it was encoded already.
    pub fn is_encoded(&self) -> bool {
        self.0.get().is_some()
    }
}

/// A JPEG that another thread can encode: cheap to make and to send.
#[derive(Clone, Debug)]
pub struct LazyJpeg(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Bytes(Arc<Vec<u8>>),
    Image(Arc<RgbImage>, EncodedJpeg),
}

impl LazyJpeg {
    /// A JPEG that exists already.
    pub fn from_bytes(jpeg: Arc<Vec<u8>>) -> Self {
        Self(Inner::Bytes(jpeg))
    }

    /// A JPEG of `image`, which is encoded when it is needed and left in `encoded` for others.
    pub fn from_image(image: Arc<RgbImage>, encoded: EncodedJpeg) -> Self {
        Self(Inner::Image(image, encoded))
    }

    /// The bytes; encoding takes a few milliseconds.
    ///
    /// # Errors
    /// The image cannot be a JPEG.
    pub fn bytes(&self) -> io::Result<Arc<Vec<u8>>> {
        match &self.0 {
            Inner::Bytes(jpeg) => Ok(Arc::clone(jpeg)),
            Inner::Image(image, encoded) => encoded.of(image),
        }
    }

    /// How much memory it keeps while it waits.
    pub fn held_bytes(&self) -> usize {
        match &self.0 {
            Inner::Bytes(jpeg) => jpeg.len(),
            Inner::Image(image, _) => image.as_raw().len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_share_what_the_first_of_them_encoded() {
        let image = Arc::new(RgbImage::new(8, 6));
        let first = LazyJpeg::from_image(Arc::clone(&image), EncodedJpeg::default());
        let second = first.clone();
        assert!(Arc::ptr_eq(&first.bytes().unwrap(), &second.bytes().unwrap()));
        assert_eq!(first.held_bytes(), 8 * 6 * 3);
    }

    #[test]
    fn an_image_without_pixels_is_an_error_each_time() {
        let encoded = EncodedJpeg::default();
        for _ in 0..2 {
            assert!(encoded.of(&RgbImage::new(0, 0)).is_err());
        }
    }
}
