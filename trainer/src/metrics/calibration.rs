//! Whether probabilities mean what they say, and the temperature that brings them closer to it.
//!
//! Guo, Pleiss, Sun, Weinberger: "On Calibration of Modern Neural Networks", ICML 2017. Probabilities are
//! `softmax(logits / T)`; the one number `T` is fitted on images that the networks did not learn from. It changes no
//! class: the order of the logits stays.

use serde::{Deserialize, Serialize};

use super::classification::top_class;

/// Bins of the expected calibration error, all of the same width.
const BINS: usize = 15;
/// Ends of the search, in `ln T`: `T` from 0.05 to 20.
const SEARCHED: (f64, f64) = (-3.0, 3.0);
/// Steps of the search. Each leaves 0.618 of the interval: of its 6 no more than 1e-8 is left.
const STEPS: usize = 42;
/// `T` is written with so many decimals, which are the same on every processor.
const DECIMALS: f64 = 1e4;

/// Logits of images whose class is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelledLogits {
    classes: usize,
    /// `[n, classes]`, flat.
    values: Vec<f32>,
    labels: Vec<usize>,
}

impl LabelledLogits {
    /// None yet, of a model with so many classes.
    pub fn new(classes: usize) -> Self {
        Self { classes, ..Self::default() }
    }

    /// Adds an image of class `label`. One whose logits are not as many finite numbers as there are classes, or whose
    /// class the model does not know, has no probability to be right or wrong, and is left out.
    pub fn add(&mut self, logits: &[f32], label: usize) {
        if logits.len() == self.classes && label < self.classes && top_class(logits).is_some() {
            self.values.extend_from_slice(logits);
            self.labels.push(label);
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    fn rows(&self) -> impl Iterator<Item = (&[f32], usize)> {
        self.values.chunks_exact(self.classes.max(1)).zip(self.labels.iter().copied())
    }

    /// Whether an image has a larger logit than that of its class.
    fn has_a_wrong_one(&self) -> bool {
        self.rows().any(|(row, label)| row.get(label).is_some_and(|own| row.iter().any(|other| other > own)))
    }

    /// Mean negative log-likelihood of the true classes at temperature `t`, in nats; 0 without images.
    fn nll(&self, t: f64) -> f64 {
        let sum: f64 = self.rows().map(|(row, label)| Powers::new(row, t).nll(row, label)).sum();
        sum / self.len().max(1) as f64
    }
}

/// A row of logits at a temperature, shifted by the largest so that no power overflows.
struct Powers {
    top: f64,
    t: f64,
    /// Sum of the powers; the largest is 1.
    sum: f64,
}

impl Powers {
    fn new(row: &[f32], t: f64) -> Self {
        let top = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum = row.iter().map(|&logit| ((f64::from(logit) - top) / t).exp()).sum();
        Self { top, t, sum }
    }

    fn nll(&self, row: &[f32], label: usize) -> f64 {
        let own = row.get(label).map_or(f64::NAN, |&logit| f64::from(logit));
        self.sum.ln() - (own - self.top) / self.t
    }

    /// Probability of the likeliest class.
    fn confidence(&self) -> f64 {
        1.0 / self.sum
    }
}

/// The temperature with the smallest negative log-likelihood, in 0.05 to 20, rounded to four decimals.
///
/// `None` if no image is named wrong (or there is none): the likelihood then grows without end as `T` falls to 0, which
/// says that there are too few images, and not that the probabilities should all be 1.
///
/// The likelihood is convex in `1 / T`, so it has one minimum, which a golden-section search over `ln T` finds. If the
/// logits are worse than none, that is the end of the range.
pub fn fit_temperature(logits: &LabelledLogits) -> Option<f64> {
    if !logits.has_a_wrong_one() {
        return None;
    }
    let loss = |log: f64| logits.nll(log.exp());
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = SEARCHED;
    let inner = |low: f64, high: f64| (high - ratio * (high - low), low + ratio * (high - low));
    let (mut left, mut right) = inner(low, high);
    let (mut at_left, mut at_right) = (loss(left), loss(right));
    for _ in 0..STEPS {
        if at_left <= at_right {
            (high, right, at_right) = (right, left, at_left);
            left = inner(low, high).0;
            at_left = loss(left);
        } else {
            (low, left, at_left) = (left, right, at_right);
            right = inner(low, high).1;
            at_right = loss(right);
        }
    }
    Some(((low + high) / 2.0).exp()).map(|t| (DECIMALS * t).round() / DECIMALS)
}

/// How far probabilities are from the truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Expected calibration error in percent: the images are put into 15 bins of equal width by the probability of
    /// their likeliest class; the mean over the images of the difference between their bin's accuracy and its mean
    /// probability.
    pub ece: f64,
    /// Mean negative log-likelihood of the true classes, in nats.
    pub nll: f64,
}

impl Reliability {
    /// Of `softmax(logits / t)`; 0 without images.
    pub fn at(logits: &LabelledLogits, t: f64) -> Self {
        // What a bin is off, times its images: the sum of its probabilities minus the number of right classes.
        let mut off = [0.0; BINS];
        let mut nll = 0.0;
        for (row, label) in logits.rows() {
            let powers = Powers::new(row, t);
            nll += powers.nll(row, label);
            let confidence = powers.confidence();
            // A bin holds its upper end, as in the paper.
            let bin = (confidence * BINS as f64).ceil() as usize;
            if let Some(off) = off.get_mut(bin.clamp(1, BINS) - 1) {
                *off += confidence - f64::from(u8::from(top_class(row) == Some(label)));
            }
        }
        let n = logits.len().max(1) as f64;
        Self { ece: 100.0 * off.iter().map(|off| off.abs()).sum::<f64>() / n, nll: nll / n }
    }
}

/// Where a temperature is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TemperatureSource {
    /// There is none: no image to fit it on, or not one that is named wrong. It is 1.
    #[default]
    None,
    /// Fitted on the images that were measured.
    TheseImages,
    /// Fitted on the run's validation images, as they are.
    Validation,
    /// The model file's.
    File,
}

