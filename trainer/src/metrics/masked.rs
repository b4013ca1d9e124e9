//! Images as the predictor is shown them.

use rayon::prelude::*;

use crate::data::Batch;

/// A copy of `batch` whose pixels are multiplied, in all channels, by what `weight` makes of the map's value there:
/// `weight(S(x)) * x`. Images are normalised, so that a weight of 0 leaves the mean. `maps` is `[n, height, width]`.
pub(super) fn masked(batch: &Batch, maps: &[f32], weight: impl Fn(f32) -> f32 + Sync) -> Batch {
    let plane = plane(batch);
    let mut masked = batch.clone();
    let images = masked.pixels.par_chunks_exact_mut(3 * plane);
    images.zip(maps.par_chunks_exact(plane)).for_each(|(image, map)| {
        for channel in image.chunks_exact_mut(plane) {
            for (value, &level) in channel.iter_mut().zip(map) {
                *value *= weight(level);
            }
        }
    });
    masked
}

/// Pixels of an image; at least 1, so that a batch can be cut by it.
pub(super) fn plane(batch: &Batch) -> usize {
    (batch.size.0 * batch.size.1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_weighted_by_its_own_map_in_all_channels() {
        let pixels = (0..12).map(|index| 1.0 + index as f32).collect();
        let batch = Batch { pixels, labels: vec![0, 1], size: (1, 2) };
        let weighted = masked(&batch, &[0.5, 0.0, 1.0, 0.25], |level| 1.0 - level);
        let expected = [0.5, 2.0, 1.5, 4.0, 2.5, 6.0, 0.0, 6.0, 0.0, 7.5, 0.0, 9.0];
        assert_eq!(weighted.pixels, expected);
        assert_eq!((weighted.labels, weighted.size), (vec![0, 1], (1, 2)));
    }

    #[test]
    fn an_image_has_its_rows_times_its_columns_and_never_nothing() {
        assert_eq!(plane(&Batch { size: (3, 4), ..Batch::default() }), 12);
        assert_eq!(plane(&Batch::default()), 1);
    }
}
