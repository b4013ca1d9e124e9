//! Ending a run after its time, even while its source waits for a frame.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::deadline::join_within;

const TICK: Duration = Duration::from_millis(20);
/// How long the thread may take to end after the flag is set.
const ENDING: Duration = Duration::from_secs(1);

/// Sets a stop flag when the time is over.
pub(super) struct Timer {
    thread: Option<JoinHandle<()>>,
}

impl Timer {
    /// Starts the clock; without a duration it never ends the run.
    pub(super) fn start(duration: Option<Duration>, stop: &Arc<AtomicBool>) -> io::Result<Self> {
        // A time beyond the clock's range never comes.
        let Some(end) = duration.and_then(|duration| Instant::now().checked_add(duration)) else {
            return Ok(Self { thread: None });
        };
        let stop = Arc::clone(stop);
        let count = move || {
            while !stop.load(Ordering::Relaxed) {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    stop.store(true, Ordering::Relaxed);
                }
                sleep(left.min(TICK));
            }
        };
        let thread = Builder::new().name("timer".into()).spawn(count)?;
        Ok(Self { thread: Some(thread) })
    }

    /// Waits for the thread, which ends a moment after the stop flag is set.
    pub(super) fn finish(self) {
        if let Some(thread) = self.thread {
            // It only sleeps and looks at a flag.
            let _ = join_within(thread, ENDING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_is_set_when_the_time_is_over_and_not_before() {
        let stop = Arc::new(AtomicBool::new(false));
        let started = Instant::now();
        let timer = Timer::start(Some(Duration::from_millis(60)), &stop).unwrap();
        timer.finish();
        assert!(stop.load(Ordering::Relaxed) && started.elapsed() >= Duration::from_millis(60));
    }

    #[test]
    fn a_run_that_ends_earlier_ends_its_timer() {
        let stop = Arc::new(AtomicBool::new(false));
        let timer = Timer::start(Some(Duration::from_secs(3600)), &stop).unwrap();
        stop.store(true, Ordering::Relaxed);
        timer.finish();
        assert!(Timer::start(Some(Duration::MAX), &stop).unwrap().thread.is_none());
    }
}
