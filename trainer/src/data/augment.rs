//! Random changes that leave the class as it is (COMET, section 4.1: crop with padding, flip, rotation).

use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::sample::Sample;

/// How far images are changed. Zero switches a change off.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augmentation {
    /// Largest shift as a share of the side; the paper pads 224 pixels by 16.
    pub shift: f64,
    /// Mirror left and right in half of the cases.
    pub flip: bool,
    /// Largest rotation in degrees.
    pub rotation: f64,
    /// Largest change of scale: 0.1 gives 0.9 to 1.1.
    pub scale: f64,
    /// Largest change of brightness, contrast and saturation: 0.2 gives 0.8 to 1.2.
    pub jitter: f64,
    /// Share of the images of which a rectangle of a tenth to a third of the area gets the fill colour (Zhong et al.,
    /// 2020): what is hidden there must be recognised by the rest. Not for images that are pasted on scenes.
    pub erase: f64,
}

/// Area of an erased rectangle as a share of the image's.
const ERASED: std::ops::Range<f64> = 0.1..0.33;
/// Its width by its height.
const ASPECT: std::ops::Range<f64> = 0.5..2.0;

impl Default for Augmentation {
    fn default() -> Self {
        Self { shift: 16.0 / 224.0, flip: true, rotation: 15.0, scale: 0.0, jitter: 0.2, erase: 0.0 }
    }
}

impl Augmentation {
    /// No change at all.
    pub fn none() -> Self {
        Self { shift: 0.0, flip: false, rotation: 0.0, scale: 0.0, jitter: 0.0, erase: 0.0 }
    }

    /// Stronger changes, for a few dozen images a class: with so few, a network learns them by heart. Chosen by
    /// judgement; not tuned.
    pub fn for_few_images() -> Self {
        Self { shift: 0.1, flip: true, rotation: 20.0, scale: 0.25, jitter: 0.3, erase: 0.25 }
    }

    /// A changed copy. Mask and image move together; what comes in from outside has the colour `border`.
    pub fn apply(&self, sample: &Sample, border: Rgb<u8>, rng: &mut impl Rng) -> Sample {
        let motion = self.draw_motion(sample.image.dimensions(), rng);
        let mut image = motion.warp(&sample.image, border);
        let mut mask = sample.mask.as_ref().map(|mask| {
            let mut mask = motion.warp(mask, Luma([0]));
            for pixel in mask.pixels_mut() {
                pixel.0 = [if pixel.0[0] >= 128 { 255 } else { 0 }];
            }
            mask
        });
        self.jitter_colours(&mut image, rng);
        // Nothing is drawn while it is off, so that the images of earlier runs stay the same.
        if self.erase > 0.0 && rng.random_bool(self.erase.min(1.0)) {
            erase(&mut image, mask.as_mut(), border, rng);
        }
        Sample { image, mask, class: sample.class }
    }

    fn draw_motion(&self, (width, height): (u32, u32), rng: &mut impl Rng) -> Motion {
        let mut within = |limit: f64| limit * (2.0 * rng.random::<f64>() - 1.0);
        let angle = within(self.rotation).to_radians();
        let scale = 1.0 / (1.0 + within(self.scale));
        let shift = (within(self.shift) * f64::from(width), within(self.shift) * f64::from(height));
        let mirrored = rng.random_bool(0.5) && self.flip;
        Motion { angle, scale, shift, mirrored }
    }

    /// Changes brightness, contrast and saturation (light, so that colour keeps its meaning).
    pub fn jitter_colours(&self, image: &mut RgbImage, rng: &mut impl Rng) {
        let mut factor = || 1.0 + self.jitter * (2.0 * rng.random::<f64>() - 1.0);
        let (brightness, contrast, saturation) = (factor(), factor(), factor());
        if self.jitter == 0.0 {
            return;
        }
        let luma = |[r, g, b]: [f64; 3]| 0.299 * r + 0.587 * g + 0.114 * b;
        let count = f64::from(image.width()) * f64::from(image.height());
        let total: f64 = image.pixels().map(|pixel| luma(pixel.0.map(f64::from))).sum();
        let mean = total / count.max(1.0);
        for pixel in image.pixels_mut() {
            let rgb = pixel.0.map(|byte| mean + (f64::from(byte) - mean) * contrast);
            let gray = luma(rgb);
            pixel.0 = rgb.map(|value| ((gray + (value - gray) * saturation) * brightness) as u8);
        }
    }
}

