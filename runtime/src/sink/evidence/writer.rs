//! The thread that writes bundles: encoding and a dozen waits for the disk would hold up the next predictions.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use comet_engine::prediction::FrameResult;

use crate::evidence::{Exhibit, write_bundle};
use crate::monitor::ModelState;
use crate::sink::ending::{Ending, FINISH, join_until};
use crate::sink::interface::SinkError;
use crate::sink::stamp::Stamp;

/// Bundles that may wait for the disk. Each holds an image.
const QUEUE: usize = 4;
/// How long a caller that needs the outcome waits for it.
const OUTCOME: Duration = Duration::from_secs(60);

/// A bundle that is to be written.
pub(super) struct Job {
    pub(super) result: FrameResult,
    pub(super) model: ModelState,
    /// Name of its folder.
    pub(super) name: String,
    pub(super) time: Stamp,
}

/// Passes bundles to the thread.
pub(super) struct Writer {
    folder: PathBuf,
    jobs: Option<SyncSender<Order>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    deadline: Option<Instant>,
}

/// A bundle to write, and where the outcome is waited for, if it is.
struct Order {
    job: Job,
    reply: Option<SyncSender<Outcome>>,
}

type Outcome = Result<(), SinkError>;

#[derive(Debug, Default)]
struct Shared {
    waiting: AtomicU64,
    lost: AtomicU64,
    fault: Mutex<Option<SinkError>>,
}

impl Shared {
    fn note(&self, fault: SinkError) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
    }
}

impl Writer {
    /// Starts the thread, which writes below `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self, SinkError> {
        let (jobs, queue) = sync_channel(QUEUE);
        let shared = Arc::<Shared>::default();
        let (place, notes) = (folder.to_owned(), Arc::clone(&shared));
        let thread = Builder::new().name("evidence".into()).spawn(move || work(&place, &queue, &notes));
        let thread = thread.map_err(|fault| SinkError::new(folder.display().to_string(), fault))?;
        let folder = folder.to_owned();
        Ok(Self { folder, jobs: Some(jobs), shared, thread: Some(thread), deadline: None })
    }

    /// Leaves a bundle for the thread; `false` if too many wait already.
    pub(super) fn send(&self, job: Job) -> bool {
        let Some(jobs) = &self.jobs else { return false };
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        match jobs.try_send(Order { job, reply: None }) {
            Ok(()) => true,
            Err(fault) => {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                self.shared.lost.fetch_add(1, Ordering::Relaxed);
                self.shared.note(self.error(match fault {
                    TrySendError::Full(_) => io::Error::new(
                        ErrorKind::TimedOut,
                        "the disk is too slow: a bundle of evidence was not kept",
                    ),
                    TrySendError::Disconnected(_) => ended(),
                }));
                false
            }
        }
    }

    /// Lets the thread write a bundle and waits until it is on the disk.
    pub(super) fn write(&self, job: Job) -> Outcome {
        let (reply, outcome) = sync_channel(1);
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        let sent =
            self.jobs.as_ref().is_some_and(|jobs| jobs.send(Order { job, reply: Some(reply) }).is_ok());
        let outcome = if sent { outcome.recv_timeout(OUTCOME).ok() } else { None };
        outcome.unwrap_or_else(|| Err(self.error(ended())))
    }

    /// The newest fault that was not reported yet.
    pub(super) fn take_fault(&self) -> Option<SinkError> {
        self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Takes no more bundles.
    pub(super) fn begin_finish(&mut self) {
        self.jobs = None;
        self.deadline.get_or_insert_with(|| Instant::now() + FINISH);
    }

    /// Waits for the bundles that still are to be written, and reports what became of them.
    pub(super) fn finish(&mut self) -> Outcome {
        self.begin_finish();
        let Some(thread) = self.thread.take() else { return Ok(()) };
        match join_until(thread, self.deadline.unwrap_or_else(Instant::now)) {
            Ending::Done(()) => self.take_fault().map_or(Ok(()), Err),
            Ending::Panicked => Err(self.error(io::Error::other("the thread that writes evidence panicked"))),
            Ending::Unfinished => {
                let (waiting, seconds) = (self.shared.waiting.load(Ordering::Relaxed), FINISH.as_secs());
                let text = format!("{waiting} bundles of evidence were not written within {seconds} s");
                Err(self.error(io::Error::new(ErrorKind::TimedOut, text)))
            }
        }
    }

    /// Bundles that were not written because too many waited, or because the disk failed.
    pub(super) fn lost(&self) -> u64 {
        self.shared.lost.load(Ordering::Relaxed)
    }

    fn error(&self, fault: io::Error) -> SinkError {
        SinkError::new(self.folder.display().to_string(), fault)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A run that never began has nothing to report about its evidence.
        let _ = self.finish();
    }
}

