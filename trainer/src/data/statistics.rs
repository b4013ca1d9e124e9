//! Mean and deviation of a data set's pixels, for the normalisation.

use image::RgbImage;

/// Per-channel mean and standard deviation in `[0, 1]` over all pixels of all pictures.
///
/// A channel without any variation gets a deviation of 1/255, so that it can be divided by.
pub fn mean_and_deviation<'a>(pictures: impl IntoIterator<Item = &'a RgbImage>) -> ([f32; 3], [f32; 3]) {
    let mut sums = [0u64; 3];
    let mut squares = [0u64; 3];
    let mut count = 0u64;
    for picture in pictures {
        for pixel in picture.pixels() {
            count += 1;
            for ((sum, square), &byte) in sums.iter_mut().zip(&mut squares).zip(&pixel.0) {
                *sum += u64::from(byte);
                *square += u64::from(byte).pow(2);
            }
        }
    }
    let n = count.max(1) as f64;
    let mean = sums.map(|sum| sum as f64 / n);
    let mut deviation = [0f32; 3];
    for ((deviation, square), mean) in deviation.iter_mut().zip(squares).zip(mean) {
        let variance = (square as f64 / n - mean * mean).max(0.0);
        *deviation = (variance.sqrt().max(1.0) / 255.0) as f32;
    }
    (mean.map(|mean| (mean / 255.0) as f32), deviation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    #[test]
    fn mean_and_deviation_of_two_colours() {
        let picture = RgbImage::from_fn(2, 1, |x, _| Rgb([if x == 0 { 0 } else { 255 }, 51, 100]));
        let (mean, deviation) = mean_and_deviation([&picture]);
        assert!((mean[0] - 0.5).abs() < 1e-6 && (mean[1] - 0.2).abs() < 1e-6);
        assert!((deviation[0] - 0.5).abs() < 1e-6);
        assert!((deviation[1] - 1.0 / 255.0).abs() < 1e-6);
    }
}
