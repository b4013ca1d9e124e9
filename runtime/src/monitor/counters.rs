//! Counting what happens to frames.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counters of a run; every thread may read and add.
#[derive(Debug, Default)]
pub struct Counters {
    pub(crate) captured: Counter,
    pub(crate) passed_over: Counter,
    pub(crate) dropped: Counter,
    pub(crate) corrupt: Counter,
    pub(crate) inferred: Counter,
    pub(crate) invalid: Counter,
    pub(crate) stalls: Counter,
    pub(crate) reconnects: Counter,
    pub(crate) sink_failures: Counter,
    pub(crate) checks: Counter,
    pub(crate) alarms: Counter,
    pub(crate) client_drops: Counter,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The state of [`Counters`] at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Frames that the source gave.
    pub captured: u64,
    /// Frames that were left out on purpose (`--every`).
    pub passed_over: u64,
    /// Frames that were too late: a newer one took their place.
    pub dropped: u64,
    /// Frames that could not be read or decoded.
    pub corrupt: u64,
    /// Frames that were predicted.
    pub inferred: u64,
    /// Predictions that were not valid.
    pub invalid: u64,
    /// Times that the source stalled or disconnected.
    pub stalls: u64,
    /// Times that it was opened again.
    pub reconnects: u64,
    /// Results that a sink could not write.
    pub sink_failures: u64,
    /// Predictions whose explanation was checked.
    pub checks: u64,
    /// Alarms that the checks raised.
    pub alarms: u64,
    /// Preview clients that were dropped.
    pub client_drops: u64,
}

impl Counters {
    /// The counts now.
    pub fn snapshot(&self) -> Counts {
        Counts {
            captured: self.captured.get(),
            passed_over: self.passed_over.get(),
            dropped: self.dropped.get(),
            corrupt: self.corrupt.get(),
            inferred: self.inferred.get(),
            invalid: self.invalid.get(),
            stalls: self.stalls.get(),
            reconnects: self.reconnects.get(),
            sink_failures: self.sink_failures.get(),
            checks: self.checks.get(),
            alarms: self.alarms.get(),
            client_drops: self.client_drops.get(),
        }
    }
}

impl fmt::Display for Counts {
    /// `120 frames, 118 predicted, 2 corrupt`: the two that matter, and what else is not zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} frames, {} predicted", self.captured, self.inferred)?;
        for (count, name) in [
            (self.passed_over, "passed over"),
            (self.dropped, "dropped"),
            (self.corrupt, "corrupt"),
            (self.invalid, "with an invalid explanation"),
            (self.stalls, "times stalled or disconnected"),
            (self.reconnects, "times opened again"),
            (self.sink_failures, "not written"),
            (self.alarms, "alarms"),
            (self.client_drops, "preview clients dropped"),
        ] {
            if count > 0 {
                write!(f, ", {count} {name}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_is_not_zero() {
        let counters = Counters::default();
        counters.captured.add_one();
        counters.captured.add_one();
        counters.corrupt.add_one();
        assert_eq!(counters.snapshot().to_string(), "2 frames, 0 predicted, 1 corrupt");
    }
}