fn ended() -> io::Error {
    io::Error::other("the thread that writes evidence does not respond; start the program again")
}

fn work(folder: &Path, queue: &Receiver<Order>, shared: &Shared) {
    while let Ok(Order { job, reply }) = queue.recv() {
        let written = write(folder, &job);
        shared.waiting.fetch_sub(1, Ordering::Relaxed);
        if written.is_err() {
            shared.lost.fetch_add(1, Ordering::Relaxed);
        }
        match (reply, written) {
            // The caller may have stopped waiting.
            (Some(reply), written) => drop(reply.send(written)),
            (None, Err(fault)) => shared.note(fault),
            (None, Ok(())) => {}
        }
    }
}

fn write(folder: &Path, job: &Job) -> Outcome {
    let fail = |fault| SinkError::new(folder.join(&job.name).display().to_string(), fault);
    let result = &job.result;
    let exhibit = Exhibit {
        record: serde_json::to_value(&result.record).map_err(|error| fail(error.into()))?,
        image: &result.image,
        jpeg: result.jpeg.as_deref().map(Vec::as_slice),
        input: &result.tensor,
        explanation: result.own_explanation(),
    };
    let written = write_bundle(folder, &job.name, &exhibit, &job.model, &job.time.rfc3339());
    written.map(drop).map_err(|error| fail(io::Error::other(error)))
}

/// A job about one frame, now.
pub(super) fn job(result: &FrameResult, model: ModelState, stem: &str) -> Job {
    let time = Stamp::of(SystemTime::now());
    Job { result: result.clone(), model, name: format!("{}-{stem}", time.file_stem()), time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;

    fn sample(number: u64) -> Job {
        job(&result("a.jpg", number, [0.0, 1.0, 0.0]), ModelState::default(), &format!("a.{number}"))
    }

    #[test]
    fn what_waits_is_written_before_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::start(folder.path()).unwrap();
        let sent = (0..3).filter(|number| writer.send(sample(*number))).count();
        writer.finish().unwrap();
        assert_eq!((sent, std::fs::read_dir(folder.path()).unwrap().count()), (3, 3));
        assert!(!writer.send(sample(9)), "after the end");
    }

    #[test]
    fn bundles_beyond_the_queue_are_dropped_counted_and_reported() {
        // A writer whose thread has not begun: nothing leaves the queue.
        let (jobs, queue) = sync_channel(1);
        let writer = Writer {
            folder: "evidence".into(),
            jobs: Some(jobs),
            shared: Arc::default(),
            thread: None,
            deadline: None,
        };
        assert!(writer.send(sample(0)) && !writer.send(sample(1)) && !writer.send(sample(2)));
        assert_eq!(writer.lost(), 2);
        let fault = writer.take_fault().unwrap().to_string();
        assert!(fault.contains("too slow") && writer.take_fault().is_none(), "{fault}");
        drop(queue);
    }

    #[test]
    fn a_fault_of_the_disk_is_reported_with_the_folder() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("file");
        std::fs::write(&folder, "in the way").unwrap();
        let mut writer = Writer::start(&folder).unwrap();
        let direct = writer.write(sample(0)).unwrap_err().to_string();
        assert!(direct.contains("file") && direct.contains("cannot be"), "{direct}");
        assert!(writer.send(sample(1)));
        assert!(writer.finish().is_err());
        assert_eq!(writer.lost(), 2);
    }
}
