//! From a data set to batches: training pictures are changed at random, evaluation pictures are fixed.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use rand::RngExt;
use rayon::prelude::*;

use super::augment::{Augmentation, mean_colour};
use super::batch::Batch;
use super::generator;
use super::paste::Scenes;
use super::picture::{Picture, PictureStore};
use super::sampler::{Sampling, epoch_order};

/// Batches that are prepared ahead of their use.
const AHEAD: usize = 2;

/// Everything that makes training pictures.
#[derive(Clone)]
pub struct TrainingFeed {
    /// The pictures.
    pub store: Arc<PictureStore>,
    /// Scenes to paste on.
    pub scenes: Option<Arc<Scenes>>,
    /// Share of pictures that are pasted.
    pub paste: f64,
    /// Random changes.
    pub augmentation: Augmentation,
    /// Order of the pictures.
    pub sampling: Sampling,
    /// Seed of the run.
    pub seed: u64,
    /// Pictures in a batch.
    pub batch: usize,
}

/// The batches of one epoch, in order.
pub struct Feed {
    receiver: Receiver<Batch>,
}

impl Iterator for Feed {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        self.receiver.recv().ok()
    }
}

impl TrainingFeed {
    /// Batches in an epoch. A last batch of one picture is left out: BatchNorm cannot learn from it.
    pub fn batches(&self) -> usize {
        let (whole, rest) = (self.store.len() / self.batch, self.store.len() % self.batch);
        whole + usize::from(rest > 1)
    }

    /// The batches of `epoch` from number `first` on; `phase` keeps detector and COMET epochs apart.
    ///
    /// Every picture depends on (seed, phase, epoch, position) alone, so a resumed run sees the same ones.
    pub fn epoch(&self, phase: &'static str, epoch: usize, first: usize) -> std::io::Result<Feed> {
        let (sender, receiver) = sync_channel(AHEAD);
        let feed = self.clone();
        let order = epoch_order(feed.store.items(), feed.sampling, feed.seed ^ phase_bits(phase), epoch);
        let batches = self.batches();
        thread::Builder::new().name("training-feed".into()).spawn(move || {
            for number in first..batches {
                let start = number * feed.batch;
                let indices: Vec<(usize, usize)> =
                    order.iter().copied().enumerate().skip(start).take(feed.batch).collect();
                let pictures: Vec<Picture> = indices
                    .par_iter()
                    .filter_map(|&(position, index)| feed.picture(phase, epoch, position, index))
                    .collect();
                // The receiver is gone when training stops early.
                if sender.send(Batch::new(&pictures, feed.store.preprocess())).is_err() {
                    break;
                }
            }
        })?;
        Ok(Feed { receiver })
    }

    fn picture(&self, phase: &str, epoch: usize, position: usize, index: usize) -> Option<Picture> {
        let picture = self.store.get(index)?;
        let mut rng = generator(self.seed, phase, epoch, position);
        let pasted = rng.random_bool(self.paste.clamp(0.0, 1.0));
        if let Some(scenes) = self.scenes.as_ref().filter(|_| pasted && picture.mask.is_some()) {
            return Some(scenes.paste(&picture, &self.augmentation, &mut rng));
        }
        let border = mean_colour(self.store.preprocess().mean);
        Some(self.augmentation.apply(&picture, border, &mut rng))
    }
}

fn phase_bits(phase: &str) -> u64 {
    phase.bytes().fold(0, |bits, byte| bits.rotate_left(8) ^ u64::from(byte))
}

/// The pictures of an evaluation: a `share` of them, chosen by `seed`, pasted on scenes; the others as they are.
pub fn evaluation_set(store: &PictureStore, scenes: Option<&Scenes>, share: f64, seed: u64) -> Vec<Picture> {
    let still = Augmentation { flip: true, ..Augmentation::none() };
    let pictures = (0..store.len()).into_par_iter().filter_map(|index| {
        let picture = store.get(index)?;
        let mut rng = generator(seed, "evaluation", 0, index);
        let pasted = rng.random_bool(share.clamp(0.0, 1.0));
        Some(match scenes.filter(|_| pasted) {
            Some(scenes) => scenes.paste(&picture, &still, &mut rng),
            None => picture,
        })
    });
    pictures.collect()
}