impl TemperatureSource {
    /// In words, to stand behind "T = 1.2, ".
    pub fn words(self) -> &'static str {
        match self {
            Self::None => "not fitted (that needs validation images of which some are named wrong)",
            Self::TheseImages => "fitted on these very images: on others, expect a little less",
            Self::Validation => "fitted on the run's validation images",
            Self::File => "that of the model file",
        }
    }
}

/// Probabilities before and after temperature scaling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Images with a valid prediction, on which all of this was measured.
    pub n: usize,
    /// The temperature `T`.
    pub temperature: f64,
    /// Where it is from.
    pub temperature_from: TemperatureSource,
    /// At `T` = 1.
    pub before: Reliability,
    /// At this `T`.
    pub after: Reliability,
}

impl Calibration {
    /// Measures probabilities at 1 and at `temperature`; without one, both are the same.
    pub fn measure(logits: &LabelledLogits, temperature: Option<f64>, source: TemperatureSource) -> Self {
        let before = Reliability::at(logits, 1.0);
        let (t, temperature_from) = temperature.map_or((1.0, TemperatureSource::None), |t| (t, source));
        let after = Reliability::at(logits, t);
        Self { n: logits.len(), temperature: t, temperature_from, before, after }
    }

    /// The temperature and where it is from, in words.
    pub fn words(&self) -> String {
        format!("T = {}, {}", self.temperature, self.temperature_from.words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits(rows: &[(&[f32], usize)]) -> LabelledLogits {
        let mut logits = LabelledLogits::new(rows[0].0.len());
        rows.iter().for_each(|&(row, label)| logits.add(row, label));
        logits
    }

    /// `n` images with logits `[x, 0]`, of which `right` are of the first class.
    fn alike(x: f32, n: usize, right: usize) -> LabelledLogits {
        let mut logits = LabelledLogits::new(2);
        (0..n).for_each(|index| logits.add(&[x, 0.0], usize::from(index >= right)));
        logits
    }

    fn assert_near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-5, "{found} instead of {expected}");
    }

    /// All probabilities are 0.9 (logit ln 9), three of four classes right: the best probability is 3/4, logit ln 3,
    /// which is half of ln 9.
    #[test]
    fn odds_of_nine_to_one_that_hold_three_times_of_four_need_a_temperature_of_two() {
        let logits = alike(9f32.ln(), 4, 3);
        assert_eq!(fit_temperature(&logits), Some(2.0));
        let found = Calibration::measure(&logits, Some(2.0), TemperatureSource::File);
        assert_near(found.before.ece, 15.0);
        assert_near(found.before.nll, (-3.0 * 0.9f64.ln() - 0.1f64.ln()) / 4.0);
        assert_near(found.after.ece, 0.0);
        assert_near(found.after.nll, (-3.0 * 0.75f64.ln() - 0.25f64.ln()) / 4.0);
        assert_eq!((found.n, found.temperature, found.temperature_from), (4, 2.0, TemperatureSource::File));
    }

