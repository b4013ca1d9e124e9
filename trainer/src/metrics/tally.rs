//! Counting towards ratios and means.

/// How many of `n` images were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ratio {
    /// Images that were right.
    pub right: usize,
    /// Images looked at.
    pub n: usize,
}

impl Ratio {
    /// Counts one image.
    pub fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.n += 1;
    }

    /// The ratio in percent; `None` if nothing was counted.
    pub fn percent(self) -> Option<f64> {
        (self.n > 0).then(|| 100.0 * self.right as f64 / self.n as f64)
    }
}

/// A running mean.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Mean {
    sum: f64,
    n: u64,
}

impl Mean {
    /// Adds one value.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.n += 1;
    }

    /// The mean times 100; `None` if nothing was added.
    pub fn percent(self) -> Option<f64> {
        (self.n > 0).then(|| 100.0 * self.sum / self.n as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_counted_has_no_ratio() {
        assert_eq!(Ratio::default().percent(), None);
        assert_eq!(Mean::default().percent(), None);
    }

    #[test]
    fn ratios_and_means_are_in_percent() {
        let mut ratio = Ratio::default();
        let mut mean = Mean::default();
        for value in [0.25, 0.5, 0.0, 0.25] {
            ratio.add(value > 0.0);
            mean.add(value);
        }
        assert_eq!(ratio, Ratio { right: 3, n: 4 });
        assert_eq!((ratio.percent(), mean.percent()), (Some(75.0), Some(25.0)));
    }

    #[test]
    fn one_image_is_enough_for_a_value_and_nothing_right_is_zero() {
        let mut ratio = Ratio::default();
        ratio.add(false);
        assert_eq!(ratio.percent(), Some(0.0));
        let mut mean = Mean::default();
        mean.add(-0.5);
        assert_eq!(mean.percent(), Some(-50.0));
    }
}
