//! Cut-outs on other scenes: the background stops being a hint, and the masks stay exact.

use std::path::Path;

use comet_edge::image::{read_rgb, resize};
use image::{GrayImage, Luma, RgbImage};
use rand::{Rng, RngExt};

use super::augment::{Augmentation, Motion};
use super::folder::{DataError, PICTURE_SUFFIXES, files};
use super::picture::Picture;

/// Longer side of the cut-out as a share of the frame's side.
const SCALE: std::ops::Range<f64> = 0.45..0.85;
/// Scenes are kept at this multiple of the model's size, to crop from.
const SCENE_SIZE: u32 = 2;

/// Photographs to paste on.
pub struct Scenes {
    pictures: Vec<RgbImage>,
    size: (u32, u32),
}

impl Scenes {
    /// Reads every picture in `folder`, for frames of `size`. Unreadable ones are named in the second value.
    pub fn read(folder: &Path, size: (u32, u32)) -> Result<(Self, Vec<String>), DataError> {
        let mut pictures = Vec::new();
        let mut faults = Vec::new();
        for path in files(folder, &PICTURE_SUFFIXES)? {
            match read_rgb(&path) {
                Ok(picture) => {
                    let region = comet_edge::image::Fit::Crop.region(picture.dimensions(), size);
                    let larger = (size.0 * SCENE_SIZE, size.1 * SCENE_SIZE);
                    let smaller = (region.2.min(larger.0), region.3.min(larger.1));
                    pictures.push(resize(&picture, region, smaller));
                }
                Err(error) => faults.push(error.to_string()),
            }
        }
        match faults.first() {
            _ if !pictures.is_empty() => Ok((Self { pictures, size }, faults)),
            Some(fault) => Err(DataError::NothingReadable {
                path: folder.to_owned(),
                count: faults.len(),
                fault: fault.clone(),
            }),
            None => Err(DataError::NoPictures(folder.to_owned())),
        }
    }

    /// Number of scenes.
    pub fn len(&self) -> usize {
        self.pictures.len()
    }

    /// Whether there is none; never true for scenes that were read.
    pub fn is_empty(&self) -> bool {
        self.pictures.is_empty()
    }

    /// Cuts `picture` out by its mask and pastes it: random scene, scale, place, mirroring and rotation.
    /// A picture without a mask, or with an empty one, comes back as it is.
    pub fn paste(&self, picture: &Picture, augmentation: &Augmentation, rng: &mut impl Rng) -> Picture {
        let scene = self.pictures.get(rng.random_range(0..self.pictures.len().max(1)));
        let Some((scene, mask)) = scene.zip(picture.mask.as_ref()) else {
            return picture.clone();
        };
        let mut frame = self.crop(scene, rng);
        let motion = Motion {
            angle: (augmentation.rotation * (2.0 * rng.random::<f64>() - 1.0)).to_radians(),
            scale: 1.0,
            shift: (0.0, 0.0),
            mirrored: rng.random_bool(0.5) && augmentation.flip,
        };
        let cut_out = motion.warp(&picture.image, image::Rgb([0; 3]));
        let alpha = motion.warp(mask, Luma([0]));
        let Some(whole) = bounding_box(&alpha) else {
            return picture.clone();
        };
        let longest = f64::from(whole.2.max(whole.3));
        let frame_side = f64::from(frame.width().min(frame.height()));
        let scale = rng.random_range(SCALE) * frame_side / longest;
        let side = |length: u32| ((f64::from(length) * scale).round() as u32).max(1);
        let size = (side(whole.2), side(whole.3));
        let (cut_out, alpha) = (resize(&cut_out, whole, size), resize(&alpha, whole, size));
        let place =
            |room: u32, length: u32, rng: &mut dyn Rng| rng.random_range(0..=room.saturating_sub(length));
        let x = place(frame.width(), size.0, &mut *rng);
        let y = place(frame.height(), size.1, &mut *rng);
        let mask = blend(&mut frame, &cut_out, &alpha, (x, y));
        augmentation.jitter_colours(&mut frame, rng);
        Picture { image: frame, mask: Some(mask), class: picture.class }
    }

    /// A random region of the scene, between half and all of it.
    fn crop(&self, scene: &RgbImage, rng: &mut impl Rng) -> RgbImage {
        let share = rng.random_range(0.5..=1.0);
        let side = |length: u32| ((f64::from(length) * share) as u32).clamp(1, length);
        let (width, height) = (side(scene.width()), side(scene.height()));
        let x = rng.random_range(0..=scene.width() - width);
        let y = rng.random_range(0..=scene.height() - height);
        let cropped = resize(scene, (x, y, width, height), self.size);
        if rng.random_bool(0.5) { image::imageops::flip_horizontal(&cropped) } else { cropped }
    }
}

/// The smallest region `(x, y, width, height)` with all that is at least half covered.
fn bounding_box(alpha: &GrayImage) -> Option<(u32, u32, u32, u32)> {
    let covered = || alpha.enumerate_pixels().filter(|(_, _, weight)| weight.0[0] >= 128);
    let (left, right) = (covered().map(|p| p.0).min()?, covered().map(|p| p.0).max()?);
    let (top, bottom) = (covered().map(|p| p.1).min()?, covered().map(|p| p.1).max()?);
    Some((left, top, right - left + 1, bottom - top + 1))
}

/// Lays the cut-out over the frame and returns where it covers at least half of a pixel.
fn blend(frame: &mut RgbImage, cut_out: &RgbImage, alpha: &GrayImage, at: (u32, u32)) -> GrayImage {
    let mut mask = GrayImage::new(frame.width(), frame.height());
    for (x, y, weight) in alpha.enumerate_pixels() {
        let weight = u32::from(weight.0[0]);
        let (column, row) = (at.0 + x, at.1 + y);
        let above = cut_out.get_pixel_checked(x, y);
        let (Some(above), Some(below)) = (above, frame.get_pixel_mut_checked(column, row)) else {
            continue;
        };
        for (below, &above) in below.0.iter_mut().zip(&above.0) {
            *below = ((u32::from(above) * weight + u32::from(*below) * (255 - weight) + 127) / 255) as u8;
        }
        if let Some(mark) = mask.get_pixel_mut_checked(column, row).filter(|_| weight >= 128) {
            mark.0 = [255];
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::generator;
    use image::Rgb;

    #[test]
    fn the_mask_marks_the_pasted_pixels_and_nothing_else() {
        let scenes =
            Scenes { pictures: vec![RgbImage::from_pixel(64, 64, Rgb([0, 0, 200]))], size: (32, 32) };
        let mask = GrayImage::from_fn(32, 32, |x, y| {
            Luma([if (8..24).contains(&x) && (8..24).contains(&y) { 255 } else { 0 }])
        });
        let image = RgbImage::from_pixel(32, 32, Rgb([200, 0, 0]));
        let picture = Picture { image, mask: Some(mask), class: 0 };
        for index in 0..20 {
            let rng = &mut generator(3, "test", 0, index);
            let pasted = scenes.paste(&picture, &Augmentation::none(), rng);
            let marked = pasted.mask.unwrap();
            for (x, y, mark) in marked.enumerate_pixels() {
                let red = pasted.image.get_pixel(x, y).0[0] >= 100;
                assert_eq!(red, mark.0[0] == 255, "{index}: {x}, {y}");
            }
            let area = marked.pixels().filter(|mark| mark.0[0] == 255).count();
            let sides = 13..=28;
            assert!(sides.contains(&area.isqrt()), "{area}");
        }
    }
}
