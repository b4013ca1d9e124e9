//! Numbers about one map.

use std::sync::LazyLock;

use serde::Serialize;

use crate::image::Mask;

/// Width of the border, as a share of each side.
const BORDER: f32 = 0.05;
/// Cells of the entropy's table: its error is below 0.0018 bits, and a logarithm a pixel costs more than a layer.
const CELLS: usize = 4096;

/// Four numbers about a map.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MaskStatistics {
    /// Mean value, in `[0, 1]`: how much of the image the predictor is shown.
    pub mean: f32,
    /// Share of pixels with a value of at least 0.5.
    pub area: f32,
    /// Mean binary entropy of the values in bits: 0 for a crisp map, 1 for one that is undecided everywhere.
    pub entropy: f32,
    /// Share of the map's sum that lies in the outer twentieth of each side; 0 for an empty map. A map of even
    /// values has 0.19: much more says that the selector looks at the frame of the image.
    pub border: f32,
}

impl MaskStatistics {
    /// Measures `mask`. Values that are NaN make the result NaN, so that they cannot pass unnoticed.
    pub fn of(mask: &Mask) -> Self {
        let count = mask.values().len().max(1) as f64;
        let (mut sum, mut entropy, mut inside) = (0.0f64, 0.0f64, 0usize);
        for row in mask.values().chunks(mask.width().max(1)) {
            // Sums of a row in f32 are exact enough, and run in vector registers.
            let (mut row_sum, mut row_entropy) = (0.0f32, 0.0f32);
            for &value in row {
                row_sum += value;
                row_entropy += binary_entropy(value);
                inside += usize::from(value >= 0.5);
            }
            sum += f64::from(row_sum);
            entropy += f64::from(row_entropy);
        }
        Self {
            mean: (sum / count) as f32,
            area: (inside as f64 / count) as f32,
            entropy: (entropy / count) as f32,
            border: border_share(mask, sum),
        }
    }
}

/// Binary entropy in bits, from a table; 0 outside of `[0, 1]`, NaN for NaN.
fn binary_entropy(value: f32) -> f32 {
    static TABLE: LazyLock<Vec<f32>> = LazyLock::new(|| {
        let entropy = |cell: usize| {
            let p = cell as f64 / CELLS as f64;
            let part = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
            (part(p) + part(1.0 - p)) as f32
        };
        (0..=CELLS).map(entropy).collect()
    });
    if value.is_nan() {
        return f32::NAN;
    }
    // Negative values land on the first cell; what is too large lands outside of the table.
    TABLE.get((value * CELLS as f32 + 0.5) as usize).copied().unwrap_or(0.0)
}

fn border_share(mask: &Mask, sum: f64) -> f32 {
    let (width, height) = (mask.width(), mask.height());
    let margin = |side: usize| (side as f32 * BORDER).ceil() as usize;
    let (across, down) = (margin(width), margin(height));
    let mut inner = 0.0f64;
    for row in mask.values().chunks(width.max(1)).take(height.saturating_sub(down)).skip(down) {
        let middle = row.get(across..width.saturating_sub(across)).unwrap_or_default();
        inner += f64::from(middle.iter().sum::<f32>());
    }
    // A sum that is NaN stays NaN.
    if sum == 0.0 { 0.0 } else { ((sum - inner) / sum).clamp(0.0, 1.0) as f32 }
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
        let broken = MaskStatistics::of(&mask(vec![f32::NAN, 0.1]));
        assert!(broken.entropy.is_nan() && broken.mean.is_nan() && broken.border.is_nan());
    }

    #[test]
    fn the_entropy_of_the_table_is_that_of_the_formula() {
        for step in 0..=10_000u32 {
            let p = f64::from(step) / 10_000.0;
            let part = |p: f64| if p > 0.0 { -p * p.log2() } else { 0.0 };
            let exact = part(p) + part(1.0 - p);
            assert!((f64::from(binary_entropy(p as f32)) - exact).abs() < 1.8e-3, "{p}");
        }
    }

    #[test]
    fn a_map_that_clings_to_the_frame_is_seen() {
        let frame = |inside: f32, outside: f32| {
            let value = |x: usize, y: usize| match (1..19).contains(&x) && (1..19).contains(&y) {
                true => inside,
                false => outside,
            };
            let values = (0..400).map(|i| value(i % 20, i / 20)).collect();
            MaskStatistics::of(&Mask::new(20, 20, values).unwrap()).border
        };
        assert_eq!((frame(0.0, 1.0), frame(1.0, 0.0), frame(0.0, 0.0)), (1.0, 0.0, 0.0));
        assert!((frame(0.5, 0.5) - 0.19).abs() < 1e-3);
    }
}
