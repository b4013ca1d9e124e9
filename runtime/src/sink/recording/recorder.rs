//! The recorder: takes results in the thread that runs the model, and leaves encoding and the disk to its own thread.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use comet_engine::prediction::{FrameResult, LazyJpeg, Record};

use super::fault::at;
use super::quota::Quota;
use super::size::ByteSize;
use super::worker::{Limits, Shared, Waiting, Worker};
use crate::sink::ending::{Ending, FINISH, join_until};
use crate::sink::interface::{Sink, SinkError};
use crate::sink::stamp::Stamp;

/// Frames that may wait for the disk.
const QUEUE: usize = 8;
/// The most bytes in which a frame waits: larger images are encoded first, so that eight of them do not fill the
/// memory of a small board.
const LARGEST_WAITING: usize = 8 << 20;
/// Between two faults that are reported.
const REPORT_EVERY: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(2);
/// What players and the format's 32 bits take without trouble.
const MAX_SEGMENT: ByteSize = ByteSize(1 << 30);
/// Less holds no segment worth the name.
const MIN_QUOTA: ByteSize = ByteSize(1 << 20);
/// So many segments the quota has room for, at the least: the newest are not removed with the oldest.
const SEGMENTS_IN_QUOTA: u64 = 4;

/// Where and how to record.
#[derive(Clone, Debug)]
pub struct RecordingOptions {
    /// The folder; it is made if it is not there.
    pub folder: PathBuf,
    /// The most that all segments in the folder take together, 1 MiB or more. The oldest make room. Without a
    /// quota nothing is ever removed.
    pub quota: Option<ByteSize>,
    /// The longest time of a segment.
    pub segment: Duration,
    /// The most that one segment takes; at most 1 GiB and a quarter of the quota.
    pub segment_bytes: ByteSize,
    /// How long a result may wait for room in the queue before it is lost. Nothing for a live source, whose
    /// next frame must not wait; a file's frames can.
    pub patience: Duration,
}

impl RecordingOptions {
    /// Segments of 60 s and 256 MiB in `folder`, no quota, no patience.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            quota: None,
            segment: Duration::from_secs(60),
            segment_bytes: ByteSize(256 << 20),
            patience: Duration::ZERO,
        }
    }
}

/// Records results as segments of a video and its records; see [`RecordingOptions`].
///
/// Faults of the disk never stop it: it pauses, tries again every second, and reports the fault once a minute
/// through [`accept`](Sink::accept).
pub struct Recorder {
    folder: PathBuf,
    patience: Duration,
    begun: Instant,
    reported: Option<Instant>,
    shared: Arc<Shared>,
    /// `None` once it is finished.
    frames: Option<SyncSender<Waiting>>,
    deadline: Option<Instant>,
    thread: Option<JoinHandle<Result<(), SinkError>>>,
}

/// A line of the text beside the video.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    record: &'a Record,
    /// When the frame was captured, by the wall clock: UTC, as in RFC 3339.
    time: String,
    /// The same in seconds since the recording began, by a clock that never jumps.
    monotonic_s: f64,
}

impl Recorder {
    /// Makes the folder and starts the thread, which first recovers what an earlier recording left behind.
    ///
    /// # Errors
    /// The folder cannot be made, the quota is too small, or the thread cannot be started.
    pub fn new(options: RecordingOptions) -> Result<Self, SinkError> {
        let RecordingOptions { folder, quota, segment, segment_bytes, patience } = options;
        if let Some(quota) = quota.filter(|quota| *quota < MIN_QUOTA) {
            let text = format!("a quota of {quota} holds no recording; give it {MIN_QUOTA} or more");
            return Err(at(&folder)(io::Error::new(ErrorKind::InvalidInput, text)));
        }
        std::fs::create_dir_all(&folder).map_err(at(&folder))?;
        let share = quota.map_or(MAX_SEGMENT, |quota| ByteSize(quota.0 / SEGMENTS_IN_QUOTA));
        let limits = Limits { time: segment, bytes: segment_bytes.min(MAX_SEGMENT).min(share).0 };
        let shared = Arc::<Shared>::default();
        let worker = Worker::new(folder.clone(), limits, Quota::new(quota), Arc::clone(&shared));
        let (sender, receiver) = sync_channel(QUEUE);
        let thread = Builder::new().name("recording".into()).spawn(move || worker.run(&receiver));
        let thread = thread.map_err(at(&folder))?;
        Ok(Self {
            folder,
            patience,
            begun: Instant::now(),
            reported: None,
            shared,
            frames: Some(sender),
            deadline: None,
            thread: Some(thread),
        })
    }

