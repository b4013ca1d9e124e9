//! The one preprocessing: training, calibration, evaluation and the camera all go through it.

use fast_image_resize::images::{Image, ImageRef};
use fast_image_resize::{FilterType, PixelType, ResizeAlg, ResizeOptions, Resizer};
use image::{ImageBuffer, Pixel, RgbImage};
use serde::{Deserialize, Serialize};

/// How an image of another shape is brought to the model's shape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fit {
    /// The largest centred region of the model's aspect ratio; nothing is distorted.
    #[default]
    Crop,
    /// The whole image, stretched.
    Stretch,
}

impl Fit {
    /// The region `(x, y, width, height)` of a `width x height` image that the model sees.
    pub fn region(self, image: (u32, u32), model: (u32, u32)) -> (u32, u32, u32, u32) {
        let (width, height) = image;
        if self == Fit::Stretch || model.0 == 0 || model.1 == 0 {
            return (0, 0, width, height);
        }
        let wide = u64::from(width) * u64::from(model.1);
        let tall = u64::from(height) * u64::from(model.0);
        if wide > tall {
            let inner = (tall / u64::from(model.1)).max(1) as u32;
            ((width - inner) / 2, 0, inner, height)
        } else {
            let inner = (wide / u64::from(model.0)).max(1) as u32;
            (0, (height - inner) / 2, width, inner)
        }
    }
}

/// What turns an image into the model's input: size, fit, and the data set's mean and deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocess {
    /// Input width in pixels.
    pub width: u32,
    /// Input height in pixels.
    pub height: u32,
    /// How other shapes are fitted.
    #[serde(default)]
    pub fit: Fit,
    /// Per-channel mean of the training images, in `[0, 1]`. This is the fill colour `q` of COMET: 0 after normalisation.
    pub mean: [f32; 3],
    /// Per-channel standard deviation, in `[0, 1]`.
    pub std: [f32; 3],
}

impl Preprocess {
    /// Crops and resizes (bilinear with antialiasing, as PIL) to the model's size.
    pub fn fit(&self, image: &RgbImage) -> RgbImage {
        let region = self.fit.region(image.dimensions(), (self.width, self.height));
        resize(image, region, (self.width, self.height))
    }

    /// `[3, height, width]`: `(pixel / 255 - mean) / std`, for an image of the model's size.
    pub fn normalise(&self, image: &RgbImage) -> Vec<f32> {
        let (pixels, _) = image.as_raw().as_chunks::<3>();
        let mut tensor = vec![0.0; 3 * pixels.len()];
        let (reds, rest) = tensor.split_at_mut(pixels.len());
        let (greens, blues) = rest.split_at_mut(pixels.len());
        let table = |channel: usize| Self::table(self.mean[channel], self.std[channel]);
        let (red, green, blue) = (table(0), table(1), table(2));
        for (((pixel, r), g), b) in pixels.iter().zip(reds).zip(greens).zip(blues) {
            *r = red[usize::from(pixel[0])];
            *g = green[usize::from(pixel[1])];
            *b = blue[usize::from(pixel[2])];
        }
        tensor
    }

    /// [`fit`](Self::fit), then [`normalise`](Self::normalise).
    pub fn tensor(&self, image: &RgbImage) -> Vec<f32> {
        self.normalise(&self.fit(image))
    }

    /// The byte values, normalised: one rounding for everybody.
    fn table(mean: f32, std: f32) -> [f32; 256] {
        std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std)
    }
}

/// Resizes the region `(x, y, width, height)` of an 8-bit image (bilinear with antialiasing).
///
/// Works for RGB and grey images. A region or size of zero gives an empty image.
pub fn resize<P>(
    image: &ImageBuffer<P, Vec<u8>>,
    region: (u32, u32, u32, u32),
    size: (u32, u32),
) -> ImageBuffer<P, Vec<u8>>
where
    P: Pixel<Subpixel = u8>,
{
    let (x, y, width, height) = region;
    if (x, y) == (0, 0) && (width, height) == image.dimensions() && size == (width, height) {
        return image.clone();
    }
    resize_bytes(image.as_raw(), image.dimensions(), P::CHANNEL_COUNT, region, size)
        .and_then(|bytes| ImageBuffer::from_raw(size.0, size.1, bytes))
        .unwrap_or_default()
}

fn resize_bytes(
    bytes: &[u8],
    (width, height): (u32, u32),
    channels: u8,
    region: (u32, u32, u32, u32),
    size: (u32, u32),
) -> Option<Vec<u8>> {
    let pixel = match channels {
        1 => PixelType::U8,
        3 => PixelType::U8x3,
        _ => return None,
    };
    let source = ImageRef::new(width, height, bytes, pixel).ok()?;
    let mut target = Image::new(size.0, size.1, pixel);
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(FilterType::Bilinear)).crop(
        region.0.into(),
        region.1.into(),
        region.2.into(),
        region.3.into(),
    );
    Resizer::new().resize(&source, &mut target, &options).ok()?;
    Some(target.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cropped_region_is_centred_and_has_the_models_shape() {
        assert_eq!(Fit::Crop.region((640, 480), (64, 64)), (80, 0, 480, 480));
        assert_eq!(Fit::Crop.region((100, 300), (64, 64)), (0, 100, 100, 100));
        assert_eq!(Fit::Crop.region((200, 100), (128, 64)), (0, 0, 200, 100));
        assert_eq!(Fit::Stretch.region((640, 480), (64, 64)), (0, 0, 640, 480));
    }

    #[test]
    fn normalising_puts_the_mean_at_zero_and_keeps_channels_apart() {
        let preprocess =
            Preprocess { width: 2, height: 1, fit: Fit::Crop, mean: [0.0, 0.2, 0.4], std: [1.0, 0.5, 0.25] };
        let image = RgbImage::from_raw(2, 1, vec![0, 51, 102, 255, 255, 255]).unwrap();
        let tensor = preprocess.normalise(&image);
        let expected = [0.0, 1.0, 0.0, 1.6, 0.0, 2.4];
        for (got, want) in tensor.iter().zip(expected) {
            assert!((got - want).abs() < 1e-6, "{tensor:?}");
        }
    }
}
