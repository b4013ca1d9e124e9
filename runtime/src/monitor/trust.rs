//! The last checks, and the alarms that follow from them.

use std::collections::VecDeque;

use super::snapshot::TrustSummary;
use comet_engine::explain::{Checks, TrustLimits};

/// Checks that the shares are of.
const LAST: usize = 64;
/// Fewer checks than this raise no alarm: one bad frame is not an alarm.
const LEAST: usize = 8;
/// How far above the limit the share must rise before an alarm ends: one that moves about the limit is reported once.
const HYSTERESIS: f64 = 0.05;

/// Checks that raise alarms.
const WATCHES: usize = 4;

/// An alarm that began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlarmChange {
    /// A sentence with the present numbers.
    pub alarm: String,
    /// Whether it began.
    pub active: bool,
}

/// One of the checks: what it means if it fails, and whether it holds.
struct Watched {
    fault: &'static str,
    holds: fn(&Checks) -> bool,
}

/// The checks that raise alarms. The class at the contour is not among them: a soft map may let through what decides,
/// and that is a property of the model, not a fault of the run.
static WATCHED: [Watched; WATCHES] = [
    Watched { fault: "the class does not hold on what the map shows", holds: |c| c.sufficiency.holds },
    Watched { fault: "the class is recognised in what the map leaves out", holds: |c| c.completeness.holds },
    Watched { fault: "the map moves with small shifts of the image", holds: |c| c.stability.holds },
    Watched {
        fault: "maps or classes drift from the float reference",
        holds: |c| c.drift.is_none_or(|drift| drift.holds),
    },
];

#[derive(Debug)]
pub(super) struct RollingTrust {
    checks: VecDeque<Checks>,
    checked: u64,
    /// Which of [`WATCHED`] are an alarm now.
    active: [bool; WATCHES],
    pub(super) min_share: f64,
}

impl Default for RollingTrust {
    fn default() -> Self {
        let min_share = TrustLimits::default().min_share;
        Self { checks: VecDeque::new(), checked: 0, active: [false; WATCHES], min_share }
    }
}

impl RollingTrust {
    /// Adds the checks of a frame; returns the alarms that begin or end with them.
    pub(super) fn add(&mut self, checks: &Checks) -> Vec<AlarmChange> {
        self.checks.truncate(LAST - 1);
        self.checks.push_front(*checks);
        self.checked += 1;
        let now = std::array::from_fn(|index| self.is_alarm(index));
        let before = std::mem::replace(&mut self.active, now);
        self.changes(before)
    }

    /// Starts again, for another model; returns the alarms that end with it.
    pub(super) fn forget(&mut self) -> Vec<AlarmChange> {
        let before = std::mem::take(&mut self.active);
        let ended = self.changes(before);
        self.checks.clear();
        self.checked = 0;
        ended
    }

    /// Whether check `index` is an alarm now: the limit is higher for one that is active already.
    fn is_alarm(&self, index: usize) -> bool {
        let (Some(watched), Some(active)) = (WATCHED.get(index), self.active.get(index)) else {
            return false;
        };
        let share = self.share(watched.holds);
        match active {
            true => share < (self.min_share + HYSTERESIS).min(1.0),
            false => self.checks.len() >= LEAST && share < self.min_share,
        }
    }

    fn changes(&self, before: [bool; WATCHES]) -> Vec<AlarmChange> {
        let states = WATCHED.iter().zip(self.active).zip(before);
        let changed = states.filter(|((_, now), before)| now != before);
        changed.map(|((watched, active), _)| AlarmChange { alarm: self.sentence(watched), active }).collect()
    }

    fn sentence(&self, watched: &Watched) -> String {
        let failing = 100.0 * (1.0 - self.share(watched.holds));
        format!("{}: {failing:.0} % of the last {} checks", watched.fault, self.checks.len())
    }

    fn share(&self, holds: impl Fn(&Checks) -> bool) -> f64 {
        self.mean(|checks| Some(f64::from(holds(checks)))).unwrap_or(1.0)
    }

