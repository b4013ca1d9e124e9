//! The recorder's thread: all that takes time, encoding and waiting for the disk.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use comet_engine::prediction::LazyJpeg;

use super::fault::at;
use super::quota::{Quota, Room};
use super::recover::recover;
use super::segment::{Entry, Segment};
use crate::sink::interface::SinkError;

/// Between two attempts to go on recording after a fault.
const RETRY: Duration = Duration::from_secs(1);
/// How long a segment that gets no frames may miss its time to be synced or finished.
const TICK: Duration = Duration::from_millis(250);

/// What the thread reports to the recorder.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Frames that are in no segment.
    pub(super) lost: Arc<AtomicU64>,
    /// Frames that were handed over and are not yet written.
    pub(super) waiting: AtomicU64,
    fault: Mutex<Option<SinkError>>,
}

impl Shared {
    /// Counts a frame as lost.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Leaves a fault to be reported, in place of an older one.
    pub(super) fn note(&self, fault: SinkError) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }

    /// The newest fault that was not reported yet.
    pub(super) fn take_fault(&self) -> Option<SinkError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A frame on its way to the thread, which encodes it if the source gave no JPEG.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    pub(super) jpeg: LazyJpeg,
    /// Columns and rows.
    pub(super) size: (u32, u32),
    /// Its record, with the line's end.
    pub(super) line: Vec<u8>,
    pub(super) captured: Instant,
}

impl Waiting {
    fn encode(self) -> std::io::Result<Entry> {
        Ok(Entry { jpeg: self.jpeg.bytes()?, size: self.size, line: self.line, captured: self.captured })
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
    /// Whether it was reported that the quota cannot be met.
    over_quota: bool,
    shared: Arc<Shared>,
}

impl Worker {
    pub(super) fn new(folder: PathBuf, limits: Limits, quota: Quota, shared: Arc<Shared>) -> Self {
        Self { folder, limits, quota, open: None, retry: None, over_quota: false, shared }
    }

    /// Writes what comes until the other end is gone, and finishes the last segment.
    pub(super) fn run(mut self, frames: &Receiver<Waiting>) -> Result<(), SinkError> {
        self.recover();
        loop {
            match frames.recv_timeout(TICK) {
                Ok(frame) => {
                    self.take(frame);
                    self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                }
                Err(RecvTimeoutError::Timeout) => self.tick(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if self.retry.is_some() {
            // It may not have been reported yet why frames are missing: the last result has come already.
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

    fn take(&mut self, frame: Waiting) {
        if self.retry.is_some_and(|retry| Instant::now() < retry) {
            return self.shared.lose();
        }
        let entry = match frame.encode() {
            Ok(entry) => entry,
            Err(fault) => {
                self.shared.lose();
                return self.shared.note(at(&self.folder)(fault));
            }
        };
        match self.write(&entry) {
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
        let room = self.quota.make_room(&self.folder, open.stem(), open.bytes_with(entry))?;
        open.push(entry)?;
        let lacking = room == Room::Lacking;
        if lacking && !self.over_quota {
            let text = "the quota cannot be met: what lies in the folder belongs to recordings that are not finished";
            self.shared.note(at(&self.folder)(std::io::Error::other(text)));
        }
        self.over_quota = lacking;
        Ok(())
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
