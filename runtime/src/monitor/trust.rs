//! The last checks, and the alarms that follow from them.

use std::collections::VecDeque;

use super::TrustSummary;
use crate::explain::{Checks, TrustLimits};

/// Checks that the shares are of.
const LAST: usize = 64;
/// Fewer checks than this raise no alarm: one bad frame is none.
const LEAST: usize = 8;

/// What is wrong, and the sentence with its numbers.
type Alarm = (&'static str, String);

#[derive(Debug)]
pub(super) struct RollingTrust {
    checks: VecDeque<Checks>,
    checked: u64,
    alarms: Vec<Alarm>,
    pub(super) min_share: f64,
}

impl Default for RollingTrust {
    fn default() -> Self {
        let min_share = TrustLimits::default().min_share;
        Self { checks: VecDeque::new(), checked: 0, alarms: Vec::new(), min_share }
    }
}

impl RollingTrust {
    /// Adds the checks of a frame; `true` if there is an alarm that there was not before.
    pub(super) fn add(&mut self, checks: &Checks) -> bool {
        self.checks.truncate(LAST - 1);
        self.checks.push_front(*checks);
        self.checked += 1;
        let now = self.failing();
        let before = std::mem::replace(&mut self.alarms, now);
        self.alarms.iter().any(|(what, _)| before.iter().all(|(known, _)| known != what))
    }

    /// Begins anew: another model answers.
    pub(super) fn forget(&mut self) {
        self.checks.clear();
        self.alarms.clear();
    }

    /// What is wrong too often, and a sentence about it.
    fn failing(&self) -> Vec<Alarm> {
        if self.checks.len() < LEAST {
            return Vec::new();
        }
        let shares = [
            (self.share(|c| c.sufficiency.holds), "the class does not hold on what the map shows"),
            (self.share(|c| c.completeness.holds), "the class is recognised in what the map leaves out"),
            (self.share(|c| c.stability.holds), "the map moves with small shifts of the picture"),
            (
                self.share(|c| c.drift.is_none_or(|d| d.holds)),
                "maps or classes drift from the float reference",
            ),
        ];
        let n = self.checks.len();
        let failing = shares.into_iter().filter(|(share, _)| *share < self.min_share);
        failing
            .map(|(share, what)| {
                (what, format!("{what}: {:.0} % of the last {n} checks", 100.0 * (1.0 - share)))
            })
            .collect()
    }

    fn share(&self, holds: impl Fn(&Checks) -> bool) -> f64 {
        self.mean(|checks| Some(f64::from(holds(checks)))).unwrap_or(1.0)
    }

    fn mean(&self, value: impl Fn(&Checks) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.checks.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    pub(super) fn summary(&self) -> TrustSummary {
        TrustSummary {
            checked: self.checked,
            sufficiency: self.share(|checks| checks.sufficiency.holds),
            completeness: self.share(|checks| checks.completeness.holds),
            stability_iou: self.mean(|checks| Some(checks.stability.iou)).unwrap_or(1.0),
            drift_iou: self.mean(|checks| checks.drift.map(|drift| drift.iou)),
            drift_pearson: self.mean(|checks| checks.drift.map(|drift| drift.pearson)),
            drift_agreement: self.mean(|checks| checks.drift.map(|drift| f64::from(drift.same_class))),
            alarms: self.alarms.iter().map(|(_, sentence)| sentence.clone()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::{Completeness, Judge, Stability, Sufficiency};

    fn checks(good: bool) -> Checks {
        let by = Judge::Predictor;
        Checks {
            sufficiency: Sufficiency { by, whole_probability: 0.9, same_class: true, holds: true },
            completeness: Completeness { by, left_out_probability: 0.1, recognised: false, holds: true },
            stability: Stability { iou: if good { 0.9 } else { 0.1 }, holds: good },
            drift: None,
            ms: 1.0,
        }
    }

    #[test]
    fn an_alarm_needs_several_bad_checks_is_told_once_and_ends() {
        let mut trust = RollingTrust::default();
        let told: Vec<bool> = (0..LEAST).map(|_| trust.add(&checks(false))).collect();
        assert_eq!(told.iter().filter(|told| **told).count(), 1);
        assert!(told[LEAST - 1] && !trust.add(&checks(false)));
        assert_eq!(trust.summary().alarms.len(), 1);
        assert!(trust.summary().alarms[0].contains("small shifts"));
        for _ in 0..LAST {
            trust.add(&checks(true));
        }
        let summary = trust.summary();
        assert!(summary.alarms.is_empty() && summary.drift_iou.is_none());
        assert!((summary.stability_iou - 0.9).abs() < 1e-9);
        assert_eq!(summary.checked, (LEAST + 1 + LAST) as u64);
    }

    #[test]
    fn nothing_checked_is_no_alarm() {
        let summary = RollingTrust::default().summary();
        assert_eq!((summary.sufficiency, summary.completeness, summary.stability_iou), (1.0, 1.0, 1.0));
    }
}