/// Fills a random rectangle; what it hides is not marked any more.
fn erase(image: &mut RgbImage, mask: Option<&mut GrayImage>, fill: Rgb<u8>, rng: &mut impl Rng) {
    let (width, height) = image.dimensions();
    let area = rng.random_range(ERASED) * f64::from(width) * f64::from(height);
    let aspect = rng.random_range(ASPECT);
    let side = |length: f64, limit: u32| (length.round() as u32).clamp(1, limit.max(1));
    let size = (side((area * aspect).sqrt(), width), side((area / aspect).sqrt(), height));
    let left = rng.random_range(0..=width.saturating_sub(size.0));
    let top = rng.random_range(0..=height.saturating_sub(size.1));
    let is_inside = |x: u32, y: u32| (left..left + size.0).contains(&x) && (top..top + size.1).contains(&y);
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        if is_inside(x, y) {
            *pixel = fill;
        }
    }
    for (x, y, mark) in mask.into_iter().flat_map(GrayImage::enumerate_pixels_mut) {
        if is_inside(x, y) {
            mark.0 = [0];
        }
    }
}

/// A rotation, scaling, shift and mirroring about the centre.
#[derive(Clone, Copy, Debug)]
pub(super) struct Motion {
    pub angle: f64,
    /// Source pixels per target pixel.
    pub scale: f64,
    pub shift: (f64, f64),
    pub mirrored: bool,
}

impl Motion {
    /// Samples `source` bilinearly at the moved positions.
    pub(super) fn warp<const C: usize, P>(
        &self,
        source: &image::ImageBuffer<P, Vec<u8>>,
        border: P,
    ) -> image::ImageBuffer<P, Vec<u8>>
    where
        P: image::Pixel<Subpixel = u8> + Channels<C>,
    {
        let (width, height) = source.dimensions();
        let centre = (f64::from(width - 1) / 2.0, f64::from(height - 1) / 2.0);
        let (sin, cos) = self.angle.sin_cos();
        let mut target = image::ImageBuffer::new(width, height);
        for (column, row, pixel) in target.enumerate_pixels_mut() {
            let x = f64::from(column) - centre.0 - self.shift.0;
            let y = f64::from(row) - centre.1 - self.shift.1;
            let x = if self.mirrored { -x } else { x };
            let at_x = centre.0 + self.scale * (cos * x + sin * y);
            let at_y = centre.1 + self.scale * (cos * y - sin * x);
            *pixel = interpolate(source, at_x, at_y, border);
        }
        target
    }
}

/// The channels of a pixel as an array.
pub(super) trait Channels<const C: usize>: Sized {
    fn to_array(&self) -> [u8; C];
    fn of_channels(channels: [u8; C]) -> Self;
}

impl Channels<3> for Rgb<u8> {
    fn to_array(&self) -> [u8; 3] {
        self.0
    }
    fn of_channels(channels: [u8; 3]) -> Self {
        Self(channels)
    }
}

impl Channels<1> for Luma<u8> {
    fn to_array(&self) -> [u8; 1] {
        self.0
    }
    fn of_channels(channels: [u8; 1]) -> Self {
        Self(channels)
    }
}

