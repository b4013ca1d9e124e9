//! The images that are measured: always the same ones, read when they are asked for.

use comet_engine::image::Preprocess;
use rand::RngExt;
use rayon::prelude::*;

use super::augment::Augmentation;
use super::generator::generator;
use super::paste::Scenes;
use super::sample::Sample;
use super::sampler::places;
use super::store::SampleStore;

/// Images that are read at once by all cores.
const CHUNK: usize = 64;

/// The images of an evaluation: a share of them, chosen by a seed, pasted on scenes; the others as they are.
///
/// Every image depends on the seed and its place in the store alone, so that a part of them holds the same images
/// as the whole. Only those asked for are in memory.
#[derive(Clone, Copy)]
pub struct EvaluationImages<'a> {
    store: &'a SampleStore,
    scenes: Option<&'a Scenes>,
    share: f64,
    seed: u64,
}

impl<'a> EvaluationImages<'a> {
    /// The images of `store`, a `share` of them pasted on `scenes`.
    pub fn new(store: &'a SampleStore, scenes: Option<&'a Scenes>, share: f64, seed: u64) -> Self {
        Self { store, scenes, share: share.clamp(0.0, 1.0), seed }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.store.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.store.is_empty()
    }

    /// Size, fit, mean and deviation of the images.
    pub fn preprocess(&self) -> &'a Preprocess {
        self.store.preprocess()
    }

    /// The image at `index`; `None` beyond the end or if it has become unreadable.
    pub fn get(&self, index: usize) -> Option<Sample> {
        let sample = self.store.get(index)?;
        let mut rng = generator(self.seed, "evaluation", 0, index);
        let pasted = rng.random_bool(self.share);
        let still = Augmentation { flip: true, ..Augmentation::none() };
        let on_scene =
            self.scenes.filter(|_| pasted).and_then(|scenes| scenes.paste(&sample, &still, &mut rng));
        Some(on_scene.unwrap_or(sample))
    }

    /// All images in order, `size` at a time.
    pub fn chunks(self, size: usize) -> impl Iterator<Item = Vec<Sample>> + 'a {
        let size = size.max(1);
        let starts = (0..self.len()).step_by(size);
        starts.map(move |start| self.read(&(start..self.len().min(start + size)).collect::<Vec<_>>()))
    }

    /// `count` of the images at equal distances over all of them, or all if there are fewer, one after the other.
    pub fn strided(self, count: usize) -> impl Iterator<Item = Sample> + 'a {
        let chosen: Vec<usize> = places(self.len(), count).collect();
        let chunks: Vec<Vec<usize>> = chosen.chunks(CHUNK).map(<[usize]>::to_vec).collect();
        chunks.into_iter().flat_map(move |chunk| self.read(&chunk))
    }

    /// All images at once: for splits that are known to be small.
    pub fn all(&self) -> Vec<Sample> {
        self.read(&(0..self.len()).collect::<Vec<_>>())
    }

    fn read(&self, indices: &[usize]) -> Vec<Sample> {
        indices.par_iter().filter_map(|&index| self.get(index)).collect()
    }
}

/// The images of an evaluation: a `share` of them, chosen by `seed`, pasted on scenes; the others as they are.
pub fn evaluation_set(store: &SampleStore, scenes: Option<&Scenes>, share: f64, seed: u64) -> Vec<Sample> {
    EvaluationImages::new(store, scenes, share, seed).all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::item::Item;
    use comet_engine::image::Fit;
    use image::{Rgb, RgbImage};

    #[test]
    fn parts_hold_the_same_images_as_the_whole() {
        let root = tempfile::tempdir().unwrap();
        let item = |index: usize| {
            let path = root.path().join(format!("{index:02}.png"));
            RgbImage::from_pixel(4, 4, Rgb([index as u8, 0, 0])).save(&path).unwrap();
            Item { path, mask: None, class: index / 5 }
        };
        let preprocess = Preprocess { width: 4, height: 4, fit: Fit::Crop, mean: [0.0; 3], std: [1.0; 3] };
        let (store, _) = SampleStore::open((0..20).map(item).collect(), preprocess);
        let images = EvaluationImages::new(&store, None, 0.5, 3);
        let numbers = |samples: Vec<Sample>| -> Vec<u8> {
            samples.iter().map(|sample| sample.image.as_raw()[0]).collect()
        };
        let all: Vec<u8> = (0..20).collect();
        assert_eq!(numbers(images.all()), all);
        let chunks: Vec<Vec<u8>> = images.chunks(8).map(numbers).collect();
        assert_eq!(chunks.iter().map(Vec::len).collect::<Vec<_>>(), [8, 8, 4]);
        assert_eq!(chunks.concat(), all);
        assert_eq!(numbers(images.strided(4).collect()), [0, 5, 10, 15]);
        assert_eq!(numbers(evaluation_set(&store, None, 0.5, 3)), all);
    }
}
