//! From a data set to batches for training: images are changed at random and prepared ahead of their use.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rand::RngExt;
use rayon::prelude::*;

use super::augment::{Augmentation, mean_colour};
use super::batch::Batch;
use super::generator::generator;
use super::paste::Scenes;
use super::sample::Sample;
use super::sampler::{Sampling, epoch_order};
use super::store::SampleStore;

/// Batches that are prepared ahead of their use.
const AHEAD: usize = 2;
/// How many other images are tried in place of one that has become unreadable.
const REPLACEMENTS: usize = 16;
/// How long the end of the thread is waited for: it finishes the batch that it is preparing.
const END: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(2);

/// Everything that makes training images.
#[derive(Clone)]
pub struct TrainingFeed {
    /// The images.
    pub store: Arc<SampleStore>,
    /// Scenes to paste on.
    pub scenes: Option<Arc<Scenes>>,
    /// Share of images that are pasted.
    pub paste: f64,
    /// Random changes.
    pub augmentation: Augmentation,
    /// Order of the images.
    pub sampling: Sampling,
    /// Seed of the run.
    pub seed: u64,
    /// Images in a batch.
    pub batch: usize,
}

/// The batches of one epoch, in order. The thread that prepares them ends with this value.
pub struct Feed {
    receiver: Option<Receiver<Batch>>,
    thread: Option<JoinHandle<()>>,
}

impl Iterator for Feed {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        self.receiver.as_ref()?.recv().ok()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        // Without a receiver the thread's next batch is its last.
        self.receiver = None;
        let Some(thread) = self.thread.take() else {
            return;
        };
        let deadline = Instant::now() + END;
        while !thread.is_finished() && Instant::now() < deadline {
            thread::sleep(POLL);
        }
        if thread.is_finished() {
            // A panic in it has been printed already, and the epoch was too short.
            let _ = thread.join();
        }
    }
}

impl TrainingFeed {
    /// Batches in an epoch. A last batch of one image is left out: BatchNorm cannot learn from it.
    pub fn batches(&self) -> usize {
        let size = self.batch.max(1);
        let (whole, rest) = (self.store.len() / size, self.store.len() % size);
        whole + usize::from(rest > 1)
    }

    /// The batches of `epoch` from number `first` on; `phase` keeps detector and COMET epochs apart.
    ///
    /// Every image depends on (seed, phase, epoch, position) alone, so a resumed run sees the same ones.
    pub fn epoch(&self, phase: &'static str, epoch: usize, first: usize) -> std::io::Result<Feed> {
        let (sender, receiver) = sync_channel(AHEAD);
        let feed = self.clone();
        let order = epoch_order(feed.store.items(), feed.sampling, feed.seed ^ phase_bits(phase), epoch);
        let batches = self.batches();
        let thread = thread::Builder::new().name("training-feed".into()).spawn(move || {
            for number in first..batches {
                let start = number * feed.batch;
                let indices: Vec<(usize, usize)> =
                    order.iter().copied().enumerate().skip(start).take(feed.batch).collect();
                let samples: Vec<Sample> = indices
                    .par_iter()
                    .filter_map(|&(position, index)| feed.sample(phase, epoch, position, index))
                    .collect();
                // Nothing near an image could be read either: the epoch ends short, which is reported.
                if samples.len() < indices.len() {
                    break;
                }
                // The receiver is gone when training stops early.
                if sender.send(Batch::new(&samples, feed.store.preprocess())).is_err() {
                    break;
                }
            }
        })?;
        Ok(Feed { receiver: Some(receiver), thread: Some(thread) })
    }

    /// The image for a position of an epoch. One that has become unreadable, which the store reports, is replaced
    /// by one of the next: batches keep their size.
    fn sample(&self, phase: &str, epoch: usize, position: usize, index: usize) -> Option<Sample> {
        let count = self.store.len().max(1);
        let mut tried = (index..=index + REPLACEMENTS).map(|index| index % count);
        let sample = tried.find_map(|index| self.store.get(index))?;
        let mut rng = generator(self.seed, phase, epoch, position);
        let pasted = rng.random_bool(self.paste.clamp(0.0, 1.0));
        let scenes = self.scenes.as_ref().filter(|_| pasted && sample.mask.is_some());
        let on_scene = scenes.and_then(|scenes| scenes.paste(&sample, &self.augmentation, &mut rng));
        let border = || mean_colour(self.store.preprocess().mean);
        Some(on_scene.unwrap_or_else(|| self.augmentation.apply(&sample, border(), &mut rng)))
    }
}

fn phase_bits(phase: &str) -> u64 {
    phase.bytes().fold(0, |bits, byte| bits.rotate_left(8) ^ u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::item::Item;
    use comet_engine::image::{Fit, Preprocess};
    use image::{Rgb, RgbImage};

    fn feed(root: &std::path::Path) -> TrainingFeed {
        let item = |index: usize| {
            let path = root.join(format!("{index}.png"));
            RgbImage::from_pixel(4, 4, Rgb([index as u8 * 10, 0, 0])).save(&path).unwrap();
            Item { path, mask: None, class: index % 2 }
        };
        let preprocess = Preprocess { width: 4, height: 4, fit: Fit::Crop, mean: [0.0; 3], std: [1.0; 3] };
        let (store, _) = SampleStore::open((0..9).map(item).collect(), preprocess);
        TrainingFeed {
            store: Arc::new(store),
            scenes: None,
            paste: 0.0,
            augmentation: Augmentation::none(),
            sampling: Sampling::Shuffle,
            seed: 1,
            batch: 4,
        }
    }

    #[test]
    fn an_epoch_has_whole_batches_and_a_resumed_one_the_same() {
        let root = tempfile::tempdir().unwrap();
        let feed = feed(root.path());
        let epoch: Vec<Batch> = feed.epoch("detector", 3, 0).unwrap().collect();
        assert_eq!(epoch.iter().map(Batch::len).collect::<Vec<_>>(), [4, 4]);
        let resumed: Vec<Batch> = feed.epoch("detector", 3, 1).unwrap().collect();
        assert_eq!(resumed.len(), 1);
        assert!(resumed[0].pixels == epoch[1].pixels && resumed[0].labels == epoch[1].labels);
    }

    #[test]
    fn the_thread_ends_when_training_stops_early() {
        let root = tempfile::tempdir().unwrap();
        let feed = TrainingFeed { batch: 1, ..feed(root.path()) };
        let mut epoch = feed.epoch("detector", 0, 0).unwrap();
        assert!(epoch.next().is_some());
        drop(epoch);
        assert_eq!(Arc::strong_count(&feed.store), 1, "the thread holds the images no longer");
    }
}
