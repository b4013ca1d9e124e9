//! The pauses between attempts at something that fails: longer each time, up to a limit.

use std::time::Duration;

use crate::random::SplitMix;

/// Pauses that double from the first one up to a cap.
pub(crate) struct Backoff {
    first: Duration,
    cap: Duration,
    next: Duration,
    jitter: Option<SplitMix>,
}

impl Backoff {
    /// Pauses from `first` up to `cap`, the same ones each time.
    pub(crate) fn new(first: Duration, cap: Duration) -> Self {
        let first = first.min(cap);
        Self { first, cap, next: first, jitter: None }
    }

    /// Makes each pause up to a fifth longer or shorter, by a seed: many devices that lost one server must not
    /// all come back at once.
    pub(crate) fn with_jitter(mut self, seed: u64) -> Self {
        self.jitter = Some(SplitMix(seed));
        self
    }

    /// How long to wait before the next attempt.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(self.cap);
        match &mut self.jitter {
            None => pause,
            Some(draws) => {
                let percent = 80 + u32::try_from(draws.roll() % 41).unwrap_or_default();
                pause.saturating_mul(percent) / 100
            }
        }
    }

    /// Begins again with the shortest pause: an attempt has succeeded.
    pub(crate) fn reset(&mut self) {
        self.next = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_millis(250);
    const CAP: Duration = Duration::from_secs(10);

    fn pauses(mut backoff: Backoff) -> Vec<Duration> {
        (0..9).map(|_| backoff.next()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_cap_and_begin_again_after_a_success() {
        let mut backoff = Backoff::new(FIRST, CAP);
        let milliseconds: Vec<u128> = (0..8).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(milliseconds, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
        backoff.reset();
        assert_eq!(backoff.next(), FIRST);
    }

    #[test]
    fn a_first_pause_above_the_cap_is_the_cap_and_the_longest_pause_does_not_overflow() {
        assert_eq!(Backoff::new(CAP, FIRST).next(), FIRST);
        let longest = pauses(Backoff::new(Duration::MAX, Duration::MAX).with_jitter(1));
        assert!(longest.iter().all(|pause| *pause > CAP));
    }

    #[test]
    fn jitter_differs_by_seed_and_stays_within_a_fifth() {
        let jittered = |seed| pauses(Backoff::new(FIRST, CAP).with_jitter(seed));
        assert_eq!(jittered(1), jittered(1));
        assert_ne!(jittered(1), jittered(2));
        for (pause, centre) in jittered(3).into_iter().zip(pauses(Backoff::new(FIRST, CAP))) {
            assert!(pause >= centre * 4 / 5 && pause <= centre * 6 / 5, "{pause:?} about {centre:?}");
        }
    }
}
