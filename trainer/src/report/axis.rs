//! Axes of a plot: from values to places, and the round numbers to label.

/// Labelled steps that an axis has at most, roughly.
const STEPS: f64 = 5.0;

/// Maps the values `low..=high` to the places `from..=to` in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    step: f64,
}

impl Axis {
    /// An axis that holds all finite `values`, widened to round numbers; 0 to 1 without any.
    pub(super) fn around(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        let mut whole = true;
        // Beyond this a difference of two values is no longer finite or means nothing in an image.
        for value in values.filter(|value| value.abs() < 1e100) {
            (low, high) = (low.min(value), high.max(value));
            whole &= value.fract() == 0.0;
        }
        if low > high {
            return Self::fixed(0.0, 1.0, from, to);
        }
        if high - low < 1e-9 * high.abs().max(1e-9) {
            let margin = if whole { 1.0 } else { 0.1 * high.abs().max(1e-6) };
            (low, high) = (low - margin, high + margin);
        }
        let step = round_step((high - low) / STEPS);
        // Half an epoch is nothing to label.
        let step = if whole { step.max(1.0) } else { step };
        let (low, high) = ((low / step).floor() * step, (high / step).ceil() * step);
        Self { low, high, from, to, step }
    }

    /// An axis over exactly `low..=high`; 0 to 1 if that is not a range.
    pub(super) fn fixed(low: f64, high: f64, from: f64, to: f64) -> Self {
        let is_range = low < high && (high - low).is_finite();
        let (low, high) = if is_range { (low, high) } else { (0.0, 1.0) };
        Self { low, high, from, to, step: round_step((high - low) / STEPS) }
    }

    /// The place of `value`; values beyond the ends are put at the ends.
    pub(super) fn place(&self, value: f64) -> f64 {
        let share = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    /// Places and labels of the round values.
    pub(super) fn ticks(&self) -> Vec<(f64, String)> {
        let first = (self.low / self.step - 1e-6).ceil();
        let count = ((self.high / self.step + 1e-6).floor() - first).clamp(0.0, 20.0) as usize;
        let values = (0..=count).map(|index| (first + index as f64) * self.step);
        values.map(|value| (self.place(value), self.label(value))).collect()
    }

    fn label(&self, value: f64) -> String {
        if self.step >= 1e6 || self.step < 1e-4 {
            return if value == 0.0 { "0".to_owned() } else { format!("{value:.1e}") };
        }
        let decimals = (-self.step.log10().floor()).max(0.0) as usize;
        // Adding 0 turns -0 into 0.
        format!("{:.decimals$}", value + 0.0)
    }
}

/// The smallest of 1, 2, 5, 10 times a power of ten that is at least `step`.
fn round_step(step: f64) -> f64 {
    if !(step.is_finite() && step > 0.0) {
        return 1.0;
    }
    let power = 10f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 5.0];
    let factor = factors.into_iter().find(|factor| factor * power >= step * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, label)| label).collect()
    }

    #[test]
    fn ticks_are_round_and_hold_the_values() {
        let axis = Axis::around([0.13, 2.9].into_iter(), 100.0, 0.0);
        assert_eq!(labels(axis), ["0", "1", "2", "3"]);
        assert_eq!((axis.place(0.0), axis.place(3.0)), (100.0, 0.0));
        assert_eq!(labels(Axis::fixed(0.0, 100.0, 0.0, 1.0)), ["0", "20", "40", "60", "80", "100"]);
        let axis = Axis::around([0.12, 0.31].into_iter(), 0.0, 1.0);
        assert_eq!(labels(axis), ["0.10", "0.15", "0.20", "0.25", "0.30", "0.35"]);
    }

    #[test]
    fn epochs_have_whole_numbers() {
        assert_eq!(labels(Axis::around([1.0, 2.0].into_iter(), 0.0, 1.0)), ["1", "2"]);
        assert_eq!(labels(Axis::around([3.0].into_iter(), 0.0, 1.0)), ["2", "3", "4"]);
    }

    #[test]
    fn odd_values_give_an_axis_all_the_same() {
        for values in
            [vec![], vec![f64::NAN], vec![f64::INFINITY, 1.5], vec![-1e99, 1e99], vec![1e-30, 2e-30]]
        {
            let axis = Axis::around(values.iter().copied(), 0.0, 10.0);
            assert!(!axis.ticks().is_empty(), "{values:?}");
            for (place, _) in axis.ticks() {
                assert!((-0.1..=10.1).contains(&place), "{values:?}: {place}");
            }
        }
    }
}
