//! One image while it is made, and the camera that photographs it.

use image::{Rgb as Pixel, RgbImage};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::data::drawing::{Rgb, between, bytes};

/// Width of the images in pixels.
pub const WIDTH: u32 = 224;
/// Height of the images in pixels.
pub const HEIGHT: u32 = 168;
/// Width over height: what is to look square is drawn as many times as often across as down.
pub(super) const RATIO: f32 = WIDTH as f32 / HEIGHT as f32;

/// A blur of less than this, in pixels, cannot be seen.
const LEAST_BLUR: f32 = 0.3;

/// The colours of `WIDTH` x `HEIGHT` pixels, row by row; what is not between 0 and 1 is cut off at the end.
pub(super) struct Picture {
    pixels: Vec<Rgb>,
}

impl Picture {
    /// The colours that `colour` gives for the middles of the pixels, both coordinates from 0 to 1.
    pub(super) fn paint(colour: impl Fn(f32, f32) -> Rgb) -> Self {
        let rows = (0..HEIGHT).map(|row| (row as f32 + 0.5) / HEIGHT as f32);
        let column = |column: u32| (column as f32 + 0.5) / WIDTH as f32;
        let pixels = rows.flat_map(|y| (0..WIDTH).map(move |x| (column(x), y)));
        Self { pixels: pixels.map(|(x, y)| colour(x, y)).collect() }
    }

    /// An image of this size.
    pub(super) fn of(image: &RgbImage) -> Self {
        Self { pixels: image.pixels().map(|pixel| pixel.0.map(|value| f32::from(value) / 255.0)).collect() }
    }

    /// The image that a camera takes of it: brighter or darker, with noise, more or less sharp.
    pub(super) fn photograph(&self, rng: &mut ChaCha8Rng) -> RgbImage {
        let exposure = between(rng, 0.7, 1.15);
        let noise = between(rng, 0.006, 0.06);
        let blur = between(rng, 0.0, 1.2);
        let mut image = RgbImage::new(WIDTH, HEIGHT);
        for (out, colour) in image.pixels_mut().zip(&self.pixels) {
            // The difference of two even draws: centred on zero, small values the likeliest.
            let grain = || noise * (rng.random::<f32>() - rng.random::<f32>());
            *out = Pixel(bytes(grained(*colour, exposure, grain)));
        }
        if blur < LEAST_BLUR { image } else { image::imageops::blur(&image, blur) }
    }
}

/// A colour under another exposure, with a grain of its own in each channel.
fn grained(colour: Rgb, exposure: f32, mut grain: impl FnMut() -> f32) -> Rgb {
    colour.map(|value| value * exposure + grain())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn coordinates_run_along_rows_and_are_those_of_the_middles() {
        let picture = Picture::paint(|x, y| [x, y, 0.0]);
        assert_eq!(picture.pixels.len(), (WIDTH * HEIGHT) as usize);
        let close = |a: Rgb, b: Rgb| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(picture.pixels[0], [0.5 / 224.0, 0.5 / 168.0, 0.0]));
        assert!(close(picture.pixels[224 + 2], [2.5 / 224.0, 1.5 / 168.0, 0.0]));
    }

    #[test]
    fn a_photograph_is_near_what_was_before_the_camera() {
        let image = Picture::paint(|_, _| [0.5, 0.4, 0.3]).photograph(&mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(image.dimensions(), (WIDTH, HEIGHT));
        let mean = |channel: usize| {
            let sum: u64 = image.pixels().map(|pixel| u64::from(pixel.0[channel])).sum();
            sum as f32 / 255.0 / (WIDTH * HEIGHT) as f32
        };
        let exposure = mean(0) / 0.5;
        assert!((0.69..1.16).contains(&exposure), "{exposure}");
        assert!((mean(2) / 0.3 - exposure).abs() < 0.02, "the colour stays");
    }
}
