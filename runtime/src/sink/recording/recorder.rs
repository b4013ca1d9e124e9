//! The recorder: takes results in the thread that infers, and leaves the disk to a thread of its own.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::quota::Quota;
use super::segment::Entry;
use super::size::ByteSize;
use super::worker::{Limits, Shared, Worker};
use super::{SinkError, at};
use crate::sink::stamp::Stamp;
use crate::sink::{FrameResult, Record, Sink};

/// Frames that may wait for the disk.
const QUEUE: usize = 8;
/// Between two faults that are told.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// How long the end may wait for the last segment.
const FINISH: Duration = Duration::from_millis(400);
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

/// Records results as segments of a film and its records; see [`RecordingOptions`].
///
/// Faults of the disk never stop it: it pauses, tries again every second, and tells the fault once a minute
/// through [`accept`](Sink::accept).
pub struct Recorder {
    folder: PathBuf,
    patience: Duration,
    begun: Instant,
    told: Option<Instant>,
    shared: Arc<Shared>,
    /// `None` once it is finished.
    entries: Option<SyncSender<Entry>>,
    thread: Option<JoinHandle<Result<(), SinkError>>>,
}

/// A line of the text beside the film.
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
            told: None,
            shared,
            entries: Some(sender),
            thread: Some(thread),
        })
    }

    /// Counts the results that are in no segment: the disk was too slow for them, or recording paused.
    pub fn lost(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.shared.lost)
    }

    fn entry(&self, result: &FrameResult) -> io::Result<Entry> {
        let captured = SystemTime::now().checked_sub(result.captured.elapsed()).unwrap_or(UNIX_EPOCH);
        let since_begun = result.captured.saturating_duration_since(self.begun);
        let mut line = serde_json::to_vec(&Line {
            record: &result.record,
            time: Stamp::of(captured).rfc3339(),
            monotonic_s: since_begun.as_micros() as f64 / 1e6,
        })?;
        line.push(b'\n');
        let size = result.picture.dimensions();
        Ok(Entry { jpeg: result.to_jpeg()?, size, line, captured: result.captured })
    }

    /// Puts the entry into the queue; `false` if there was no room in time.
    fn hand_over(&self, mut entry: Entry) -> bool {
        let Some(entries) = &self.entries else { return false };
        let begun = Instant::now();
        loop {
            match entries.try_send(entry) {
                Ok(()) => return true,
                Err(TrySendError::Full(back)) if begun.elapsed() < self.patience => entry = back,
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
    fn tell(&mut self) -> Result<(), SinkError> {
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return Ok(());
        }
        let Some(fault) = self.shared.take_fault() else { return Ok(()) };
        self.told = Some(Instant::now());
        Err(fault)
    }

    /// Ends the thread.
    fn close(&mut self) -> Result<(), SinkError> {
        self.entries = None;
        let Some(thread) = self.thread.take() else { return Ok(()) };
        let begun = Instant::now();
        while !thread.is_finished() {
            if begun.elapsed() >= FINISH {
                let text = "the last segment was not finished in time; the next recording recovers it";
                return Err(at(&self.folder)(io::Error::new(ErrorKind::TimedOut, text)));
            }
            sleep(POLL);
        }
        let panicked = |_| Err(at(&self.folder)(io::Error::other("the recording thread panicked")));
        thread.join().unwrap_or_else(panicked)
    }
}

impl Sink for Recorder {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        match self.entry(result).map(|entry| self.hand_over(entry)) {
            Ok(true) => {}
            Ok(false) => self.shared.lose(),
            Err(fault) => {
                self.shared.lose();
                self.shared.note(at(&self.folder)(fault));
            }
        }
        self.tell()
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        self.close()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        // A run that never began has nothing to tell about its recording.
        let _ = self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::sink::record::sample::result;
    use crate::sink::recording::quota::scan;
    use crate::sink::recording::reader::AviReader;

    /// A recorder that loses nothing.
    fn recorder(folder: &Path) -> Recorder {
        let patience = Duration::from_secs(10);
        Recorder::new(RecordingOptions { patience, ..RecordingOptions::new(folder) }).unwrap()
    }

    /// Frames of every finished segment; a part is an error of the test.
    fn frames(folder: &Path) -> Vec<usize> {
        let holdings = scan(folder).unwrap();
        let frames = holdings.iter().map(|(stem, holding)| {
            assert!(!holding.unfinished, "{stem}");
            AviReader::open(File::open(folder.join(format!("{stem}.avi"))).unwrap()).unwrap().len()
        });
        frames.collect()
    }

    #[test]
    fn results_become_one_segment_of_pictures_and_records() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("new");
        let mut recorder = recorder(&folder);
        for number in 0..20 {
            recorder.accept(&mut result("camera0", number, [1.0, 0.0, 0.0])).unwrap();
        }
        recorder.finish().unwrap();
        assert_eq!((frames(&folder), recorder.lost().load(Ordering::Relaxed)), (vec![20], 0));
        let (stem, _) = scan(&folder).unwrap().pop_first().unwrap();
        let text = fs::read_to_string(folder.join(format!("{stem}.jsonl"))).unwrap();
        for (number, line) in text.lines().enumerate() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["frame"], number);
            assert!(line["monotonic_s"].is_number());
            let time = line["time"].as_str().unwrap();
            assert_eq!((time.len(), time.ends_with('Z')), (24, true), "{time}");
        }
    }

    #[test]
    fn a_picture_of_another_size_begins_a_new_segment() {
        let folder = tempfile::tempdir().unwrap();
        let mut recorder = recorder(folder.path());
        for (number, width) in [8, 8, 16, 8].into_iter().enumerate() {
            let mut result = result("camera0", number as u64, [1.0, 0.0, 0.0]);
            result.picture = Arc::new(image::RgbImage::new(width, 6));
            recorder.accept(&mut result).unwrap();
        }
        recorder.finish().unwrap();
        assert_eq!(frames(folder.path()), [2, 1, 1]);
    }

    #[test]
    fn a_quota_that_holds_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let options = RecordingOptions::new(folder.path());
        let refused = Recorder::new(RecordingOptions { quota: Some(ByteSize(5000)), ..options });
        let error = refused.err().unwrap().to_string();
        assert!(error.contains("4.9 KiB") && error.contains("1 MiB or more"), "{error}");
    }

    #[test]
    fn recording_pauses_while_its_folder_is_a_file_and_then_goes_on() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("records");
        let mut recorder = recorder(&folder);
        let mut number = 0;
        let mut faults = 0;
        let mut record_until = |what: &str, done: &mut dyn FnMut(usize) -> bool| {
            let begun = Instant::now();
            while !done(faults) {
                assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
                faults += usize::from(recorder.accept(&mut result("camera0", number, [0.0; 3])).is_err());
                number += 1;
                sleep(Duration::from_millis(10));
            }
        };
        record_until("a segment", &mut |_| folder.is_dir() && !scan(&folder).unwrap().is_empty());
        fs::rename(&folder, outer.path().join("elsewhere")).unwrap();
        fs::write(&folder, "in the way").unwrap();
        record_until("the fault", &mut |faults| faults == 1);
        let paused = Instant::now();
        record_until("a second attempt", &mut |_| paused.elapsed() > Duration::from_millis(1200));
        fs::remove_file(&folder).unwrap();
        record_until("a new segment", &mut |_| folder.is_dir() && !scan(&folder).unwrap().is_empty());
        recorder.finish().unwrap();
        assert_eq!(faults, 1, "one warning a minute");
        assert!(frames(&folder).iter().all(|frames| *frames > 0));
        assert!(recorder.lost().load(Ordering::Relaxed) > 0);
    }
}
