//! The end of a sink's thread.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::deadline::join_within;

/// How long a sink may take to bring what it holds to the disk. An SD card takes seconds for what a disk does at
/// once; the service manager waits for ten.
pub(super) const FINISH: Duration = Duration::from_secs(8);

/// How a thread was found at its deadline.
#[derive(Debug)]
pub(super) enum Ending<T> {
    /// It ended with this value.
    Done(T),
    /// It panicked, which was reported on stderr.
    Panicked,
    /// It still runs, and is left behind.
    Unfinished,
}

/// Waits for the end of `thread`, at most until `deadline`.
pub(super) fn join_until<T>(thread: JoinHandle<T>, deadline: Instant) -> Ending<T> {
    match join_within(thread, deadline.saturating_duration_since(Instant::now())) {
        Ok(Ok(value)) => Ending::Done(value),
        Ok(Err(_)) => Ending::Panicked,
        Err(_) => Ending::Unfinished,
    }
}
