//! The last values of something that is measured all the time.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::snapshot::Quantiles;

/// Values that quantiles are of.
const VALUES: usize = 256;
/// Events that the rate is of.
const TICKS: usize = 64;
/// Older events say nothing about the present rate.
const RECENT: Duration = Duration::from_secs(10);

/// The last 256 values.
#[derive(Debug, Default)]
pub(super) struct Window(VecDeque<f64>);

impl Window {
    pub(super) fn add(&mut self, value: f64) {
        self.0.truncate(VALUES - 1);
        self.0.push_front(value);
    }

    pub(super) fn quantiles(&self) -> Quantiles {
        let mut values: Vec<f64> = self.0.iter().copied().collect();
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (values.len().saturating_sub(1) as f64 * share).round() as usize;
            values.get(index).copied().unwrap_or(0.0)
        };
        Quantiles { p50: at(0.5), p95: at(0.95), n: values.len() as u64 }
    }
}

/// How often something happens.
#[derive(Debug, Default)]
pub(super) struct Pace(VecDeque<Instant>);

impl Pace {
    pub(super) fn tick(&mut self, now: Instant) {
        self.0.truncate(TICKS - 1);
        self.0.push_front(now);
    }

    /// Times a second over the last ten seconds; 0 if it happened less than twice.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        let recent = self.0.iter().take_while(|tick| now.saturating_duration_since(**tick) < RECENT);
        let count = recent.clone().count();
        let Some((first, last)) = recent.last().zip(self.0.front()) else {
            return 0.0;
        };
        let seconds = last.saturating_duration_since(*first).as_secs_f64();
        if seconds > 0.0 { (count - 1) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_last_values() {
        let mut window = Window::default();
        assert_eq!(window.quantiles(), Quantiles::default());
        for value in 0..1000 {
            window.add(f64::from(value));
        }
        let Quantiles { p50, p95, n } = window.quantiles();
        assert_eq!(n, 256);
        assert!((871.0..=873.0).contains(&p50) && (985.0..=988.0).contains(&p95), "{p50} {p95}");
    }

    #[test]
    fn the_rate_is_of_the_present() {
        let mut pace = Pace::default();
        let start = Instant::now();
        assert_eq!(pace.rate(start), 0.0);
        for tick in 0..=100u32 {
            pace.tick(start + tick * Duration::from_millis(40));
        }
        let now = start + Duration::from_secs(4);
        assert!((pace.rate(now) - 25.0).abs() < 0.01);
        assert_eq!(pace.rate(now + Duration::from_secs(60)), 0.0);
    }
}
