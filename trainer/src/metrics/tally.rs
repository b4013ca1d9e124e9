//! Counting towards shares and means.

/// How many of `n` pictures were right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Pictures that were right.
    pub right: usize,
    /// Pictures looked at.
    pub n: usize,
}

impl Share {
    /// Counts one picture.
    pub fn add(&mut self, right: bool) {
        self.right += usize::from(right);
        self.n += 1;
    }

    /// The share in percent; `None` if nothing was counted.
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
    fn nothing_counted_has_no_share() {
        assert_eq!(Share::default().percent(), None);
        assert_eq!(Mean::default().percent(), None);
    }

    #[test]
    fn shares_and_means_are_in_percent() {
        let mut share = Share::default();
        let mut mean = Mean::default();
        for value in [0.25, 0.5, 0.0, 0.25] {
            share.add(value > 0.0);
            mean.add(value);
        }
        assert_eq!((share.percent(), mean.percent()), (Some(75.0), Some(25.0)));
    }
}
