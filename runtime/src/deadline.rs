//! Waiting no longer than until a moment: for bytes, and for threads that are to end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

/// Between two looks at whether a thread has ended.
const POLL: Duration = Duration::from_millis(2);

/// The moment at which a reader stops waiting with [`std::io::ErrorKind::TimedOut`], whatever trickles in until
/// then. Clones share it: the caller that waits for a frame sets it for a reader that lies layers below. At first it
/// is not set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadline(Arc<Mutex<Option<Instant>>>);

impl Deadline {
    /// Sets the moment, for all clones.
    pub(crate) fn set(&self, moment: Instant) {
        *self.lock() = Some(moment);
    }

    /// Whether the moment lies behind us; never before one was set.
    pub(crate) fn has_passed(&self) -> bool {
        self.lock().is_some_and(|moment| Instant::now() >= moment)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Joins a thread that was asked to end. One that does not end within `limit` is given back: a thread that hangs
/// in a driver or a system call must not hold up its caller.
pub(crate) fn join_within<T>(
    thread: JoinHandle<T>,
    limit: Duration,
) -> Result<thread::Result<T>, JoinHandle<T>> {
    let begun = Instant::now();
    while !thread.is_finished() {
        if begun.elapsed() >= limit {
            return Err(thread);
        }
        sleep(POLL);
    }
    Ok(thread.join())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn a_deadline_is_shared_by_its_clones_and_absent_at_first() {
        let deadline = Deadline::default();
        let clone = deadline.clone();
        assert!(!clone.has_passed());
        deadline.set(Instant::now());
        assert!(clone.has_passed());
        deadline.set(Instant::now() + Duration::from_secs(60));
        assert!(!clone.has_passed());
    }

    #[test]
    fn a_thread_that_ends_gives_its_value_and_one_that_does_not_is_given_back() {
        let thread = thread::spawn(|| 7);
        assert_eq!(join_within(thread, Duration::from_secs(60)).unwrap().unwrap(), 7);
        let (end, ended) = sync_channel::<()>(1);
        let thread = thread::spawn(move || ended.recv().is_err());
        let thread = join_within(thread, Duration::from_millis(20)).unwrap_err();
        drop(end);
        assert!(join_within(thread, Duration::from_secs(60)).unwrap().unwrap());
    }

    #[test]
    fn a_panic_of_the_thread_is_given_as_an_error() {
        let thread: JoinHandle<()> = thread::spawn(|| std::panic::resume_unwind(Box::new("scripted")));
        assert!(join_within(thread, Duration::from_secs(60)).unwrap().is_err());
    }
}
