//! The learning rate at each step.

use serde::{Deserialize, Serialize};

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decay {
    /// Up over 30 % of the run, then down, both along a cosine (Smith, 2018): for short runs.
    #[default]
    OneCycle,
    /// Along a cosine to 1 % of the peak.
    Cosine,
    /// x0.2 after 40, 60 and 80 % of the run: the paper's 80, 120 and 160 of 200 epochs.
    Step,
    /// Does not fall.
    Constant,
}

/// A name that is not that of a schedule.
#[derive(Debug, thiserror::Error)]
#[error("unknown schedule '{0}'; there are one-cycle, cosine, step, constant")]
pub struct UnknownDecay(String);

impl std::str::FromStr for Decay {
    type Err = UnknownDecay;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "one-cycle" => Ok(Self::OneCycle),
            "cosine" => Ok(Self::Cosine),
            "step" => Ok(Self::Step),
            "constant" => Ok(Self::Constant),
            _ => Err(UnknownDecay(name.to_owned())),
        }
    }
}

/// A learning rate over the steps of a run.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// Highest rate.
    pub peak: f64,
    /// How it falls.
    pub decay: Decay,
    /// Steps of linear warm-up.
    pub warmup: usize,
    /// Steps of the run.
    pub total: usize,
    /// Steps at the start in which the last layers learn alone: at the peak, since they start from nothing and the
    /// backbones hold still. The schedule begins after them.
    pub head: usize,
}

impl Schedule {
    /// The rate at `step`, counted from 0. Never 0, which optimizers refuse.
    pub fn rate(&self, step: usize) -> f64 {
        let Some(step) = step.checked_sub(self.head) else { return self.peak };
        let total = self.total.saturating_sub(self.head).max(1);
        let progress = step as f64 / total as f64;
        let rate = match self.decay {
            Decay::OneCycle => return self.one_cycle(progress),
            Decay::Cosine => cosine(self.peak, self.peak * 0.01, progress),
            Decay::Step => {
                let falls = [0.4, 0.6, 0.8].iter().filter(|&&at| progress >= at).count();
                self.peak * 0.2f64.powi(falls as i32)
            }
            Decay::Constant => self.peak,
        };
        let warm = (step + 1) as f64 / self.warmup.max(1) as f64;
        (rate * warm.min(1.0)).max(1e-12)
    }

    /// PyTorch's OneCycleLR with its defaults: from peak/25 up, then down to peak/250,000.
    fn one_cycle(&self, progress: f64) -> f64 {
        const RISE: f64 = 0.3;
        let start = self.peak / 25.0;
        let rate = if progress < RISE {
            cosine(start, self.peak, progress / RISE)
        } else {
            cosine(self.peak, start / 1e4, (progress - RISE) / (1.0 - RISE))
        };
        rate.max(1e-12)
    }
}

/// From `start` at progress 0 to `end` at progress 1 along half a cosine.
fn cosine(start: f64, end: f64, progress: f64) -> f64 {
    let share = (1.0 + (std::f64::consts::PI * progress.clamp(0.0, 1.0)).cos()) / 2.0;
    end + (start - end) * share
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(decay: Decay, warmup: usize) -> Vec<f64> {
        let schedule = Schedule { peak: 0.1, decay, warmup, total: 100, head: 0 };
        (0..100).map(|step| schedule.rate(step)).collect()
    }

    #[test]
    fn one_cycle_rises_to_the_peak_and_falls() {
        let rates = rates(Decay::OneCycle, 0);
        assert!((rates[0] - 0.004).abs() < 1e-9 && (rates[30] - 0.1).abs() < 1e-9);
        assert!(rates[99] < 1e-3 && rates.iter().all(|rate| *rate > 0.0));
    }

    #[test]
    fn steps_fall_where_the_paper_has_them() {
        let rates = rates(Decay::Step, 2);
        let expected = [(0, 0.05), (1, 0.1), (39, 0.1), (40, 0.02), (60, 0.004), (80, 0.0008)];
        for (step, rate) in expected {
            assert!((rates[step] - rate).abs() < 1e-9, "{step}: {}", rates[step]);
        }
    }

    #[test]
    fn a_cosine_falls_from_the_peak_to_a_hundredth_of_it() {
        let rates = rates(Decay::Cosine, 0);
        // 0.001 + 0.099 * (1 + cos(pi * p)) / 2 at p = 0, 1/4, 1/2 and 3/4.
        let expected = [(0, 0.1), (25, 0.085_501_786), (50, 0.0505), (75, 0.015_498_214)];
        for (step, rate) in expected {
            assert!((rates[step] - rate).abs() < 1e-8, "{step}: {}", rates[step]);
        }
        assert!(rates.is_sorted_by(|a, b| a > b), "it never rises");
        let end = Schedule { peak: 0.1, decay: Decay::Cosine, warmup: 0, total: 100, head: 0 }.rate(100);
        assert!((end - 0.001).abs() < 1e-9, "{end}");
    }

    #[test]
    fn the_last_layers_learn_at_the_peak_before_the_schedule_begins() {
        let later = Schedule { peak: 0.1, decay: Decay::OneCycle, warmup: 0, total: 120, head: 20 };
        assert_eq!((later.rate(0), later.rate(19)), (0.1, 0.1));
        let found: Vec<f64> = (20..120).map(|step| later.rate(step)).collect();
        assert_eq!(found, rates(Decay::OneCycle, 0));
    }

    #[test]
    fn a_constant_rate_rises_in_the_warm_up_and_stays() {
        let rates = rates(Decay::Constant, 4);
        let expected = [0.025, 0.05, 0.075, 0.1];
        for (rate, expected) in rates.iter().zip(expected) {
            assert!((rate - expected).abs() < 1e-12, "{rate}");
        }
        assert!(rates[4..].iter().all(|&rate| rate == 0.1), "{rates:?}");
    }
}
