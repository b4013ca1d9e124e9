//! Soft random backgrounds of any hue, too pale to pass for the colour of a class.

use std::f32::consts::TAU;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tiny_skia::{ColorU8, Pixmap};

use super::palette::Shade;
use crate::data::drawing::{Rgb, SmoothNoise, between, bytes, mix};

/// Covers the whole canvas with a gradient, blurred blobs and smooth noise.
pub(super) fn paint(canvas: &mut Pixmap, rng: &mut ChaCha8Rng) {
    let (from, to) = (pale_colour(rng), pale_colour(rng));
    let (sin, cos) = between(rng, 0.0, TAU).sin_cos();
    let blobs: Vec<Blob> = (0..rng.random_range(3..=8_u8)).map(|_| Blob::random(rng)).collect();
    let coarse = SmoothNoise::random(4, between(rng, 0.03, 0.15), rng);
    let fine = SmoothNoise::random(12, between(rng, 0.02, 0.09), rng);

    let width = canvas.width() as usize;
    let side = canvas.width() as f32;
    let pixels = canvas.pixels_mut();
    for (row, line) in pixels.chunks_mut(width.max(1)).enumerate() {
        let y = (row as f32 + 0.5) / side;
        for (column, pixel) in line.iter_mut().enumerate() {
            let x = (column as f32 + 0.5) / side;
            // The diagonal is sqrt(2) sides long: 0.7 keeps the weight within 0 and 1.
            let weight = 0.5 + 0.7 * ((x - 0.5) * cos + (y - 0.5) * sin);
            let mut colour = mix(from, to, weight);
            for blob in &blobs {
                colour = mix(colour, blob.colour, blob.weight(x, y));
            }
            // A factor, not a term: taken off a dark pixel, a term would make it a vivid one.
            let factor = 1.0 + coarse.at(x, y) + fine.at(x, y);
            let [r, g, b] = bytes(colour.map(|value| value * factor));
            *pixel = ColorU8::from_rgba(r, g, b, 255).premultiply();
        }
    }
}

/// Any hue, at a saturation no class colour comes down to.
fn pale_colour(rng: &mut ChaCha8Rng) -> Rgb {
    let shade = Shade {
        hue: between(rng, 0.0, 360.0),
        saturation: between(rng, 0.05, 0.42),
        value: between(rng, 0.30, 0.92),
    };
    shade.rgb()
}

/// A round spot that fades out to nothing. Lengths are shares of the side.
struct Blob {
    x: f32,
    y: f32,
    radius: f32,
    strength: f32,
    colour: Rgb,
}

impl Blob {
    fn random(rng: &mut ChaCha8Rng) -> Self {
        Self {
            x: between(rng, 0.0, 1.0),
            y: between(rng, 0.0, 1.0),
            radius: between(rng, 0.15, 0.55),
            strength: between(rng, 0.3, 0.9),
            colour: pale_colour(rng),
        }
    }

    /// How much of the blob's colour shows at a point, 0 to 1.
    ///
    /// A polynomial rather than a Gaussian: as soft, and it ends.
    fn weight(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (x - self.x, y - self.y);
        let left = 1.0 - (dx * dx + dy * dy) / (self.radius * self.radius);
        let left = left.max(0.0);
        self.strength * left * left
    }
}