    fn mean(&self, value: impl Fn(&Checks) -> Option<f64>) -> Option<f64> {
        let values: Vec<f64> = self.checks.iter().filter_map(value).collect();
        (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
    }

    fn alarms(&self) -> Vec<String> {
        let active = WATCHED.iter().zip(self.active).filter(|(_, active)| *active);
        active.map(|(watched, _)| self.sentence(watched)).collect()
    }

    pub(super) fn summary(&self) -> TrustSummary {
        TrustSummary {
            checked: self.checked,
            sufficiency: self.share(|checks| checks.sufficiency.holds),
            completeness: self.share(|checks| checks.completeness.holds),
            stability_iou: self.mean(|checks| Some(checks.stability.iou)).unwrap_or(1.0),
            same_class_at_contour: self.mean(|checks| checks.cut.map(|cut| f64::from(cut.same_class))),
            drift_iou: self.mean(|checks| checks.drift.map(|drift| drift.iou)),
            drift_pearson: self.mean(|checks| checks.drift.map(|drift| drift.pearson)),
            drift_agreement: self.mean(|checks| checks.drift.map(|drift| f64::from(drift.same_class))),
            alarms: self.alarms(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use comet_engine::explain::{Completeness, Cut, Judge, Stability, Sufficiency};

    fn checks(good: bool) -> Checks {
        let by = Judge::Predictor;
        Checks {
            sufficiency: Sufficiency { by, whole_probability: 0.9, same_class: true, holds: true },
            completeness: Completeness { by, left_out_probability: 0.1, recognised: false, holds: true },
            stability: Stability { iou: if good { 0.9 } else { 0.1 }, holds: good },
            drift: None,
            cut: Some(Cut { probability: 0.5, same_class: good }),
            ms: 1.0,
        }
    }

    /// Adds checks, and counts the alarms that began and that ended.
    fn add(trust: &mut RollingTrust, checks: &Checks, count: usize) -> (usize, usize) {
        let changes: Vec<AlarmChange> = (0..count).flat_map(|_| trust.add(checks)).collect();
        let began = changes.iter().filter(|change| change.active).count();
        (began, changes.len() - began)
    }

    #[test]
    fn an_alarm_needs_several_bad_checks_and_is_reported_once_when_it_begins_and_once_when_it_ends() {
        let mut trust = RollingTrust::default();
        assert_eq!(add(&mut trust, &checks(false), LEAST - 1), (0, 0));
        assert_eq!(add(&mut trust, &checks(false), 1), (1, 0));
        assert_eq!(add(&mut trust, &checks(false), 20), (0, 0));
        assert_eq!(trust.summary().alarms.len(), 1);
        assert!(trust.summary().alarms[0].contains("small shifts"));
        assert_eq!(add(&mut trust, &checks(true), LAST), (0, 1));
        let summary = trust.summary();
        assert!(summary.alarms.is_empty() && summary.drift_iou.is_none());
        assert!((summary.stability_iou - 0.9).abs() < 1e-9);
        assert_eq!(summary.checked, (LEAST + 20 + LAST) as u64);
    }

    #[test]
    fn a_second_alarm_does_not_report_the_first_one_again() {
        let mut trust = RollingTrust::default();
        assert_eq!(add(&mut trust, &checks(false), LEAST), (1, 0));
        let mut worse = checks(false);
        worse.completeness.holds = false;
        let changes: Vec<AlarmChange> = (0..LEAST).flat_map(|_| trust.add(&worse)).collect();
        assert_eq!(changes.len(), 1, "{changes:?}");
        assert!(changes[0].active && changes[0].alarm.contains("leaves out"), "{changes:?}");
        assert_eq!(trust.summary().alarms.len(), 2);
    }

    #[test]
    fn a_share_that_moves_about_the_limit_is_one_alarm() {
        let mut trust = RollingTrust::default();
        // 51 good ones of 64 are 79.7 %, 52 are 81.3 %: the limit of 80 % lies between them.
        assert_eq!(add(&mut trust, &checks(false), 1), (0, 0));
        assert_eq!(add(&mut trust, &checks(true), 51), (0, 0));
        assert_eq!(add(&mut trust, &checks(false), 12), (1, 0));
        // A good one takes the place of the first bad one, and then a bad one that of a good one.
        assert_eq!(add(&mut trust, &checks(true), 1), (0, 0));
        assert_eq!(trust.summary().alarms.len(), 1);
        assert_eq!(add(&mut trust, &checks(false), 1), (0, 0));
        assert_eq!(add(&mut trust, &checks(true), LAST), (0, 1));
    }

    #[test]
    fn another_model_ends_the_alarms_of_the_one_before() {
        let mut trust = RollingTrust::default();
        add(&mut trust, &checks(false), LEAST);
        let ended = trust.forget();
        assert!(ended.len() == 1 && !ended[0].active, "{ended:?}");
        assert!(trust.summary().alarms.is_empty() && trust.forget().is_empty());
    }

    #[test]
    fn the_class_at_the_contour_is_counted_and_raises_no_alarm() {
        let mut trust = RollingTrust::default();
        assert_eq!(trust.summary().same_class_at_contour, None);
        let mut soft = checks(true);
        soft.cut = Some(Cut { probability: 0.1, same_class: false });
        assert_eq!(add(&mut trust, &soft, LAST), (0, 0));
        assert_eq!(trust.summary().same_class_at_contour, Some(0.0));
    }

    #[test]
    fn nothing_checked_is_no_alarm() {
        let summary = RollingTrust::default().summary();
        assert_eq!((summary.sufficiency, summary.completeness, summary.stability_iou), (1.0, 1.0, 1.0));
    }
}
