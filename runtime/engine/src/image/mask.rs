//! An attribution map: one value in `[0, 1]` per pixel of the model's input.

use image::{GrayImage, ImageBuffer, Luma};

/// An attribution map `S(x)`, row by row (COMET, section 3).
#[derive(Clone, Debug, PartialEq)]
pub struct Mask {
    width: usize,
    height: usize,
    values: Vec<f32>,
}

impl Mask {
    /// Wraps `height * width` values; `None` if their number differs.
    pub fn new(width: usize, height: usize, values: Vec<f32>) -> Option<Self> {
        (values.len() == width.checked_mul(height)?).then_some(Self { width, height, values })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The values, row by row.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Mean of the values: the share of the image that the predictor is shown.
    pub fn mean(&self) -> f32 {
        if self.values.is_empty() {
            return 0.0;
        }
        let sum: f64 = self.values.iter().map(|&value| f64::from(value)).sum();
        (sum / self.values.len() as f64) as f32
    }

    /// The map as 8-bit grey, 255 = 1.0.
    pub fn to_gray8(&self) -> GrayImage {
        let bytes = self.values.iter().map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8);
        ImageBuffer::from_raw(self.width as u32, self.height as u32, bytes.collect()).unwrap_or_default()
    }

    /// The map as 16-bit grey, 65,535 = 1.0: fine enough to compare engines.
    pub fn to_gray16(&self) -> ImageBuffer<Luma<u16>, Vec<u16>> {
        let words = self.values.iter().map(|v| (v.clamp(0.0, 1.0) * 65_535.0).round() as u16);
        ImageBuffer::from_raw(self.width as u32, self.height as u32, words.collect()).unwrap_or_default()
    }

    /// Reads a map back from 8-bit grey.
    pub fn from_gray8(image: &GrayImage) -> Self {
        Self {
            width: image.width() as usize,
            height: image.height() as usize,
            values: image.as_raw().iter().map(|&byte| f32::from(byte) / 255.0).collect(),
        }
    }
}
