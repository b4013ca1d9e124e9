//! Numbers about one map.

use serde::Serialize;

use crate::image::Mask;

/// Mean, area and entropy of a map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MaskStatistics {
    /// Mean value, in `[0, 1]`: how much of the picture the predictor is shown.
    pub mean: f32,
    /// Share of pixels with a value of at least 0.5.
    pub area: f32,
    /// Mean binary entropy of the values in bits: 0 for a crisp map, 1 for one that is undecided everywhere.
    pub entropy: f32,
}

impl MaskStatistics {
    /// Measures `mask`. Values that are no numbers make the result NaN, so that they cannot pass unseen.
    pub fn of(mask: &Mask) -> Self {
        let count = mask.values().len().max(1) as f64;
        let mut entropy = 0.0;
        let mut inside = 0usize;
        for &value in mask.values() {
            let p = f64::from(value);
            inside += usize::from(value >= 0.5);
            if p > 0.0 && p < 1.0 {
                entropy -= p * p.log2() + (1.0 - p) * (1.0 - p).log2();
            } else if p.is_nan() {
                entropy = f64::NAN;
            }
        }
        Self { mean: mask.mean(), area: (inside as f64 / count) as f32, entropy: (entropy / count) as f32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crisp_undecided_and_broken_maps() {
        let mask = |values: Vec<f32>| Mask::new(values.len(), 1, values).unwrap();
        let crisp = MaskStatistics::of(&mask(vec![0.0, 1.0, 1.0, 1.0]));
        assert_eq!((crisp.mean, crisp.area, crisp.entropy), (0.75, 0.75, 0.0));
        let undecided = MaskStatistics::of(&mask(vec![0.5; 4]));
        assert_eq!((undecided.area, undecided.entropy), (1.0, 1.0));
        assert!(MaskStatistics::of(&mask(vec![f32::NAN, 0.1])).entropy.is_nan());
    }
}
