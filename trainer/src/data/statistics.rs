//! Mean and deviation of a data set's pixels, for the normalisation.

use std::borrow::Borrow;

use image::RgbImage;

/// Per-channel mean and standard deviation in `[0, 1]` over all pixels of all images, which may come one by one.
///
/// A channel without any variation gets a deviation of 1/255, so that it can be divided by.
pub fn mean_and_deviation<I: Borrow<RgbImage>>(images: impl IntoIterator<Item = I>) -> ([f32; 3], [f32; 3]) {
    let mut moments = Moments::default();
    images.into_iter().for_each(|image| moments.add(image.borrow()));
    moments.mean_and_deviation()
}

/// The sums that mean and deviation are computed from.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    sums: [u64; 3],
    squares: [u64; 3],
    count: u64,
}

impl Moments {
    /// Adds the pixels of an image.
    pub(super) fn add(&mut self, image: &RgbImage) {
        for pixel in image.pixels() {
            self.count += 1;
            for ((sum, square), &byte) in self.sums.iter_mut().zip(&mut self.squares).zip(&pixel.0) {
                *sum += u64::from(byte);
                *square += u64::from(byte).pow(2);
            }
        }
    }

    /// Adds what others were given.
    pub(super) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum += more;
        }
        for (square, more) in self.squares.iter_mut().zip(other.squares) {
            *square += more;
        }
    }

    /// Mean and deviation in `[0, 1]`.
    pub(super) fn mean_and_deviation(&self) -> ([f32; 3], [f32; 3]) {
        let n = self.count.max(1) as f64;
        let mean = self.sums.map(|sum| sum as f64 / n);
        let mut deviation = [0f32; 3];
        for ((deviation, square), mean) in deviation.iter_mut().zip(self.squares).zip(mean) {
            let variance = (square as f64 / n - mean * mean).max(0.0);
            *deviation = (variance.sqrt().max(1.0) / 255.0) as f32;
        }
        (mean.map(|mean| (mean / 255.0) as f32), deviation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn mean_and_deviation_of_two_colours() {
        let image = RgbImage::from_fn(2, 1, |x, _| Rgb([if x == 0 { 0 } else { 255 }, 51, 100]));
        let (mean, deviation) = mean_and_deviation([&image]);
        assert!((mean[0] - 0.5).abs() < 1e-6 && (mean[1] - 0.2).abs() < 1e-6);
        assert!((deviation[0] - 0.5).abs() < 1e-6);
        assert!((deviation[1] - 1.0 / 255.0).abs() < 1e-6);
    }

    #[test]
    fn images_may_be_measured_in_parts() {
        let images: Vec<RgbImage> =
            (0..3u8).map(|value| RgbImage::from_pixel(2, 2, Rgb([value, 90 * value, 7]))).collect();
        let mut parts = Moments::default();
        for image in &images {
            let mut part = Moments::default();
            part.add(image);
            parts.merge(&part);
        }
        assert_eq!(parts.mean_and_deviation(), mean_and_deviation(&images));
        assert_eq!(mean_and_deviation(&images), mean_and_deviation(images));
    }
}
