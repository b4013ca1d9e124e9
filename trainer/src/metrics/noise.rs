//! Noisy accuracy: images with a tenth of their pixels missing (COMET, section 4.2).

use rand::RngExt;
use rayon::prelude::*;

use crate::data::{Batch, generator};

/// Probability with which a pixel stays.
const KEEP: f64 = 0.9;

/// A copy of `batch` (`[n, 3, height, width]`, normalised) in which every pixel position is kept with
/// probability 0.9 and otherwise set to 0, the normalised mean, in all channels together.
///
/// `first` is the place of the batch's first image in the evaluation: what is dropped depends on `seed` and
/// the image's place alone, not on the size of the batches.
pub fn noisy(batch: &Batch, first: usize, seed: u64) -> Batch {
    let plane = (batch.size.0 * batch.size.1).max(1);
    let mut noisy = batch.clone();
    noisy.pixels.par_chunks_exact_mut(3 * plane).enumerate().for_each(|(index, image)| {
        let mut rng = generator(seed, "noise", 0, first + index);
        let kept: Vec<bool> = (0..plane).map(|_| rng.random_bool(KEEP)).collect();
        for channel in image.chunks_exact_mut(plane) {
            for (value, kept) in channel.iter_mut().zip(&kept) {
                if !kept {
                    *value = 0.0;
                }
            }
        }
    });
    noisy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ones(n: usize) -> Batch {
        Batch { pixels: vec![1.0; n * 3 * 40 * 50], labels: vec![0; n], size: (40, 50) }
    }

    #[test]
    fn a_tenth_is_dropped_in_all_channels_together() {
        let noisy = noisy(&ones(2), 0, 7);
        let planes: Vec<&[f32]> = noisy.pixels.chunks(2000).collect();
        assert_eq!(planes[0], planes[1]);
        assert_eq!(planes[0], planes[2]);
        assert_ne!(planes[0], planes[3]);
        let dropped = planes[0].iter().filter(|&&value| value == 0.0).count();
        assert!((150..250).contains(&dropped), "{dropped}");
    }

    #[test]
    fn what_is_kept_is_not_changed_and_neither_are_labels_and_size() {
        let mut batch = ones(1);
        batch.labels = vec![3];
        let noisy = noisy(&batch, 0, 7);
        assert!(noisy.pixels.iter().all(|&value| value == 0.0 || value == 1.0));
        assert_eq!((noisy.pixels.len(), noisy.labels, noisy.size), (6000, vec![3], (40, 50)));
    }

    #[test]
    fn the_noise_depends_on_the_seed_and_the_place_only() {
        let two = noisy(&ones(2), 4, 7);
        let alone = noisy(&ones(1), 5, 7);
        assert_eq!(two.pixels[6000..], alone.pixels[..]);
        assert_ne!(noisy(&ones(1), 5, 8).pixels, alone.pixels);
    }
}