    /// The other way round: 3 to 1 that hold nine times of ten.
    #[test]
    fn probabilities_that_are_too_small_need_a_temperature_below_one() {
        assert_eq!(fit_temperature(&alike(3f32.ln(), 10, 9)), Some(0.5));
    }

    /// Two bins: 0.9 with accuracy 1/2, and 0.6 with accuracy 1. ECE = (2 * 0.4 + 2 * 0.4) / 4.
    #[test]
    fn errors_of_different_bins_do_not_cancel_and_those_of_one_bin_do() {
        let (high, low) = (9f32.ln(), 1.5f32.ln());
        let mixed = logits(&[(&[high, 0.0], 0), (&[high, 0.0], 1), (&[low, 0.0], 0), (&[0.0, low], 1)]);
        assert_near(Reliability::at(&mixed, 1.0).ece, 40.0);
        // 0.95 and 0.94 share the last bin, (14/15, 1]: 1 right of 2 in place of 0.945.
        let odds = |p: f32| (p / (1.0 - p)).ln();
        let one_bin = logits(&[(&[odds(0.95), 0.0], 0), (&[odds(0.94), 0.0], 1)]);
        assert!((Reliability::at(&one_bin, 1.0).ece - 44.5).abs() < 1e-4);
    }

    #[test]
    fn without_a_wrong_class_there_is_no_temperature_to_fit() {
        assert_eq!(fit_temperature(&alike(2.0, 5, 5)), None);
        assert_eq!(fit_temperature(&LabelledLogits::new(3)), None);
        assert_eq!(fit_temperature(&logits(&[(&[1.0], 0)])), None, "one class");
        assert_eq!(fit_temperature(&logits(&[(&[0.5, 0.5], 1)])), None, "equal logits say nothing");
        let found = Calibration::measure(&alike(2.0, 5, 5), None, TemperatureSource::TheseImages);
        assert_eq!((found.temperature, found.temperature_from), (1.0, TemperatureSource::None));
        assert_eq!(found.before, found.after);
    }

    #[test]
    fn logits_that_are_worse_than_none_end_at_the_end_of_the_range() {
        assert_eq!(fit_temperature(&alike(5.0, 4, 1)), Some(20.0855));
        // Nearly always right, and hardly any confidence in it.
        assert_eq!(fit_temperature(&alike(1e-3, 1000, 999)), Some(0.0498));
    }

    #[test]
    fn huge_logits_and_confidences_of_exactly_one_are_no_trouble() {
        let found = Reliability::at(&alike(3e38, 2, 1), 1.0);
        assert_near(found.ece, 50.0);
        assert!(found.nll.is_finite() && found.nll > 1e37);
        let even = Reliability::at(&alike(0.0, 2, 1), 1.0);
        assert_near(even.ece, 0.0);
        assert_near(even.nll, 2f64.ln());
        assert_eq!(Reliability::at(&LabelledLogits::new(2), 1.0), Reliability::default());
    }

    #[test]
    fn what_is_no_prediction_is_left_out() {
        let mut logits = LabelledLogits::new(2);
        logits.add(&[f32::NAN, 0.0], 0);
        logits.add(&[1.0, 0.0, 2.0], 0);
        logits.add(&[1.0, 0.0], 2);
        assert!(logits.is_empty());
        logits.add(&[1.0, 0.0], 1);
        assert_eq!(logits.len(), 1);
    }

    #[test]
    fn neither_the_order_of_the_images_nor_a_second_run_changes_the_temperature() {
        let rows: Vec<(Vec<f32>, usize)> = (0..40usize)
            .map(|i| ((0..3usize).map(|k| ((i * 7 + k * 11) % 13) as f32 / 2.0).collect(), i % 3))
            .collect();
        let fit = |rows: &[(Vec<f32>, usize)]| {
            let mut logits = LabelledLogits::new(3);
            rows.iter().for_each(|(row, label)| logits.add(row, *label));
            fit_temperature(&logits)
        };
        let backwards: Vec<_> = rows.iter().rev().cloned().collect();
        let (forth, back) = (fit(&rows), fit(&backwards));
        assert!(forth.is_some() && forth == back && forth == fit(&rows));
    }
}
