//! A USB camera: captured on a thread of its own, watched, and opened again when it breaks off.
//!
//! The driver can hold a thread for ever, so nobody waits for that thread without a time limit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use super::devices::{describe_devices, video_devices};
use super::error::{SourceError, SourceErrorKind};
use super::spec::{CameraOptions, resolve};
use super::worker::{Event, OPENING, Worker};
use super::{Frame, Source, negotiate};
use crate::guard::guarded;

const POLL: Duration = Duration::from_millis(100);
/// The pause between two attempts to open grows from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(2));
/// Threads that may hang in the driver before the camera counts as lost.
const MOST_STUCK: usize = 4;

/// A camera that is read through V4L2.
pub struct CameraSource {
    index: u32,
    /// What the number is looked up by each time it is opened: another camera may have it by then.
    link: Option<PathBuf>,
    name: String,
    options: CameraOptions,
    stop: Arc<AtomicBool>,
    worker: Option<Worker>,
    stuck: Vec<JoinHandle<()>>,
    outage: Option<Outage>,
    number: u64,
}

/// Since when there is no picture, and when to try again.
struct Outage {
    since: Instant,
    next_try: Instant,
    pause: Duration,
    fault: String,
}

impl Outage {
    fn new(fault: &str) -> Self {
        let now = Instant::now();
        Self { since: now, next_try: now, pause: PAUSES.0, fault: fault.to_owned() }
    }
}

impl CameraSource {
    /// Opens camera `index`; sets itself to the format nearest to `options`.
    ///
    /// # Errors
    /// The camera is absent, busy, forbidden, or speaks no format that can be decoded.
    pub fn open(index: u32, options: CameraOptions, stop: Arc<AtomicBool>) -> Result<Self, SourceError> {
        Self::open_at(index, None, options, stop)
    }

    /// Opens the camera behind a link such as `/dev/v4l/by-id/...`, and follows the link when it is opened again.
    ///
    /// # Errors
    /// As [`CameraSource::open`], or the link leads to no camera.
    pub fn open_link(
        link: &Path,
        options: CameraOptions,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, SourceError> {
        Self::open_at(resolve(link)?, Some(link.to_path_buf()), options, stop)
    }

    fn open_at(
        index: u32,
        link: Option<PathBuf>,
        options: CameraOptions,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, SourceError> {
        let mut camera = Self {
            index,
            link,
            name: format!("camera{index}"),
            options,
            stop,
            worker: None,
            stuck: Vec::new(),
            outage: None,
            number: 0,
        };
        camera.start().map_err(|fault| {
            let found = describe_devices(&video_devices());
            SourceError::new(&camera.name, SourceErrorKind::Camera { fault, found })
        })?;
        Ok(camera)
    }

    /// The format that was agreed on, such as `640x480 MJPG 30 fps`.
    pub fn format(&self) -> Option<&str> {
        self.worker.as_ref().map(|worker| worker.format.as_str())
    }

    fn start(&mut self) -> Result<(), String> {
        if let Some(link) = &self.link {
            self.index = resolve(link).map_err(|error| error.kind.to_string())?;
        }
        let mut worker = Worker::start(self.index, self.options)?;
        let opened = worker.wait_until_open(&self.stop);
        match opened {
            Ok(()) => self.worker = Some(worker),
            Err(_) => self.stuck.extend(worker.leave()),
        }
        opened
    }

    /// Gives the worker up; `true` if its thread hangs in the driver.
    fn retire(&mut self, fault: &str) -> bool {
        // A second fault before the next picture belongs to the same outage.
        self.outage.get_or_insert_with(|| Outage::new(fault));
        let left = self.worker.take().and_then(Worker::leave);
        let hangs = left.is_some();
        self.stuck.extend(left);
        hangs
    }

    /// One step towards a camera that works again: a short wait, or an attempt to open it.
    fn reconnect(&mut self) -> Result<(), SourceError> {
        self.stuck.retain(|thread| !thread.is_finished());
        let now = Instant::now();
        let outage = self.outage.get_or_insert_with(|| Outage::new("it was closed"));
        let tried = now - outage.since;
        if tried >= self.options.reconnect || self.stuck.len() >= MOST_STUCK {
            let fault = outage.fault.clone();
            return Err(self.error(SourceErrorKind::Lost { after: tried, fault }));
        }
        if now < outage.next_try {
            sleep((outage.next_try - now).min(POLL));
            return Ok(());
        }
        outage.next_try = now + outage.pause;
        outage.pause = (outage.pause * 2).min(PAUSES.1);
        if let Err(fault) = self.start()
            && let Some(outage) = &mut self.outage
        {
            outage.fault = fault;
        }
        Ok(())
    }

    fn error(&self, kind: SourceErrorKind) -> SourceError {
        SourceError::new(&self.name, kind)
    }
}

impl Source for CameraSource {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        while !self.stop.load(Ordering::Relaxed) {
            let event = match &mut self.worker {
                Some(worker) => worker.wait(),
                None => {
                    self.reconnect()?;
                    continue;
                }
            };
            match event {
                None | Some(Event::Opened { .. }) => {}
                Some(Event::Picture(picture, captured)) => {
                    // Only a picture ends an outage: a camera may open and stay silent.
                    self.outage = None;
                    let number = self.number;
                    self.number += 1;
                    return Ok(Some(Frame { source: self.name.clone(), number, picture, captured }));
                }
                Some(Event::Damaged) => {
                    self.number += 1;
                    let fault = "the driver's buffer holds no whole picture".into();
                    return Err(self.error(SourceErrorKind::Damaged(fault)));
                }
                Some(Event::Failed(fault)) => {
                    self.retire(&fault);
                    return Err(self.error(SourceErrorKind::Disconnected(fault)));
                }
                Some(Event::Silent(waited)) => {
                    let stuck = self.retire("no frame came");
                    return Err(self.error(SourceErrorKind::Stalled { waited, stuck }));
                }
            }
        }
        Ok(None)
    }

    fn is_live(&self) -> bool {
        true
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for CameraSource {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            worker.leave();
        }
    }
}

/// The formats of camera `index`, such as `640x480 MJPG 30 fps`, whether or not they can be read here.
///
/// # Errors
/// The camera cannot be opened, or does not answer within five seconds.
pub fn camera_formats(index: u32) -> Result<Vec<String>, SourceError> {
    let fail = |fault: String| {
        let found = describe_devices(&video_devices());
        SourceError::new(format!("camera{index}"), SourceErrorKind::Camera { fault, found })
    };
    let (sender, answer) = sync_channel(1);
    let ask = move || {
        let formats = guarded(|| negotiate::list(index));
        let formats = formats.unwrap_or_else(|| Err("the camera library panicked".into()));
        // Whoever asked may have given up.
        let _ = sender.send(formats);
    };
    let thread = Builder::new().name(format!("formats{index}")).spawn(ask);
    let thread = thread.map_err(|error| fail(error.to_string()))?;
    let formats = answer.recv_timeout(OPENING).map_err(|_| fail("it does not answer".into()))?;
    // It has answered, so it is about to end.
    let _ = thread.join();
    formats.map_err(fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that no machine has.
    const ABSENT: u32 = 4711;

    #[test]
    fn an_absent_camera_is_an_error_that_lists_what_was_found() {
        let stop = Arc::new(AtomicBool::new(false));
        let error = CameraSource::open(ABSENT, CameraOptions::default(), stop).err().unwrap();
        assert!(matches!(error.kind, SourceErrorKind::Camera { .. }), "{error}");
        assert!(error.to_string().contains("found: ") && error.hint().is_some());
        assert!(camera_formats(ABSENT).is_err());
    }
}
