//! From observed values to a scale and a zero point.

use serde::{Deserialize, Serialize};

/// How the range of a value is chosen from what was observed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Everything that was seen.
    MinMax,
    /// All but the outermost 0.01 % on each side.
    Percentile,
    /// The range with the smallest mean squared error, clipping included.
    #[default]
    Mse,
}

impl std::str::FromStr for Method {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "minmax" => Ok(Self::MinMax),
            "percentile" => Ok(Self::Percentile),
            "mse" => Ok(Self::Mse),
            _ => Err(format!("unknown method '{name}'; there are minmax, percentile and mse")),
        }
    }
}

/// Share that [`Method::Percentile`] cuts off on each side.
const CUT: f64 = 1e-4;
/// Ranges that [`Method::Mse`] tries on each side.
const TRIALS: usize = 40;
/// Smallest width of a range: a value that never changes still needs a scale above zero.
const SMALLEST: f32 = 1e-6;

/// An unsigned 8-bit range: `real = scale * (stored - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantRange {
    /// Real distance of two neighbouring steps.
    pub scale: f32,
    /// The step that means 0.
    pub zero_point: u8,
}

impl QuantRange {
    /// The range from `low` to `high`, widened to hold 0 exactly: padding is 0.
    pub fn covering(low: f32, high: f32) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = (high - low).max(SMALLEST) / 255.0;
        let zero_point = (-low / scale).round_ties_even().clamp(0.0, 255.0) as u8;
        Self { scale, zero_point }
    }

    /// What `value` becomes.
    pub fn round_trip(&self, value: f32) -> f32 {
        let zero = f32::from(self.zero_point);
        let step = ((value / self.scale).round_ties_even() + zero).clamp(0.0, 255.0);
        (step - zero) * self.scale
    }
}

/// Counts of observed values in equal bins.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    /// Smallest value.
    low: f32,
    /// Largest value.
    high: f32,
    /// Values in each bin.
    counts: Vec<u64>,
}

impl Histogram {
    /// Empty, for values from `low` to `high`.
    pub(super) fn new(low: f32, high: f32, bins: usize) -> Self {
        Self { low, high, counts: vec![0; bins] }
    }

    /// Counts `values`.
    pub(super) fn add(&mut self, values: &[f32]) {
        let width = self.high - self.low;
        let last = self.counts.len().saturating_sub(1);
        for value in values {
            let bin = ((value - self.low) / width * self.counts.len() as f32) as usize;
            if let Some(count) = self.counts.get_mut(bin.min(last)) {
                *count += 1;
            }
        }
    }

    /// Middle of a bin.
    fn centre(&self, bin: usize) -> f32 {
        self.low + (self.high - self.low) * (bin as f32 + 0.5) / self.counts.len() as f32
    }

    /// The range by `method`.
    pub(super) fn range(&self, method: Method) -> QuantRange {
        match method {
            Method::MinMax => QuantRange::covering(self.low, self.high),
            Method::Percentile => self.percentile(),
            Method::Mse => self.smallest_error(),
        }
    }

    fn percentile(&self) -> QuantRange {
        let total: u64 = self.counts.iter().sum();
        let cut = (total as f64 * CUT) as u64;
        let (mut below, mut above) = (0, 0);
        let bins = || self.counts.iter().enumerate();
        let passes = |seen: &mut u64, count: u64| {
            *seen += count;
            *seen > cut
        };
        let low = bins().find(|(_, count)| passes(&mut below, **count));
        let high = bins().rev().find(|(_, count)| passes(&mut above, **count));
        let low = low.map_or(self.low, |(bin, _)| self.centre(bin));
        let high = high.map_or(self.high, |(bin, _)| self.centre(bin));
        QuantRange::covering(low, high)
    }

    /// Shrinks the longer side, then the shorter one; each to where the error is smallest.
    fn smallest_error(&self) -> QuantRange {
        let (mut low, mut high) = (self.low.min(0.0), self.high.max(0.0));
        let sides = if high >= -low { [true, false] } else { [false, true] };
        for upper in sides {
            let candidates = (0..TRIALS).map(|trial| 1.0 - 0.8 * trial as f32 / TRIALS as f32);
            let shrunk = |factor: f32| {
                if upper { (low, high * factor) } else { (low * factor, high) }
            };
            let best = candidates.map(shrunk).min_by(|&a, &b| {
                self.error(QuantRange::covering(a.0, a.1))
                    .total_cmp(&self.error(QuantRange::covering(b.0, b.1)))
            });
            (low, high) = best.unwrap_or((low, high));
        }
        QuantRange::covering(low, high)
    }

    /// Sum of squared errors over the observed values.
    fn error(&self, range: QuantRange) -> f64 {
        let bins = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        bins.map(|(bin, &count)| {
            let centre = self.centre(bin);
            f64::from(range.round_trip(centre) - centre).powi(2) * count as f64
        })
        .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_always_exact() {
        for (low, high) in [(-1.3, 2.7), (0.5, 3.0), (-4.0, -1.0), (0.0, 0.0)] {
            let range = QuantRange::covering(low, high);
            assert_eq!(range.round_trip(0.0), 0.0, "{low} {high}");
            assert!(range.scale > 0.0);
        }
        assert_eq!(QuantRange::covering(0.0, 255.0), QuantRange { scale: 1.0, zero_point: 0 });
    }

    #[test]
    fn an_outlier_is_kept_by_minmax_and_clipped_by_the_others() {
        let mut histogram = Histogram::new(0.0, 100.0, 2048);
        let many: Vec<f32> = (0..100_000).map(|index| (index % 100) as f32 / 100.0).collect();
        histogram.add(&many);
        histogram.add(&[100.0]);
        assert!(histogram.range(Method::MinMax).scale > 0.39);
        assert!(histogram.range(Method::Percentile).scale < 0.01);
        assert!(histogram.range(Method::Mse).scale < 0.39);
    }
}
