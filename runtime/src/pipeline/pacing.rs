//! Predicting less often than possible: because the user asked for it, or because the board is hot.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The longest time between two looks at the stop flag.
const TICK: Duration = Duration::from_millis(50);
/// Least time between two predictions on a hot board, by step; the first step is half the speed instead.
const HOT: [Duration; 2] = [Duration::from_millis(250), Duration::from_millis(1000)];

/// A longer time between two predictions was an outage.
const LONGEST_PACE: Duration = Duration::from_secs(1);

/// Keeps a least time between the starts of two predictions.
#[derive(Debug)]
pub(super) struct Pacing {
    spacing: Duration,
    last: Option<Instant>,
    /// Time between two predictions at full speed: what a camera gives, or what the network takes.
    natural: Duration,
}

impl Pacing {
    /// At most `max_fps` predictions a second.
    pub(super) fn new(max_fps: Option<f64>) -> Self {
        let spacing = max_fps.filter(|fps| *fps > 0.0).map(|fps| Duration::try_from_secs_f64(1.0 / fps));
        Self {
            spacing: spacing.and_then(Result::ok).unwrap_or_default(),
            last: None,
            natural: Duration::ZERO,
        }
    }

    /// A prediction starts, on a board that is slowed down by `step`.
    pub(super) fn begin(&mut self, step: u8) {
        let now = Instant::now();
        if step == 0
            && let Some(last) = self.last
        {
            // The length of an outage says nothing about the pace.
            self.natural = now.saturating_duration_since(last).min(LONGEST_PACE).max(self.spacing);
        }
        self.last = Some(now);
    }

    /// Waits until the next prediction may start; `alive` is called while it waits.
    pub(super) fn wait(&self, step: u8, stop: &AtomicBool, alive: impl Fn()) {
        let spacing = self.spacing.max(slowed(step, self.natural));
        while let Some(last) = self.last
            && !stop.load(Ordering::Relaxed)
        {
            let left = spacing.saturating_sub(last.elapsed());
            if left.is_zero() {
                break;
            }
            alive();
            sleep(left.min(TICK));
        }
    }
}

fn slowed(step: u8, usual: Duration) -> Duration {
    match step {
        0 => Duration::ZERO,
        1 => 2 * usual,
        2 => HOT[0].max(2 * usual),
        _ => HOT[1].max(4 * usual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn predictions_keep_their_distance() {
        let stop = AtomicBool::new(false);
        let mut pacing = Pacing::new(Some(50.0));
        let started = Instant::now();
        for _ in 0..4 {
            pacing.begin(0);
            pacing.wait(0, &stop, || {});
        }
        assert!(started.elapsed() >= Duration::from_millis(80));
    }

    #[test]
    fn a_hot_board_predicts_less_often_and_a_stopped_run_does_not_wait() {
        let usual = Duration::from_millis(30);
        let steps: Vec<Duration> = (0..=4).map(|step| slowed(step, usual)).collect();
        assert!(steps.is_sorted() && steps[0].is_zero() && steps[1] == 2 * usual);
        let stop = AtomicBool::new(true);
        let mut pacing = Pacing::new(Some(0.001));
        let started = Instant::now();
        pacing.begin(0);
        pacing.wait(0, &stop, || {});
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}
