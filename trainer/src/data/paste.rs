//! Cut-outs on other scenes: the background stops being a hint, and the masks stay exact.

use std::path::Path;

use comet_engine::image::{read_rgb, resize};
use image::{GrayImage, Luma, RgbImage};
use rand::{Rng, RngExt};

use super::augment::{Augmentation, Motion};
use super::error::DataError;
use super::findings::Findings;
use super::notice::{Notice, as_ending};
use super::sample::Sample;
use super::walk;

/// Longer side of the cut-out as a share of the frame's side.
const SCALE: std::ops::Range<f64> = 0.45..0.85;
/// Scenes are kept at this multiple of the model's size, to crop from.
const SCENE_SIZE: u32 = 2;

/// Photographs to paste on.
pub struct Scenes {
    images: Vec<RgbImage>,
    size: (u32, u32),
}

impl Scenes {
    /// Reads every image in `folder` and its sub-folders, for frames of `size`. The second value names what cannot
    /// be read and counts what is left out.
    pub fn read(folder: &Path, size: (u32, u32)) -> Result<(Self, Vec<String>), DataError> {
        let mut findings = Findings::default();
        if let Err(fault) = walk::entries(folder, &mut Findings::default()) {
            return Err(DataError::Io { path: folder.to_owned(), fault });
        }
        let paths = walk::content(folder, &mut findings).images;
        let notices = findings.into_notices();
        if paths.is_empty() {
            return Err(DataError::NoScenes { path: folder.to_owned(), found: as_ending(&notices) });
        }
        let mut images = Vec::new();
        let mut faults = Vec::new();
        for path in paths {
            match read_rgb(&path) {
                Ok(image) => {
                    let region = comet_engine::image::Fit::Crop.region(image.dimensions(), size);
                    let larger = (size.0 * SCENE_SIZE, size.1 * SCENE_SIZE);
                    let smaller = (region.2.min(larger.0), region.3.min(larger.1));
                    images.push(resize(&image, region, smaller));
                }
                Err(error) => faults.push(error.to_string()),
            }
        }
        match faults.first() {
            Some(fault) if images.is_empty() => Err(DataError::NothingReadable {
                path: folder.to_owned(),
                count: faults.len(),
                fault: fault.clone(),
            }),
            _ => {
                faults.extend(notices.iter().map(Notice::to_string));
                Ok((Self { images, size }, faults))
            }
        }
    }

    /// Number of scenes.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are no scenes; never true for scenes that were read.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Cuts the image out by its mask and pastes it: random scene, scale, place, mirroring and rotation.
    /// Nothing for an image without a mask or with an empty one.
    pub fn paste(&self, sample: &Sample, augmentation: &Augmentation, rng: &mut impl Rng) -> Option<Sample> {
        let scene = self.images.get(rng.random_range(0..self.images.len().max(1)))?;
        let mask = sample.mask.as_ref()?;
        let mut frame = self.crop(scene, rng);
        let motion = Motion {
            angle: (augmentation.rotation * (2.0 * rng.random::<f64>() - 1.0)).to_radians(),
            scale: 1.0,
            shift: (0.0, 0.0),
            mirrored: rng.random_bool(0.5) && augmentation.flip,
        };
        let cut_out = motion.warp(&sample.image, image::Rgb([0; 3]));
        let alpha = motion.warp(mask, Luma([0]));
        let whole = bounding_box(&alpha)?;
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
        Some(Sample { image: frame, mask: Some(mask), class: sample.class })
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
    use crate::data::generator::generator;
    use image::Rgb;

    #[test]
    fn the_mask_marks_the_pasted_pixels_and_nothing_else() {
        let scenes = Scenes { images: vec![RgbImage::from_pixel(64, 64, Rgb([0, 0, 200]))], size: (32, 32) };
        let mask = GrayImage::from_fn(32, 32, |x, y| {
            Luma([if (8..24).contains(&x) && (8..24).contains(&y) { 255 } else { 0 }])
        });
        let image = RgbImage::from_pixel(32, 32, Rgb([200, 0, 0]));
        let sample = Sample { image, mask: Some(mask), class: 0 };
        for index in 0..20 {
            let rng = &mut generator(3, "test", 0, index);
            let pasted = scenes.paste(&sample, &Augmentation::none(), rng).unwrap();
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

    #[test]
    fn an_image_without_a_mask_or_with_an_empty_one_is_not_pasted() {
        let scenes = Scenes { images: vec![RgbImage::from_pixel(64, 64, Rgb([0, 0, 200]))], size: (32, 32) };
        for mask in [None, Some(GrayImage::new(32, 32))] {
            let sample = Sample { image: RgbImage::new(32, 32), mask, class: 0 };
            let rng = &mut generator(3, "test", 0, 0);
            assert!(scenes.paste(&sample, &Augmentation::none(), rng).is_none());
        }
    }

    #[test]
    fn scenes_in_sub_folders_are_read_and_the_rest_is_named() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("park/2023")).unwrap();
        let error = Scenes::read(root.path(), (8, 8)).err().unwrap().to_string();
        assert!(error.contains("no scenes found"), "{error}");
        RgbImage::new(20, 10).save(root.path().join("park/2023/a.png")).unwrap();
        std::fs::write(root.path().join("park/bad.png"), b"x").unwrap();
        std::fs::write(root.path().join("list.txt"), b"x").unwrap();
        let (scenes, faults) = Scenes::read(root.path(), (8, 8)).unwrap();
        assert_eq!((scenes.len(), faults.len()), (1, 2), "{faults:?}");
        assert!(faults[0].contains("bad.png") && faults[1].contains("list.txt"), "{faults:?}");
    }
}
