//! Drawn plants whose class is the colour of one part, with the exact mask of that part.
//!
//! A stand-in for an8Flower: every picture shows one plant (a curved stem, a few leaves, a flower
//! head) before a random soft background. One part carries one of six colours, all else is green.
//! What decides the class is therefore known to the pixel, and a map that points anywhere else is
//! wrong.
//!
//! [`render()`] draws one plant, [`write_set`] writes a balanced set of pictures and masks.

mod anatomy;
mod background;
mod palette;
mod render;
mod stem;
mod variant;
mod write;

pub use render::{Plant, SIZES, render};
pub use variant::Variant;
pub use write::{PlantSet, WriteSummary, picture_generator, write_set};

use std::io;
use std::path::PathBuf;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Why plants could not be drawn or written.
#[derive(Debug, thiserror::Error)]
pub enum PlantError {
    /// The name of the variant is not known.
    #[error("unknown plant variant {given:?}: write `single` (6 classes) or `double` (12 classes)")]
    Variant {
        /// What was written instead.
        given: String,
    },
    /// The variant has no class of this index.
    #[error("plant class {class} is out of range: `{variant}` has {count} classes, counted from 0")]
    Class {
        /// The variant that was asked for.
        variant: Variant,
        /// The class that was asked for.
        class: usize,
        /// How many classes the variant has.
        count: usize,
    },
    /// The side of the picture is outside [`SIZES`].
    #[error("plants of {size} px cannot be drawn: ask for {} to {} px", SIZES.start(), SIZES.end())]
    Size {
        /// The side that was asked for, in pixels.
        size: u32,
    },
    /// An outline came out empty or not finite.
    #[error("a plant outline of no area came up at {size} px: try another seed or size")]
    Outline {
        /// The side of the picture, in pixels.
        size: u32,
    },
    /// The name of the split is not one plain folder name.
    #[error("{split:?} cannot name a split: write one plain folder name such as `train`")]
    Split {
        /// What was written instead.
        split: String,
    },
    /// A folder of the set could not be made.
    #[error("cannot make the folder {}: check that its parent is writable", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A picture or mask could not be encoded.
    #[error("cannot encode {} as PNG", .path.display())]
    Encode {
        /// The file that would have been written.
        path: PathBuf,
        /// What the encoder said.
        source: image::ImageError,
    },
    /// A picture or mask could not be written.
    #[error("cannot write {}: check the free space and the permissions", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A number drawn evenly from `low` to `high`.
///
/// Unlike `random_range` it has no empty range to panic on, so computed bounds are safe.
fn between(rng: &mut ChaCha8Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: u32 = 64;
    const RENDERS: usize = 200;

    /// Draws `RENDERS` plants of every kind the variant has, in turn.
    fn plants(variant: Variant) -> impl Iterator<Item = Result<Plant, PlantError>> {
        let classes = variant.classes().len();
        (0..RENDERS).map(move |index| {
            let mut rng = picture_generator(11, index as u64);
            render(variant, index % classes, SIDE, &mut rng)
        })
    }

    #[test]
    fn the_same_generator_draws_the_same_plant() -> Result<(), PlantError> {
        let draw = |seed| render(Variant::Double, 7, SIDE, &mut picture_generator(seed, 3));
        let (first, again, other) = (draw(1)?, draw(1)?, draw(2)?);
        assert_eq!(first.image.as_raw(), again.image.as_raw());
        assert_eq!(first.mask.as_raw(), again.mask.as_raw());
        assert_ne!(first.image.as_raw(), other.image.as_raw());
        Ok(())
    }

    #[test]
    fn the_mask_is_binary_and_of_sensible_area() -> Result<(), PlantError> {
        for variant in [Variant::Single, Variant::Double] {
            for (index, plant) in plants(variant).enumerate() {
                let mask = plant?.mask;
                assert!(mask.as_raw().iter().all(|&v| v == 0 || v == 255));
                let white = mask.as_raw().iter().filter(|&&v| v == 255).count();
                let share = white as f32 / mask.as_raw().len() as f32;
                assert!((0.01..=0.40).contains(&share), "{variant} {index}: area {share}");
            }
        }
        Ok(())
    }

    #[test]
    fn the_mean_colour_under_the_mask_is_the_class_colour() -> Result<(), PlantError> {
        for variant in [Variant::Single, Variant::Double] {
            for (index, plant) in plants(variant).enumerate() {
                let plant = plant?;
                let mut sum = [0.0_f32; 3];
                for (pixel, mask) in plant.image.pixels().zip(plant.mask.pixels()) {
                    if mask.0 == [255] {
                        for (total, value) in sum.iter_mut().zip(pixel.0) {
                            *total += f32::from(value);
                        }
                    }
                }
                let seen = palette::hue(sum);
                let nearest = palette::nearest_tint(seen);
                let wanted = variant.target(plant.class).map(|(_, tint)| tint.name);
                assert_eq!(Some(nearest), wanted, "{variant} {index}: hue {seen} degrees");
            }
        }
        Ok(())
    }

    #[test]
    fn a_class_or_size_out_of_range_is_an_error() {
        let mut rng = picture_generator(0, 0);
        let class = render(Variant::Single, 6, SIDE, &mut rng);
        assert!(matches!(class, Err(PlantError::Class { count: 6, .. })));
        for size in [0, SIZES.start() - 1, SIZES.end() + 1, u32::MAX] {
            let drawn = render(Variant::Single, 0, size, &mut rng);
            assert!(matches!(drawn, Err(PlantError::Size { .. })), "{size}");
        }
    }
}
