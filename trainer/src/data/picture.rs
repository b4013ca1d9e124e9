//! Decoded pictures with their masks, at the model's size, kept in memory where they fit.

use std::sync::OnceLock;

use comet_edge::image::{Preprocess, read_rgb, resize};
use image::{GrayImage, RgbImage};

use super::folder::Item;

/// Memory for decoded pictures; what does not fit is decoded again in each epoch.
const CACHE_BYTES: usize = 4 << 30;

/// A picture of the model's size.
#[derive(Clone, Debug)]
pub struct Picture {
    /// The pixels.
    pub image: RgbImage,
    /// 255 where the class is decided, 0 elsewhere; `None` if nobody marked it.
    pub mask: Option<GrayImage>,
    /// Class index.
    pub class: usize,
}

impl Picture {
    /// Reads an item and brings it to the model's size. A mask of another size than its picture is an error.
    pub fn read(item: &Item, preprocess: &Preprocess) -> Result<Self, String> {
        let image = read_rgb(&item.path).map_err(|error| error.to_string())?;
        let size = (preprocess.width, preprocess.height);
        let region = preprocess.fit.region(image.dimensions(), size);
        let mask = match &item.mask {
            None => None,
            Some(path) => {
                let mask = read_rgb(path).map_err(|error| error.to_string())?;
                if mask.dimensions() != image.dimensions() {
                    return Err(format!(
                        "{}: the mask has {} x {} pixels, its picture {} x {}",
                        path.display(),
                        mask.width(),
                        mask.height(),
                        image.width(),
                        image.height()
                    ));
                }
                let gray = image::imageops::grayscale(&mask);
                Some(binary(resize(&gray, region, size)))
            }
        };
        Ok(Self { image: preprocess.fit(&image), mask, class: item.class })
    }
}

/// Masks are marks, not shades: half covered counts as covered.
fn binary(mut mask: GrayImage) -> GrayImage {
    for pixel in mask.pixels_mut() {
        pixel.0 = [if pixel.0[0] >= 128 { 255 } else { 0 }];
    }
    mask
}

/// The pictures of one split, decoded when they are first asked for.
pub struct PictureStore {
    items: Vec<Item>,
    preprocess: Preprocess,
    cache: Vec<OnceLock<Picture>>,
}

impl PictureStore {
    /// Checks that every item can be read; the ones that cannot are left out and named in the second value.
    pub fn open(items: Vec<Item>, preprocess: Preprocess) -> (Self, Vec<String>) {
        use rayon::prelude::*;
        let bytes = 4 * preprocess.width as usize * preprocess.height as usize;
        let kept = CACHE_BYTES / bytes.max(1);
        let read: Vec<_> = items
            .into_par_iter()
            .enumerate()
            .map(|(index, item)| match Picture::read(&item, &preprocess) {
                Ok(picture) if index < kept => Ok((item, OnceLock::from(picture))),
                Ok(_) => Ok((item, OnceLock::new())),
                Err(fault) => Err(fault),
            })
            .collect();
        let mut store = Self { items: Vec::new(), preprocess, cache: Vec::new() };
        let mut faults = Vec::new();
        for result in read {
            match result {
                Ok((item, cell)) => {
                    store.items.push(item);
                    store.cache.push(cell);
                }
                Err(fault) => faults.push(fault),
            }
        }
        (store, faults)
    }

    /// The readable items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Number of readable pictures.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Size, fit, mean and deviation of the pictures.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The mean and deviation are known after the pictures were read.
    pub fn set_normalisation(&mut self, mean: [f32; 3], std: [f32; 3]) {
        (self.preprocess.mean, self.preprocess.std) = (mean, std);
    }

    /// The picture at `index`; `None` beyond the end or if the file has become unreadable since.
    pub fn get(&self, index: usize) -> Option<Picture> {
        if let Some(picture) = self.cache.get(index)?.get() {
            return Some(picture.clone());
        }
        Picture::read(self.items.get(index)?, &self.preprocess).ok()
    }
}
