//! The recorder's thread: all that waits for the disk.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::quota::Quota;
use super::recover::recover;
use super::segment::{Entry, Segment};
use super::{SinkError, at};

/// Between two attempts to go on recording after a fault.
const RETRY: Duration = Duration::from_secs(1);
/// How long a segment that gets no frames may miss its time to be synced or finished.
const TICK: Duration = Duration::from_millis(250);

/// What the thread tells the recorder.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Frames that are in no segment.
    pub(super) lost: Arc<AtomicU64>,
    fault: Mutex<Option<SinkError>>,
}

impl Shared {
    /// Counts a frame as lost.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Leaves a fault to be told, in place of an older one.
    pub(super) fn note(&self, fault: SinkError) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// The newest fault that nobody was told yet.
    pub(super) fn take_fault(&self) -> Option<SinkError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// How far a segment goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Its time.
    pub(super) time: Duration,
    /// The bytes of both its files.
    pub(super) bytes: u64,
}

/// Writes frames into segments.
pub(super) struct Worker {
    folder: PathBuf,
    limits: Limits,
    quota: Quota,
    open: Option<Segment>,
    /// Set while recording pauses.
    retry: Option<Instant>,
    shared: Arc<Shared>,
}

impl Worker {
    pub(super) fn new(folder: PathBuf, limits: Limits, quota: Quota, shared: Arc<Shared>) -> Self {
        Self { folder, limits, quota, open: None, retry: None, shared }
    }

    /// Writes what comes until the other end is gone, and finishes the last segment.
    pub(super) fn run(mut self, entries: &Receiver<Entry>) -> Result<(), SinkError> {
        self.recover();
        loop {
            match entries.recv_timeout(TICK) {
                Ok(entry) => self.take(&entry),
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if self.retry.is_some() {
            // Nobody may have been told why frames are missing: the last result has come already.
            let paused = self.shared.take_fault();
            self.recover();
            if let Some(fault) = paused {
                return Err(fault);
            }
        }
        self.finish_segment()
    }

    /// A leftover that cannot be recovered does not keep new frames from being recorded.
    fn recover(&self) {
        if let Err(fault) = recover(&self.folder) {
            self.shared.note(fault);
        }
    }

    fn take(&mut self, entry: &Entry) {
        if self.retry.is_some_and(|retry| Instant::now() < retry) {
            return self.shared.lose();
        }
        match self.write(entry) {
            Ok(()) => self.retry = None,
            Err(fault) => {
                self.shared.lose();
                self.pause(fault);
            }
        }
    }

    fn write(&mut self, entry: &Entry) -> Result<(), SinkError> {
        if self.open.as_ref().is_some_and(|open| self.is_over(open, entry)) {
            self.finish_segment()?;
        }
        if self.open.is_none() {
            self.open = Some(self.begin(entry.size)?);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        self.quota.make_room(&self.folder, open.stem(), open.bytes_with(entry))?;
        open.push(entry)
    }

    /// Whether `entry` belongs into the next segment. Every segment takes one frame, however large.
    fn is_over(&self, open: &Segment, entry: &Entry) -> bool {
        let full = open.age() >= self.limits.time || open.bytes_with(entry) > self.limits.bytes;
        open.size() != entry.size || (full && !open.is_empty())
    }

    fn begin(&mut self, size: (u32, u32)) -> Result<Segment, SinkError> {
        if self.retry.is_some() {
            // The folder may have been removed, and the last segment was not finished.
            fs::create_dir_all(&self.folder).map_err(at(&self.folder))?;
            self.recover();
        }
        self.quota.forget();
        Segment::create(&self.folder, size)
    }

    fn tick(&mut self) {
        let Some(open) = &mut self.open else { return };
        let kept = if open.age() >= self.limits.time { self.finish_segment() } else { open.sync_when_due() };
        if let Err(fault) = kept {
            self.pause(fault);
        }
    }

    fn finish_segment(&mut self) -> Result<(), SinkError> {
        self.open.take().map_or(Ok(()), Segment::finish)
    }

    /// Drops what is open; it is recovered when recording goes on.
    fn pause(&mut self, fault: SinkError) {
        self.open = None;
        self.retry = Some(Instant::now() + RETRY);
        let text = format!("{}; recording pauses and is tried again every second", fault.fault);
        self.shared.note(SinkError::new(fault.name, std::io::Error::new(fault.fault.kind(), text)));
    }
}
