//! Drawn plants whose class is the colour of one part, with the exact mask of that part.
//!
//! A stand-in for an8Flower: every image shows one plant (a curved stem, a few leaves, a flower
//! head) before a random soft background. One part carries one of six colours, all else is green.
//! What decides the class is therefore known to the pixel, and a map that points anywhere else is
//! wrong.
//!
//! [`render()`] draws one plant, [`write_set`] writes a balanced set of images and masks.

mod anatomy;
mod background;
mod error;
mod palette;
mod render;
mod shape;
mod size;
mod stem;
mod variant;
mod write;

pub use error::PlantError;
pub use render::{Plant, render};
pub use size::SIZES;
pub use variant::{UnknownVariant, Variant};
pub use write::{PlantSet, WriteSummary, image_generator, write_set};

#[cfg(test)]
mod tests {
    use super::*;

    const SIDE: u32 = 64;
    const RENDERS: usize = 200;

    /// Draws `RENDERS` plants of every kind the variant has, in turn.
    fn plants(variant: Variant) -> impl Iterator<Item = Result<Plant, PlantError>> {
        let classes = variant.classes().len();
        (0..RENDERS).map(move |index| {
            let mut rng = image_generator(11, index as u64);
            render(variant, index % classes, SIDE, &mut rng)
        })
    }

    #[test]
    fn the_same_generator_draws_the_same_plant() -> Result<(), PlantError> {
        let draw = |seed| render(Variant::Double, 7, SIDE, &mut image_generator(seed, 3));
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
        let mut rng = image_generator(0, 0);
        let class = render(Variant::Single, 6, SIDE, &mut rng);
        assert!(matches!(class, Err(PlantError::Class { count: 6, .. })));
        for size in [0, SIZES.start() - 1, SIZES.end() + 1, u32::MAX] {
            let drawn = render(Variant::Single, 0, size, &mut rng);
            assert!(matches!(drawn, Err(PlantError::Size { .. })), "{size}");
        }
    }
}
