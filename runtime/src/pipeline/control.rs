//! Control of a run from outside, before it begins and while it goes on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::exchange::Exchange;
use super::notice::Notice;
use crate::monitor::{Counters, Monitor};

/// Controls a run from other threads: a flag that ends it, its counters and state, and a place for a new model. Clones
/// share all of it.
#[derive(Clone, Debug)]
pub struct RunControl {
    /// Ends the run once it is set: no further frame is predicted, and sinks get up to eight seconds to bring what they
    /// hold to the disk. A run sets it itself when it ends, so that the threads of its source end too: make a new
    /// control for the next run.
    pub stop: Arc<AtomicBool>,
    /// What happened so far.
    pub counters: Arc<Counters>,
    /// The state of the run; the counters are a part of it.
    pub monitor: Arc<Monitor>,
    /// Takes a model that is used from the next frame on.
    pub exchange: Exchange,
}

impl Default for RunControl {
    fn default() -> Self {
        let monitor = Arc::new(Monitor::default());
        Self {
            stop: Arc::default(),
            counters: Arc::clone(&monitor.counters),
            monitor,
            exchange: Exchange::default(),
        }
    }
}

/// How long a run goes on, and what it does about faults.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Ends after this many predictions.
    pub frames: Option<u64>,
    /// Ends after this time.
    pub duration: Option<Duration>,
    /// Predicts every Nth frame of the source.
    pub every: u64,
    /// Predicts at most this many frames a second.
    pub max_fps: Option<f64>,
    /// Goes on when a result cannot be written: it is counted and reported, every time for files, once a minute for a
    /// live source. A full disk ends a run over files all the same: nothing after it could be written either, and the
    /// files can be read again.
    pub keep_going: bool,
    /// Is called about faults that do not end the run, from two threads.
    pub report: fn(&Notice),
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { frames: None, duration: None, every: 1, max_fps: None, keep_going: false, report: |_| {} }
    }
}
