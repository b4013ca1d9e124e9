//! A USB camera: captured on a thread of its own, watched, and opened again when it disconnects.
//!
//! The driver can hold a thread for ever, so every wait for that thread has a time limit.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use comet_engine::guard::guarded;

use super::devices::{camera_behind, describe_devices, video_devices};
use super::error::{SourceError, SourceErrorKind};
use super::frame::Frame;
use super::negotiate;
use super::options::CameraOptions;
use super::reader::Source;
use super::reconnect::{Reconnect, Step};
use super::worker::{Event, OPENING, Worker};
use crate::backoff::Backoff;

const POLL: Duration = Duration::from_millis(100);
/// Shortest and longest pause before an attempt to open it again. Trying costs little: nothing leaves the machine.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
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
    reconnect: Reconnect,
    number: u64,
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
        Self::open_at(camera_behind(link)?, Some(link.to_path_buf()), options, stop)
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
            reconnect: Reconnect::new(options.reconnect, Backoff::new(PAUSES.0, PAUSES.1)),
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
            self.index = camera_behind(link).map_err(|error| error.kind.to_string())?;
        }
        let mut worker = Worker::start(self.index, self.options)?;
        let opened = worker.wait_until_open(&self.stop);
        match opened {
            Ok(()) => self.worker = Some(worker),
            Err(_) => self.stuck.extend(worker.leave()),
        }
        opened
    }

    /// Closes the camera after a fault; `true` if its thread hangs in the driver.
    fn close(&mut self, fault: &str) -> bool {
        self.reconnect.failed(fault, Instant::now());
        let left = self.worker.take().and_then(Worker::leave);
        let hangs = left.is_some();
        self.stuck.extend(left);
        hangs
    }

    /// One step towards a camera that works again: a short wait, or an attempt to open it.
    fn try_again(&mut self) -> Result<(), SourceError> {
        self.stuck.retain(|thread| !thread.is_finished());
        let now = Instant::now();
        match self.reconnect.step(now) {
            Step::Open if self.stuck.len() < MOST_STUCK => {
                if let Err(fault) = self.start() {
                    self.reconnect.failed(&fault, Instant::now());
                }
                Ok(())
            }
            Step::Wait(pause) if self.stuck.len() < MOST_STUCK => {
                sleep(pause.min(POLL));
                Ok(())
            }
            _ => Err(self.error(self.reconnect.lost(now))),
        }
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
                    self.try_again()?;
                    continue;
                }
            };
            match event {
                None | Some(Event::Opened { .. }) => {}
                Some(Event::Image(image, captured)) => {
                    self.reconnect.recovered();
                    let number = self.number;
                    self.number += 1;
                    return Ok(Some(Frame { source: self.name.clone(), number, image, captured }));
                }
                Some(Event::Damaged) => {
                    self.number += 1;
                    let fault = "the driver's buffer holds no whole image".into();
                    return Err(self.error(SourceErrorKind::Damaged(fault)));
                }
                Some(Event::Failed(fault)) => {
                    self.close(&fault);
                    return Err(self.error(SourceErrorKind::Disconnected(fault)));
                }
                Some(Event::Silent(waited)) => {
                    let stuck = self.close("no frame came");
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
/// The camera cannot be opened, or does not respond within five seconds.
pub fn camera_formats(index: u32) -> Result<Vec<String>, SourceError> {
    let fail = |fault: String| {
        let found = describe_devices(&video_devices());
        SourceError::new(format!("camera{index}"), SourceErrorKind::Camera { fault, found })
    };
    let (sender, listed) = sync_channel(1);
    let ask = move || {
        let formats = guarded(|| negotiate::list(index));
        let formats = formats.unwrap_or_else(|| Err("the camera library panicked".into()));
        // The caller may no longer be waiting.
        let _ = sender.send(formats);
    };
    let thread = Builder::new().name(format!("formats{index}")).spawn(ask);
    let thread = thread.map_err(|error| fail(error.to_string()))?;
    let formats = listed.recv_timeout(OPENING).map_err(|_| fail("it does not respond".into()))?;
    // It has responded, so it is about to end.
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
