//! The thread that sits in the camera's driver, and the watchdog over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use comet_engine::guard::guarded;

use super::capture::{Frames, image};
use super::frame::Pixels;
use super::negotiate;
use super::options::CameraOptions;
use crate::deadline::join_within;

const POLL: Duration = Duration::from_millis(100);
/// How long opening may take; slow webcams need two seconds.
pub(super) const OPENING: Duration = Duration::from_secs(5);
/// How long the thread may take to end before it is left behind; it looks up ten times a second.
const LEAVING: Duration = Duration::from_millis(300);
const LEAST_PATIENCE: Duration = Duration::from_secs(2);
/// A driver may name any rate.
const MOST_PATIENCE: Duration = Duration::from_secs(60);

/// What the capture thread reports.
pub(super) enum Event {
    Opened {
        format: String,
        /// Between two frames, if the driver knows it.
        interval: Option<Duration>,
    },
    Image(Pixels, Instant),
    Damaged,
    Failed(String),
    /// Reported by the watchdog, not by the thread.
    Silent(Duration),
}

/// A camera on its thread.
pub(super) struct Worker {
    events: Receiver<Event>,
    quit: Arc<AtomicBool>,
    thread: JoinHandle<()>,
    pub(super) format: String,
    patience: Duration,
    last: Instant,
}

impl Worker {
    pub(super) fn start(index: u32, options: CameraOptions) -> Result<Self, String> {
        // One event in flight: an image that was not fetched yet is as new as the one behind it.
        let (sender, events) = sync_channel(1);
        let quit = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&quit);
        let thread = Builder::new()
            .name(format!("camera{index}"))
            .spawn(move || guarded_capture(index, options, &sender, &seen))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            events,
            quit,
            thread,
            format: String::new(),
            patience: LEAST_PATIENCE,
            last: Instant::now(),
        })
    }

    /// Waits until the camera is open.
    pub(super) fn wait_until_open(&mut self, stop: &AtomicBool) -> Result<(), String> {
        let deadline = Instant::now() + OPENING;
        while Instant::now() < deadline && !stop.load(Ordering::Relaxed) {
            match self.events.recv_timeout(POLL) {
                Ok(Event::Opened { format, interval }) => {
                    self.format = format;
                    self.patience = patience(interval);
                    // The first image takes its time: exposure, USB bandwidth.
                    self.last = Instant::now() + LEAST_PATIENCE;
                    return Ok(());
                }
                Ok(Event::Failed(fault)) => return Err(fault),
                Ok(_) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Err(format!("it did not open within {} s", OPENING.as_secs()))
    }

    /// The next event; `None` if it does not come within [`POLL`].
    pub(super) fn wait(&mut self) -> Option<Event> {
        match self.events.recv_timeout(POLL) {
            Ok(event) => {
                self.last = Instant::now();
                Some(event)
            }
            Err(RecvTimeoutError::Disconnected) => Some(Event::Failed("the capture thread ended".into())),
            Err(RecvTimeoutError::Timeout) => {
                let silent = self.last.elapsed();
                (silent >= self.patience).then_some(Event::Silent(silent))
            }
        }
    }

    /// Asks the thread to end and waits a moment; gives it back if it hangs in the driver.
    pub(super) fn leave(self) -> Option<JoinHandle<()>> {
        let Self { events, quit, thread, .. } = self;
        quit.store(true, Ordering::Relaxed);
        // A thread that waits to send is freed by this.
        drop(events);
        // Its panics are caught inside; a panic of the guard itself has nothing more to say.
        join_within(thread, LEAVING).err()
    }
}

/// Two seconds, or five frames of a slow camera.
fn patience(interval: Option<Duration>) -> Duration {
    interval.unwrap_or_default().saturating_mul(5).clamp(LEAST_PATIENCE, MOST_PATIENCE)
}

/// The libraries panic on some faults, even while they close the device.
fn guarded_capture(index: u32, options: CameraOptions, events: &SyncSender<Event>, quit: &AtomicBool) {
    let fault = match guarded(|| capture(index, options, events, quit)) {
        Some(Ok(())) => return,
        Some(Err(fault)) => fault,
        None => "the camera library panicked".into(),
    };
    // The receiver is gone if this fails.
    let _ = events.send(Event::Failed(fault));
}

fn capture(
    index: u32,
    options: CameraOptions,
    events: &SyncSender<Event>,
    quit: &AtomicBool,
) -> Result<(), String> {
    let (device, mode) = negotiate::open(index, options)?;
    let mut frames = Frames::start(&device).map_err(|error| error.to_string())?;
    let opened = Event::Opened { format: mode.to_string(), interval: mode.interval() };
    if events.send(opened).is_err() {
        return Ok(());
    }
    while !quit.load(Ordering::Relaxed) {
        let Some(bytes) = frames.wait().map_err(|error| error.to_string())? else {
            continue;
        };
        let captured = Instant::now();
        let event = match image(bytes, &mode) {
            Some(image) => Event::Image(image, captured),
            None => Event::Damaged,
        };
        match events.try_send(event) {
            Ok(()) | Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_cameras_get_more_patience() {
        let seconds = Duration::from_secs;
        assert_eq!(patience(Some(seconds(1) / 30)), seconds(2));
        assert_eq!(patience(Some(seconds(1))), seconds(5));
        assert_eq!(patience(Some(seconds(u32::MAX.into()))), seconds(60));
        assert_eq!(patience(None), seconds(2));
    }
}