    /// Counts the results that are in no segment: the disk was too slow for them, or recording paused.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.lost)
    }

    fn waiting(&self, result: &FrameResult) -> io::Result<Waiting> {
        let captured = SystemTime::now().checked_sub(result.captured.elapsed()).unwrap_or(UNIX_EPOCH);
        let since_begun = result.captured.saturating_duration_since(self.begun);
        let mut line = serde_json::to_vec(&Line {
            record: &result.record,
            time: Stamp::of(captured).rfc3339(),
            monotonic_s: since_begun.as_micros() as f64 / 1e6,
        })?;
        line.push(b'\n');
        let size = result.image.dimensions();
        let mut jpeg = result.lazy_jpeg();
        if jpeg.held_bytes() > LARGEST_WAITING {
            jpeg = LazyJpeg::from_bytes(result.to_jpeg()?);
        }
        Ok(Waiting { jpeg, size, line, captured: result.captured })
    }

    /// Puts the frame into the queue; `false` if there was no room in time.
    fn hand_over(&self, frame: Waiting) -> bool {
        // Counted before it can be taken out again.
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let handed_over = self.try_to_hand_over(frame);
        if !handed_over {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        handed_over
    }

    fn try_to_hand_over(&self, mut frame: Waiting) -> bool {
        let Some(frames) = &self.frames else { return false };
        let begun = Instant::now();
        loop {
            match frames.try_send(frame) {
                Ok(()) => return true,
                Err(TrySendError::Full(back)) if begun.elapsed() < self.patience => frame = back,
                Err(TrySendError::Full(_)) => {
                    let text = "the disk is too slow: frames are missing from the recording";
                    self.shared.note(at(&self.folder)(io::Error::new(ErrorKind::TimedOut, text)));
                    return false;
                }
                Err(TrySendError::Disconnected(_)) => {
                    let fault = io::Error::other("the recording thread has ended; start the program again");
                    self.shared.note(at(&self.folder)(fault));
                    return false;
                }
            }
            sleep(POLL);
        }
    }

    /// The newest fault, once a minute.
    fn report(&mut self) -> Result<(), SinkError> {
        if self.reported.is_some_and(|reported| reported.elapsed() < REPORT_EVERY) {
            return Ok(());
        }
        let Some(fault) = self.shared.take_fault() else { return Ok(()) };
        self.reported = Some(Instant::now());
        Err(fault)
    }

    /// How many frames are missing from a recording which was finished: faults are reported once a minute only.
    fn report_losses(&self) -> Result<(), SinkError> {
        match self.shared.lost.load(Ordering::Relaxed) {
            0 => Ok(()),
            lost => Err(at(&self.folder)(io::Error::other(format!("{lost} frames are missing in all")))),
        }
    }

    /// Ends the thread.
    fn close(&mut self) -> Result<(), SinkError> {
        self.begin_finish();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        match join_until(thread, self.deadline.unwrap_or_else(Instant::now)) {
            Ending::Done(finished) => finished.and_then(|()| self.report_losses()),
            Ending::Panicked => Err(at(&self.folder)(io::Error::other("the recording thread panicked"))),
            Ending::Unfinished => {
                let waiting = self.shared.waiting.load(Ordering::Relaxed);
                self.shared.lost.fetch_add(waiting, Ordering::Relaxed);
                Err(at(&self.folder)(io::Error::new(ErrorKind::TimedOut, unfinished(waiting))))
            }
        }
    }
}

/// What is lost when the disk takes too long for the end.
fn unfinished(waiting: u64) -> String {
    let seconds = FINISH.as_secs();
    let last =
        format!("the last segment was not finished within {seconds} s; the next recording recovers it");
    match waiting {
        0 => last,
        1 => format!("{last}, without 1 frame that was not written yet"),
        _ => format!("{last}, without {waiting} frames that were not written yet"),
    }
}

impl Sink for Recorder {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        match self.waiting(result).map(|frame| self.hand_over(frame)) {
            Ok(true) => {}
            Ok(false) => self.shared.lose(),
            Err(fault) => {
                self.shared.lose();
                self.shared.note(at(&self.folder)(fault));
            }
        }
        self.report()
    }

    fn begin_finish(&mut self) {
        self.frames = None;
        self.deadline.get_or_insert_with(|| Instant::now() + FINISH);
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.close()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A run that never began has nothing to report about its recording.
        let _ = self.close();
    }
}

#[cfg(test)]
mod tests;
