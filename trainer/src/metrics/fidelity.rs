//! Fidelity: does the predictor lose the class when the pixels with the highest map values are taken away?
//! (COMET, section 4.2.)

use rayon::prelude::*;

use super::masked::{masked, plane};
use crate::data::Batch;

/// Shares of the pixels that are taken away, in percent.
pub(super) const LEVELS: [usize; 3] = [5, 10, 20];
/// The largest of [`LEVELS`].
const MOST: usize = 20;

/// How many of `pixels` pixels `percent` percent are: rounded up, which is what a cut at the map's
/// interpolated quantile takes away from a map without equal values.
pub fn dropped_pixels(pixels: usize, percent: usize) -> usize {
    pixels.saturating_mul(percent.min(100)).div_ceil(100)
}

/// Masked images from which the most important pixels can be taken away.
pub struct Deletion {
    /// `S(x) * x`.
    masked: Batch,
    /// For each image, its pixel positions in falling order of the map.
    order: Vec<Vec<usize>>,
}

impl Deletion {
    /// Masks the normalised images of `batch` with their maps `[n, height, width]`, flat, and ranks the
    /// pixels. Equal map values are ranked by position, row by row, so the number taken away is always the same.
    pub fn new(batch: &Batch, maps: &[f32]) -> Self {
        let plane = plane(batch);
        let most = dropped_pixels(plane, MOST);
        let order = maps.par_chunks_exact(plane).map(|map| highest(map, most)).collect();
        Self { masked: masked(batch, maps, |value| value), order }
    }

    /// The masked images with exactly [`dropped_pixels`] of their pixels set to 0, the normalised mean, in
    /// all channels: those with the highest map values. At most 20 %. The map is not computed anew.
    pub fn without(&self, percent: usize) -> Batch {
        let plane = plane(&self.masked);
        let count = dropped_pixels(plane, percent);
        let mut batch = self.masked.clone();
        let images = batch.pixels.chunks_exact_mut(3 * plane);
        for (image, order) in images.zip(&self.order) {
            for channel in image.chunks_exact_mut(plane) {
                for &position in order.iter().take(count) {
                    if let Some(value) = channel.get_mut(position) {
                        *value = 0.0;
                    }
                }
            }
        }
        batch
    }
}

/// Positions of the `count` highest values: the highest first, equal ones by position.
fn highest(map: &[f32], count: usize) -> Vec<usize> {
    let value = |position: &usize| map.get(*position).copied().unwrap_or(0.0);
    let before = |a: &usize, b: &usize| value(b).total_cmp(&value(a)).then(a.cmp(b));
    let mut positions: Vec<usize> = (0..map.len()).collect();
    // Only the head needs to be in order; a whole sort would be most of the time spent here.
    if count < positions.len() {
        positions.select_nth_unstable_by(count, before);
        positions.truncate(count);
    }
    positions.sort_unstable_by(before);
    positions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_rounded_up() {
        let counts = LEVELS.map(|percent| dropped_pixels(64 * 64, percent));
        assert_eq!(counts, [205, 410, 820]);
        assert_eq!(LEVELS.map(|percent| dropped_pixels(10, percent)), [1, 1, 2]);
        assert_eq!(LEVELS.into_iter().max(), Some(MOST));
    }

    #[test]
    fn no_more_than_everything_and_no_less_than_nothing_is_dropped() {
        assert_eq!([0, 1, 99, 100, 250].map(|percent| dropped_pixels(200, percent)), [0, 2, 198, 200, 200]);
        assert_eq!((dropped_pixels(0, 20), dropped_pixels(1, 1)), (0, 1));
    }

    #[test]
    fn the_highest_come_first_and_equals_by_position() {
        assert_eq!(highest(&[0.1, 0.9, 0.9, 1.0, 0.2], 3), [3, 1, 2]);
        assert_eq!(highest(&[1.0; 6], 2), [0, 1]);
        assert_eq!(highest(&[0.3, 0.4], 9), [1, 0]);
        assert_eq!(highest(&[0.3, 0.4, 0.5], 3), [2, 1, 0], "as many as there are");
        assert_eq!(highest(&[0.3, 0.4], 0), [0; 0]);
    }

    #[test]
    fn pixels_are_masked_and_the_most_important_ones_are_gone_in_all_channels() {
        let batch = Batch { pixels: vec![2.0; 2 * 3 * 10], labels: vec![0, 1], size: (2, 5) };
        let rising: Vec<f32> = (0..10).map(|step| step as f32 / 10.0).collect();
        let falling: Vec<f32> = rising.iter().rev().copied().collect();
        let deletion = Deletion::new(&batch, &[rising.clone(), falling].concat());
        let dropped = deletion.without(20);
        for (index, channel) in dropped.pixels.chunks(10).enumerate() {
            let gone = if index < 3 { [8, 9] } else { [0, 1] };
            for (position, &value) in channel.iter().enumerate() {
                let weight = if index < 3 { rising[position] } else { rising[9 - position] };
                let expected = if gone.contains(&position) { 0.0 } else { 2.0 * weight };
                assert_eq!(value, expected, "{index}: {position}");
            }
        }
        let changed = deletion.without(5).pixels.iter().filter(|&&value| value > 1.7).count();
        assert_eq!(changed, 0);
        let untouched = deletion.without(0).pixels;
        assert_eq!(untouched[..10], rising.iter().map(|weight| 2.0 * weight).collect::<Vec<f32>>());
        let one_more = deletion.without(15).pixels;
        assert_eq!((one_more[8], one_more[9], one_more[7]), (0.0, 0.0, 1.4), "1.5 pixels are rounded up");
    }
}