fn interpolate<const C: usize, P>(source: &image::ImageBuffer<P, Vec<u8>>, x: f64, y: f64, border: P) -> P
where
    P: image::Pixel<Subpixel = u8> + Channels<C>,
{
    let (left, top) = (x.floor(), y.floor());
    let at = |column: f64, row: f64| {
        if column < 0.0 || row < 0.0 {
            return border;
        }
        source.get_pixel_checked(column as u32, row as u32).copied().unwrap_or(border)
    };
    let (fx, fy) = (x - left, y - top);
    let corners = [
        (at(left, top), (1.0 - fx) * (1.0 - fy)),
        (at(left + 1.0, top), fx * (1.0 - fy)),
        (at(left, top + 1.0), (1.0 - fx) * fy),
        (at(left + 1.0, top + 1.0), fx * fy),
    ];
    let mut sums = [0.5f64; C];
    for (pixel, weight) in corners {
        for (sum, byte) in sums.iter_mut().zip(pixel.to_array()) {
            *sum += weight * f64::from(byte);
        }
    }
    P::of_channels(sums.map(|sum| sum as u8))
}

/// The mean colour as a pixel: what pixels that are not shown are filled with.
pub(super) fn mean_colour(mean: [f32; 3]) -> Rgb<u8> {
    Rgb(mean.map(|value| (value * 255.0).round() as u8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::generator::generator;

    fn sample() -> Sample {
        let image = RgbImage::from_fn(9, 9, |x, y| Rgb([x as u8 * 20, y as u8 * 20, 7]));
        let mask = GrayImage::from_fn(9, 9, |x, _| Luma([if x < 4 { 255 } else { 0 }]));
        Sample { image, mask: Some(mask), class: 1 }
    }

    #[test]
    fn no_augmentation_changes_nothing() {
        let sample = sample();
        let rng = &mut generator(1, "test", 0, 0);
        let same = Augmentation::none().apply(&sample, Rgb([0; 3]), rng);
        assert_eq!(same.image, sample.image);
        assert_eq!(same.mask, sample.mask);
    }

    #[test]
    fn mirroring_moves_image_and_mask_together() {
        let motion = Motion { angle: 0.0, scale: 1.0, shift: (0.0, 0.0), mirrored: true };
        let sample = sample();
        let image = motion.warp(&sample.image, Rgb([0; 3]));
        let mask = motion.warp(sample.mask.as_ref().unwrap(), Luma([0]));
        assert_eq!(image, image::imageops::flip_horizontal(&sample.image));
        assert_eq!(mask, image::imageops::flip_horizontal(sample.mask.as_ref().unwrap()));
    }

    #[test]
    fn an_erased_rectangle_has_the_fill_colour_and_hides_what_was_marked() {
        let image = RgbImage::from_pixel(40, 30, Rgb([200; 3]));
        let mask = Some(GrayImage::from_pixel(40, 30, Luma([255])));
        let sample = Sample { image, mask, class: 0 };
        let always = Augmentation { erase: 1.0, ..Augmentation::none() };
        for index in 0..20 {
            let rng = &mut generator(1, "test", 0, index);
            let erased = always.apply(&sample, Rgb([9; 3]), rng);
            let mask = erased.mask.unwrap();
            let hidden = erased.image.pixels().zip(mask.pixels());
            assert!(hidden.clone().all(|(pixel, mark)| (pixel.0 == [9; 3]) == (mark.0 == [0])));
            let share = hidden.filter(|(_, mark)| mark.0 == [0]).count() as f64 / 1200.0;
            assert!((0.08..0.36).contains(&share), "{share}");
        }
    }

    #[test]
    fn an_image_of_one_pixel_can_be_changed() {
        let sample = Sample { image: RgbImage::new(1, 1), mask: Some(GrayImage::new(1, 1)), class: 0 };
        let strong = Augmentation { erase: 1.0, ..Augmentation::for_few_images() };
        let rng = &mut generator(1, "test", 0, 0);
        assert_eq!(strong.apply(&sample, Rgb([9; 3]), rng).image.dimensions(), (1, 1));
    }

    #[test]
    fn the_same_generator_gives_the_same_image() {
        let augment = |index| {
            let rng = &mut generator(1, "test", 3, index);
            Augmentation::default().apply(&sample(), Rgb([9; 3]), rng).image
        };
        assert_eq!(augment(5), augment(5));
        assert_ne!(augment(5), augment(6));
    }
}
