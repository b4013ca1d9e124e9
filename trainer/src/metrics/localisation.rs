//! PxAP: how well map values rank the true pixels above the others (Choe et al., CVPR 2020, section 4).

use image::GrayImage;

use super::error::MetricsError;
use super::paired::paired;

/// Thresholds are `i / LEVELS` for `i` from 0 to `LEVELS - 1`.
const LEVELS: usize = 1000;
/// COMET's authors use every 50th of them, without 0: 0.05 to 0.95.
const COARSE: usize = LEVELS / 20;

/// Precision and recall of the pixels at one threshold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Pixels with at least this value are predicted.
    pub threshold: f64,
    /// Share of the predicted pixels that are true, in `[0, 1]`; 1 where nothing is predicted.
    pub precision: f64,
    /// Share of the true pixels that are predicted, in `[0, 1]`.
    pub recall: f64,
}

/// Histograms of the map values at true and at other pixels, pooled over all images.
///
/// A value's bin is the number of thresholds that it reaches: one bin for each of the 1,000 thresholds, and
/// one below them all for values under 0. So counting by bins is exact, not an approximation.
#[derive(Clone, Debug)]
pub struct Localisation {
    positive: Vec<u64>,
    negative: Vec<u64>,
}

impl Default for Localisation {
    fn default() -> Self {
        Self { positive: vec![0; LEVELS + 1], negative: vec![0; LEVELS + 1] }
    }
}

impl Localisation {
    /// Adds an image: its map, row by row, and its true mask of the same size (255 = true). An empty mask
    /// adds negatives only. A value that is not a number is never predicted.
    pub fn add(&mut self, map: &[f32], truth: &GrayImage) -> Result<(), MetricsError> {
        for (value, inside) in paired(map, truth)? {
            let bins = if inside { &mut self.positive } else { &mut self.negative };
            if let Some(count) = bins.get_mut(thresholds_reached(value)) {
                *count += 1;
            }
        }
        Ok(())
    }

    /// Precision and recall at the 1,000 thresholds, from the lowest to the highest; empty if no pixel of
    /// any image is true.
    pub fn curve(&self) -> Vec<CurvePoint> {
        let positives: u64 = self.positive.iter().sum();
        if positives == 0 {
            return Vec::new();
        }
        // The sum from bin i + 1 on counts the values that reach threshold i.
        let (hits, alarms) = (sums_from(&self.positive), sums_from(&self.negative));
        let counts = hits.into_iter().zip(alarms).skip(1).enumerate();
        let points = counts.map(|(level, (hits, alarms))| {
            let predicted = hits + alarms;
            CurvePoint {
                threshold: level as f64 / LEVELS as f64,
                precision: if predicted == 0 { 1.0 } else { hits as f64 / predicted as f64 },
                recall: hits as f64 / positives as f64,
            }
        });
        points.collect()
    }

    /// PxAP in percent at the 19 thresholds 0.05, 0.10 .. 0.95; `None` if no pixel is true.
    pub fn pxap(&self) -> Option<f64> {
        let curve = self.curve();
        area(curve.iter().step_by(COARSE).skip(1).rev())
    }

    /// PxAP in percent at the 1,000 thresholds 0, 0.001 .. 0.999; `None` if no pixel is true.
    pub fn pxap_1000(&self) -> Option<f64> {
        area(self.curve().iter().rev())
    }
}

/// The area in percent below the curve, given from its highest threshold to its lowest: each precision
/// times the recall gained since the threshold above, starting from recall 0.
fn area<'a>(points: impl Iterator<Item = &'a CurvePoint>) -> Option<f64> {
    let mut before = 0.0;
    let steps = points.map(|point| {
        let gained = point.recall - before;
        before = point.recall;
        point.precision * gained
    });
    steps.reduce(|sum, step| sum + step).map(|sum| 100.0 * sum)
}

/// How many of the thresholds `i / LEVELS` are at most `value`: 0 to `LEVELS`.
fn thresholds_reached(value: f32) -> usize {
    let value = f64::from(value);
    let threshold = |level: usize| level as f64 / LEVELS as f64;
    // NaN becomes 0 here and stays there, since it compares as false.
    let guess = ((value * LEVELS as f64).floor() + 1.0).clamp(0.0, LEVELS as f64) as usize;
    // The product is rounded, so that the guess may be off by one right at a threshold.
    if guess < LEVELS && threshold(guess) <= value {
        guess + 1
    } else if guess > 0 && threshold(guess - 1) > value {
        guess - 1
    } else {
        guess
    }
}

