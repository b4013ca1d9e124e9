//! An outage of a source: since when it lasts, when to open the source again, and when it counts as lost.

use std::time::{Duration, Instant};

use super::error::SourceErrorKind;
use crate::backoff::Backoff;

/// The fault of a source that is closed and of which no other fault is known.
const CLOSED: &str = "it was closed";

/// Decides when a source that failed is opened again.
pub(super) struct Reconnect {
    /// How long an outage may last.
    limit: Duration,
    backoff: Backoff,
    outage: Option<Outage>,
}

/// Since when there is no image, and when to try again.
struct Outage {
    since: Instant,
    next_try: Instant,
    fault: String,
}

/// What to do next about a closed source.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is too early for the next attempt, by so much.
    Wait(Duration),
    /// Open the source.
    Open,
    /// The outage has lasted too long.
    GiveUp,
}

impl Reconnect {
    /// Tries for `limit`, with the pauses of `backoff` before each attempt; zero does not try.
    pub(super) fn new(limit: Duration, backoff: Backoff) -> Self {
        Self { limit, backoff, outage: None }
    }

    /// The source, or an attempt to open it, has failed; `true` if this begins an outage.
    pub(super) fn failed(&mut self, fault: &str, now: Instant) -> bool {
        let next_try = now + self.backoff.next();
        match &mut self.outage {
            Some(outage) => {
                outage.next_try = next_try;
                outage.fault = fault.to_owned();
                false
            }
            None => {
                self.outage = Some(Outage { since: now, next_try, fault: fault.to_owned() });
                true
            }
        }
    }

    /// The source gives images. Opening it ends no outage: a source may open and stay silent.
    pub(super) fn recovered(&mut self) {
        self.outage = None;
        self.backoff.reset();
    }

    /// What to do about a source that is closed.
    pub(super) fn step(&mut self, now: Instant) -> Step {
        let closed = || Outage { since: now, next_try: now, fault: CLOSED.into() };
        let outage = self.outage.get_or_insert_with(closed);
        if now.saturating_duration_since(outage.since) >= self.limit {
            return Step::GiveUp;
        }
        let wait = outage.next_try.saturating_duration_since(now);
        if wait.is_zero() { Step::Open } else { Step::Wait(wait) }
    }

    /// The error that ends a source whose outage has lasted too long.
    pub(super) fn lost(&self, now: Instant) -> SourceErrorKind {
        let (after, fault) = match &self.outage {
            Some(outage) => (now.saturating_duration_since(outage.since), outage.fault.clone()),
            None => (Duration::ZERO, CLOSED.into()),
        };
        SourceErrorKind::Lost { after, fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn reconnect(limit: Duration) -> Reconnect {
        Reconnect::new(limit, Backoff::new(SECOND, 4 * SECOND))
    }

    #[test]
    fn attempts_are_spaced_out_until_the_source_is_lost_with_its_last_fault() {
        let mut reconnect = reconnect(5 * SECOND);
        let begun = Instant::now();
        assert!(reconnect.failed("unplugged", begun));
        assert_eq!(reconnect.step(begun), Step::Wait(SECOND));
        assert_eq!(reconnect.step(begun + SECOND), Step::Open);
        assert!(!reconnect.failed("busy", begun + SECOND));
        assert_eq!(reconnect.step(begun + SECOND), Step::Wait(2 * SECOND));
        assert_eq!(reconnect.step(begun + 3 * SECOND), Step::Open);
        assert_eq!(reconnect.step(begun + 5 * SECOND), Step::GiveUp);
        let lost = reconnect.lost(begun + 5 * SECOND).to_string();
        assert!(lost.contains("5 s") && lost.contains("busy"), "{lost}");
    }

    #[test]
    fn only_images_end_an_outage_and_the_next_one_begins_with_the_shortest_pause() {
        let mut reconnect = reconnect(60 * SECOND);
        let begun = Instant::now();
        for _ in 0..5 {
            reconnect.failed("unplugged", begun);
        }
        assert_eq!(reconnect.step(begun), Step::Wait(4 * SECOND));
        reconnect.recovered();
        assert!(reconnect.failed("unplugged", begun));
        assert_eq!(reconnect.step(begun), Step::Wait(SECOND));
    }

    #[test]
    fn a_limit_of_zero_never_tries() {
        let mut reconnect = reconnect(Duration::ZERO);
        let now = Instant::now();
        reconnect.failed("unplugged", now);
        assert_eq!(reconnect.step(now), Step::GiveUp);
    }
}
