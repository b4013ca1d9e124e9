//! How large images are, from their headers: what the size of the input is chosen by.

use std::path::{Path, PathBuf};

use image::ImageReader;
use rayon::prelude::*;

use super::item::Item;
use super::notice::Notice;
use super::sampler::strided;

/// Headers that are read, at equal distances over all images.
const LOOKED_AT: usize = 500;
/// From so many pixels on, the user is told what reading costs.
const LARGE: u64 = 24_000_000;
/// Bytes a pixel while an image is read: the decoder's rows or planes and the RGB image.
const READING_BYTES: u64 = 6;

/// Sizes of images as their files have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSides {
    /// The middle one of the shorter sides, in pixels.
    pub median_shorter: u32,
    /// Number of headers that were read.
    pub count: usize,
    /// Pixels and path of the largest image that was looked at.
    pub largest: (u64, PathBuf),
}

impl ImageSides {
    /// Reads the headers of up to 500 of the images; `None` if not one can be read.
    pub fn read(items: &[Item]) -> Option<Self> {
        let chosen: Vec<&Item> = strided(items, LOOKED_AT).collect();
        let read = chosen.par_iter().filter_map(|item| Some((dimensions(&item.path)?, &item.path)));
        let sizes: Vec<((u32, u32), &PathBuf)> = read.collect();
        let mut shorter: Vec<u32> = sizes.iter().map(|((width, height), _)| *width.min(height)).collect();
        shorter.sort_unstable();
        let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
        let largest = sizes.iter().max_by_key(|(size, _)| pixels(*size))?;
        Some(Self {
            // Of an even number the lower one: the input shall not be larger than half of the images.
            median_shorter: *shorter.get((shorter.len() - 1) / 2)?,
            count: shorter.len(),
            largest: (pixels(largest.0), largest.1.clone()),
        })
    }

    /// A notice if reading such images takes much memory; one is read on each of `threads` threads.
    pub fn large_images(&self, threads: usize) -> Option<Notice> {
        let (pixels, path) = &self.largest;
        (*pixels >= LARGE).then(|| Notice::LargeImages {
            largest: path.clone(),
            pixels: *pixels,
            bytes: pixels.saturating_mul(READING_BYTES).saturating_mul(threads as u64),
        })
    }
}

/// Width and height from an image's header. EXIF may exchange them, which changes nothing here.
fn dimensions(path: &Path) -> Option<(u32, u32)> {
    let reader = ImageReader::open(path).ok()?.with_guessed_format().ok()?;
    reader.into_dimensions().ok().filter(|&(width, height)| width > 0 && height > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::RgbImage;

    fn items(root: &Path, sizes: &[(u32, u32)]) -> Vec<Item> {
        let item = |(index, &(width, height)): (usize, &(u32, u32))| {
            let path = root.join(format!("{index}.png"));
            RgbImage::new(width, height).save(&path).unwrap();
            Item { path, mask: None, class: 0 }
        };
        sizes.iter().enumerate().map(item).collect()
    }

    #[test]
    fn the_median_is_that_of_the_shorter_sides_and_damaged_files_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        let mut items = items(root.path(), &[(40, 30), (10, 90), (500, 20), (60, 60)]);
        let damaged = root.path().join("damaged.jpg");
        std::fs::write(&damaged, b"no image").unwrap();
        items.push(Item { path: damaged, mask: None, class: 0 });
        let sides = ImageSides::read(&items).unwrap();
        assert_eq!((sides.median_shorter, sides.count), (20, 4));
        assert_eq!(sides.largest, (10_000, items[2].path.clone()));
        assert_eq!(ImageSides::read(&items[4..]), None);
        assert_eq!(ImageSides::read(&[]), None);
    }

    #[test]
    fn what_reading_costs_is_said_of_large_images_only() {
        let sides = |pixels| ImageSides { median_shorter: 9, count: 1, largest: (pixels, "x.jpg".into()) };
        assert_eq!(sides(12_000_000).large_images(16), None);
        let text = sides(100_000_000).large_images(4).unwrap().to_string();
        assert!(
            text.contains("100 megapixels") && text.contains("2.4 GB") && text.contains("x.jpg"),
            "{text}"
        );
    }
}