/// For each bin, the sum of it and all above it.
fn sums_from(bins: &[u64]) -> Vec<u64> {
    let mut total = 0;
    let mut sums: Vec<u64> = bins
        .iter()
        .rev()
        .map(|count| {
            total += count;
            total
        })
        .collect();
    sums.reverse();
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Luma;

    fn truth(marks: &[u8]) -> GrayImage {
        let mut image = GrayImage::new(marks.len() as u32, 1);
        for (pixel, &mark) in image.pixels_mut().zip(marks) {
            *pixel = Luma([mark * 255]);
        }
        image
    }

    #[test]
    fn every_value_reaches_the_thresholds_that_are_not_above_it() {
        let mut values = vec![-1.0, -0.0, 0.0, 0.9, 0.05, 0.95, 0.999, 1.0, 7.0, f32::MIN_POSITIVE];
        values.extend((0..=LEVELS).map(|level| level as f32 / LEVELS as f32));
        values.extend((0..997).map(|step| step as f32 / 997.0));
        for value in values {
            let above = |level: &usize| *level as f64 / LEVELS as f64 > f64::from(value);
            let expected = (0..LEVELS).find(above).unwrap_or(LEVELS);
            assert_eq!(thresholds_reached(value), expected, "{value}");
        }
        assert_eq!(thresholds_reached(f32::NAN), 0);
        assert_eq!(thresholds_reached(f32::INFINITY), LEVELS);
        assert_eq!(thresholds_reached(f32::NEG_INFINITY), 0);
    }

    #[test]
    fn a_map_equal_to_the_mask_is_perfect_and_its_complement_is_not() {
        let truth = truth(&[1, 1, 0, 0]);
        let mut right = Localisation::default();
        right.add(&[1.0, 1.0, 0.0, 0.0], &truth).unwrap();
        assert_eq!((right.pxap(), right.pxap_1000()), (Some(100.0), Some(100.0)));
        let mut wrong = Localisation::default();
        wrong.add(&[0.0, 0.0, 1.0, 1.0], &truth).unwrap();
        // Only threshold 0 finds the true pixels, and everything else with them.
        assert_eq!((wrong.pxap(), wrong.pxap_1000()), (Some(0.0), Some(50.0)));
    }

    #[test]
    fn the_coarse_thresholds_are_nineteen() {
        let mut histograms = Localisation::default();
        histograms.add(&[0.5], &truth(&[1])).unwrap();
        let curve = histograms.curve();
        let coarse: Vec<f64> = curve.iter().step_by(COARSE).skip(1).map(|point| point.threshold).collect();
        let expected: Vec<f64> = (1..20).map(|step| f64::from(step) / 20.0).collect();
        assert_eq!((curve.len(), coarse), (LEVELS, expected));
    }

    #[test]
    fn without_true_pixels_there_is_no_value() {
        let mut empty = Localisation::default();
        assert_eq!(empty.pxap(), None);
        empty.add(&[0.3, 0.4], &truth(&[0, 0])).unwrap();
        assert_eq!((empty.pxap(), empty.pxap_1000()), (None, None));
    }

    #[test]
    fn another_size_is_an_error() {
        let error = Localisation::default().add(&[0.5; 3], &truth(&[1, 0])).unwrap_err();
        assert!(matches!(error, MetricsError::SizeMismatch { map: 3, truth: 2 }), "{error}");
    }

    #[test]
    fn the_curve_holds_precision_and_recall_at_each_threshold() {
        let mut histograms = Localisation::default();
        histograms.add(&[0.8, 0.4, 0.6, 0.2], &truth(&[1, 1, 0, 0])).unwrap();
        let curve = histograms.curve();
        let at = |level: usize| (curve[level].precision, curve[level].recall);
        assert_eq!(curve[300].threshold, 0.3);
        assert_eq!(at(0), (0.5, 1.0));
        assert_eq!(at(300), (2.0 / 3.0, 1.0));
        assert_eq!(at(500), (0.5, 0.5));
        assert_eq!(at(700), (1.0, 0.5));
        assert_eq!(at(900), (1.0, 0.0), "nothing is predicted");
        // Going down: half of the recall at precision 1, the other half at 2/3.
        let expected = 100.0 * (0.5 + 0.5 * 2.0 / 3.0);
        assert!((histograms.pxap().unwrap() - expected).abs() < 1e-9);
        assert!((histograms.pxap_1000().unwrap() - expected).abs() < 1e-9);
    }

    #[test]
    fn pixels_are_pooled_over_images_and_not_a_number_is_never_predicted() {
        let mut histograms = Localisation::default();
        histograms.add(&[1.0, f32::NAN], &truth(&[1, 1])).unwrap();
        histograms.add(&[0.0, 0.0], &truth(&[0, 0])).unwrap();
        let curve = histograms.curve();
        assert_eq!((curve[0].precision, curve[0].recall), (1.0 / 3.0, 0.5));
        assert_eq!((curve[1].precision, curve[999].recall), (1.0, 0.5));
    }

    #[test]
    fn sums_are_taken_from_the_end() {
        assert_eq!(sums_from(&[1, 0, 2, 4]), [7, 6, 6, 4]);
        assert_eq!(sums_from(&[]), [0; 0]);
    }
}
