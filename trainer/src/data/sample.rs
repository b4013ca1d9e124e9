//! Decoded images with their masks, at the model's size.

use std::path::PathBuf;

use comet_engine::image::{ImageError, Preprocess, read_rgb, resize};
use image::{GrayImage, RgbImage};

use super::item::Item;
use super::mask_rule::{MaskError, MaskImage, marked_share};

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Its mask cannot be read.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// Its mask has another size.
    #[error(
        "{path}: the mask has {} x {} pixels, its image {} x {}",
        .mask.0, .mask.1, .image.0, .image.1
    )]
    MaskSize {
        /// The mask.
        path: PathBuf,
        /// Width and height of the mask.
        mask: (u32, u32),
        /// Width and height of the image.
        image: (u32, u32),
    },
}

/// An image of the model's size.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The pixels.
    pub image: RgbImage,
    /// 255 where the class is decided, 0 elsewhere; `None` if it was not marked.
    pub mask: Option<GrayImage>,
    /// Class index.
    pub class: usize,
}

impl Sample {
    /// Reads an item and brings it to the model's size. A mask of another size than its image is an error.
    pub fn read(item: &Item, preprocess: &Preprocess) -> Result<Self, SampleError> {
        let (image, mask) = read_pair(item)?;
        let size = (preprocess.width, preprocess.height);
        let region = preprocess.fit.region(image.dimensions(), size);
        let mask = mask.map(|mask| binary(resize(&mask.pixels, region, size)));
        Ok(Self { image: preprocess.fit(&image), mask, class: item.class })
    }

    /// Marked pixels as a share of all, if there is a mask.
    pub fn marked(&self) -> Option<f64> {
        self.mask.as_ref().map(marked_share)
    }
}

/// An image and its mask as their files have them.
pub(super) fn read_pair(item: &Item) -> Result<(RgbImage, Option<MaskImage>), SampleError> {
    let image = read_rgb(&item.path)?;
    let Some(path) = &item.mask else {
        return Ok((image, None));
    };
    let mask = MaskImage::read(path)?;
    let (of_mask, of_image) = (mask.pixels.dimensions(), image.dimensions());
    if of_mask != of_image {
        return Err(SampleError::MaskSize { path: path.clone(), mask: of_mask, image: of_image });
    }
    Ok((image, Some(mask)))
}

/// Masks are marks, not shades: half covered counts as covered.
fn binary(mut mask: GrayImage) -> GrayImage {
    for pixel in mask.pixels_mut() {
        pixel.0 = [if pixel.0[0] >= 128 { 255 } else { 0 }];
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;
    use comet_engine::image::Fit;
    use image::Luma;

    #[test]
    fn a_mask_of_small_values_is_kept_at_the_models_size() {
        let folder = tempfile::tempdir().unwrap();
        let (path, mask) = (folder.path().join("x.png"), folder.path().join("x_mask.png"));
        RgbImage::new(40, 20).save(&path).unwrap();
        GrayImage::from_fn(40, 20, |x, _| Luma([u8::from(x < 20)])).save(&mask).unwrap();
        let preprocess = Preprocess { width: 8, height: 8, fit: Fit::Stretch, mean: [0.0; 3], std: [1.0; 3] };
        let mut item = Item { path, mask: Some(mask.clone()), class: 3 };
        let sample = Sample::read(&item, &preprocess).unwrap();
        assert_eq!((sample.class, sample.marked()), (3, Some(0.5)));
        GrayImage::new(20, 20).save(&mask).unwrap();
        let error = Sample::read(&item, &preprocess).unwrap_err().to_string();
        assert!(error.contains("x_mask.png: the mask has 20 x 20 pixels, its image 40 x 20"), "{error}");
        item.mask = None;
        assert_eq!(Sample::read(&item, &preprocess).unwrap().marked(), None);
    }
}
