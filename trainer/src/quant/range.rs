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

/// A name that is not one of a [`Method`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown method '{0}'; there are minmax, percentile and mse")]
pub struct MethodError(String);

impl std::str::FromStr for Method {
    type Err = MethodError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "minmax" => Ok(Self::MinMax),
            "percentile" => Ok(Self::Percentile),
            "mse" => Ok(Self::Mse),
            _ => Err(MethodError(name.to_owned())),
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
        assert_eq!(QuantRange::covering(-255.0, -3.0), QuantRange { scale: 1.0, zero_point: 255 });
        assert_eq!(QuantRange::covering(3.0, 255.0), QuantRange { scale: 1.0, zero_point: 0 });
        assert_eq!(QuantRange::covering(-55.0, 200.0), QuantRange { scale: 1.0, zero_point: 55 });
        assert_eq!(QuantRange::covering(0.0, 0.0).scale, SMALLEST / 255.0);
    }

    #[test]
    fn values_are_rounded_to_even_steps_and_clipped_at_both_ends() {
        let range = QuantRange { scale: 0.5, zero_point: 10 };
        let pairs =
            [(0.2, 0.0), (0.3, 0.5), (0.25, 0.0), (0.75, 1.0), (-1.1, -1.0), (-9.0, -5.0), (999.0, 122.5)];
        for (value, expected) in pairs {
            assert_eq!(range.round_trip(value), expected, "{value}");
        }
    }

    #[test]
    fn methods_are_known_by_their_names() {
        for (name, method) in
            [("minmax", Method::MinMax), ("percentile", Method::Percentile), ("mse", Method::Mse)]
        {
            assert_eq!(name.parse::<Method>(), Ok(method));
        }
        let refused = "MSE".parse::<Method>().unwrap_err().to_string();
        assert_eq!(refused, "unknown method 'MSE'; there are minmax, percentile and mse");
    }

    #[test]
    fn the_highest_value_belongs_to_the_last_bin() {
        let mut histogram = Histogram::new(-2.0, 2.0, 4);
        histogram.add(&[-2.0, -1.1, -1.0, 0.0, 0.9, 1.0, 1.9, 2.0]);
        assert_eq!(histogram.counts, [2, 1, 2, 3]);
        assert_eq!((histogram.centre(0), histogram.centre(3)), (-1.5, 1.5));
        histogram.add(&[1.5]);
        assert_eq!(histogram.counts, [2, 1, 2, 4], "counts are added up");
    }

    /// 20,000 values between -1 and 1, and so many at -10 and at 10.
    fn with_outliers(below: u64, above: u64) -> Histogram {
        let mut histogram = Histogram::new(-10.0, 10.0, 2000);
        histogram.counts[900..1100].fill(100);
        histogram.counts[0] = below;
        histogram.counts[1999] = above;
        histogram
    }

    #[test]
    fn a_percentile_cuts_a_ten_thousandth_on_each_side_and_no_more() {
        let width = |below, above| with_outliers(below, above).range(Method::Percentile).scale * 255.0;
        for (below, above, expected) in
            [(0, 0, 1.99), (2, 2, 1.99), (2, 3, 10.99), (3, 2, 10.99), (3, 3, 19.99)]
        {
            assert!(
                (width(below, above) - expected).abs() < 1e-3,
                "{below}, {above}: {}",
                width(below, above)
            );
        }
    }

    #[test]
    fn the_error_is_the_squared_distance_of_all_values_from_their_steps() {
        let histogram = Histogram { low: 0.0, high: 2.0, counts: vec![1, 0, 3] };
        let error = histogram.error(QuantRange { scale: 1.0, zero_point: 0 });
        assert!((error - (1.0 + 3.0) / 9.0).abs() < 1e-6, "{error}");
        let clipped = histogram.error(QuantRange { scale: 1.0, zero_point: 255 });
        assert!((clipped - (1.0 + 3.0 * 25.0) / 9.0).abs() < 1e-5, "{clipped}");
    }

    #[test]
    fn the_smallest_error_keeps_values_that_are_spread_evenly_and_clips_few_far_ones_on_either_side() {
        let mut even = Histogram::new(0.0, 1.0, 2048);
        even.add(&(0..10_000).map(|step| step as f32 / 9_999.0).collect::<Vec<f32>>());
        assert_eq!(even.range(Method::Mse), QuantRange::covering(0.0, 1.0));
        for (low, high) in [(0, 1), (1, 0)] {
            let histogram = with_outliers(low, high);
            let (found, all) = (histogram.range(Method::Mse), histogram.range(Method::MinMax));
            assert!(histogram.error(found) < histogram.error(all), "{low}, {high}");
            assert!(found.scale < all.scale, "{low}, {high}");
        }
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
