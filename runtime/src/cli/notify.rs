//! Notifying a service manager (systemd) of the state of a run: ready, alive, a line of text, reloading, stopping.
//!
//! The keep-alive follows the predictions, not a timer: a run that hangs sends none, and is started again.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use super::environment;
use crate::deadline::join_within;
use crate::monitor::{Monitor, Snapshot};

/// The longest time until a change is noticed.
const POLL: Duration = Duration::from_millis(100);
/// How long the thread may take to end.
const ENDING: Duration = Duration::from_secs(1);
/// Between two lines of text about the state.
const STATUS: Duration = Duration::from_secs(5);

/// Whether the service manager knows that the service is ready. Clones share it; it stays `false` without a manager.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    fn is_known(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The service has started to exchange its model. Nothing is sent before the service was ready.
    pub(super) fn reloading(&self) {
        if self.is_known() {
            match NotifyState::monotonic_usec_now() {
                Ok(now) => send(&[NotifyState::Reloading, now]),
                // A reload without its time would never end for the manager.
                Err(_) => send(&[NotifyState::Status("reloading")]),
            }
        }
    }

    /// The exchange is over, with the new model or the old one.
    pub(super) fn reloaded(&self) {
        if self.is_known() {
            send(&[NotifyState::Ready]);
        }
    }
}

/// The thread that notifies the service manager. When it ends, it reports that the service is stopping.
#[derive(Debug)]
pub(super) struct Notifier {
    thread: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
}

impl Notifier {
    /// Sends notifications until `stop` is set or this value is dropped. `None` where there is no service manager.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn from_env(
        monitor: &Arc<Monitor>,
        stop: &Arc<AtomicBool>,
        ready: &Readiness,
    ) -> io::Result<Option<Self>> {
        if !environment::has_service_manager() {
            return Ok(None);
        }
        let ended = Arc::<AtomicBool>::default();
        let flags = [Arc::clone(stop), Arc::clone(&ended)];
        // Twice as often as the manager asks for.
        let keep_alive = environment::watchdog().map(|limit| limit / 2).filter(|half| !half.is_zero());
        let mut watch = Watch::new(Arc::clone(monitor), ready.clone(), keep_alive, Instant::now());
        let work = move || {
            while !flags.iter().any(|flag| flag.load(Ordering::Relaxed)) {
                watch.look(Instant::now()).send();
                sleep(POLL.min(watch.keep_alive.unwrap_or(POLL)));
            }
            send(&[NotifyState::Stopping]);
        };
        let thread = Builder::new().name("notify".into()).spawn(work)?;
        Ok(Some(Self { thread: Some(thread), ended }))
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there was reported on stderr, and the manager misses the keep-alive.
            let _ = join_within(thread, ENDING);
        }
    }
}

/// A manager that cannot be reached misses the keep-alive.
fn send(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// When to send what.
struct Watch {
    monitor: Arc<Monitor>,
    ready: Readiness,
    keep_alive: Option<Duration>,
    /// [`Monitor::progress`] at the last sign of life.
    progress: u64,
    alive_due: Instant,
    status_due: Instant,
}

/// What is to be sent now.
#[derive(Debug, Default, PartialEq)]
struct Notification {
    ready: bool,
    alive: bool,
    status: Option<String>,
}

impl Watch {
    fn new(monitor: Arc<Monitor>, ready: Readiness, keep_alive: Option<Duration>, now: Instant) -> Self {
        Self { monitor, ready, keep_alive, progress: 0, alive_due: now, status_due: now }
    }

    fn look(&mut self, now: Instant) -> Notification {
        let mut notification = Notification::default();
        if !self.ready.is_known() && self.monitor.snapshot().last.is_some() {
            self.ready.0.store(true, Ordering::Relaxed);
            notification.ready = true;
            self.status_due = now;
        }
        let progress = self.monitor.progress();
        if let Some(spacing) = self.keep_alive
            && self.ready.is_known()
            && now >= self.alive_due
            && progress != self.progress
        {
            notification.alive = true;
            (self.progress, self.alive_due) = (progress, now + spacing);
        }
        if now >= self.status_due {
            notification.status = Some(status(&self.monitor.snapshot()));
            self.status_due = now + STATUS;
        }
        notification
    }
}

impl Notification {
    fn send(&self) {
        let states = [
            self.ready.then_some(NotifyState::Ready),
            self.alive.then_some(NotifyState::Watchdog),
            self.status.as_deref().map(NotifyState::Status),
        ];
        let states: Vec<NotifyState<'_>> = states.into_iter().flatten().collect();
        if !states.is_empty() {
            send(&states);
        }
    }
}

/// One line: whether frames come, the last prediction, and how many there are a second.
fn status(snapshot: &Snapshot) -> String {
    let source = &snapshot.source;
    let line = match (&snapshot.last, &source.fault) {
        (_, Some(fault)) => format!("no frames from {} for {:.0} s: {fault}", source.name, source.since_s),
        (None, None) => format!("waiting for the first frame of {}", source.name),
        (Some(last), None) => {
            let class = last.class.as_deref().unwrap_or("no class");
            let percent = last.probability.map(|p| format!(" {:.0} %", 100.0 * p)).unwrap_or_default();
            let alarms = match snapshot.trust.alarms.len() {
                0 => String::new(),
                count => format!(", explanation alarms: {count}"),
            };
            format!("{class}{percent}, {:.1} predictions a second from {}{alarms}", snapshot.fps, source.name)
        }
    };
    // A line end would start another message, and classes come from model files.
    line.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Predicted;

    fn predict(monitor: &Monitor) {
        monitor.predicted(&Predicted {
            frame: 0,
            class: Some("two\nREADY=1"),
            probability: Some(0.97),
            inference_ms: 10.0,
            latency_ms: 20.0,
            checks: None,
        });
    }

    #[test]
    fn ready_is_sent_once_after_a_prediction_and_the_keep_alive_only_with_progress() {
        let monitor = Arc::new(Monitor::default());
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let half = Some(Duration::from_millis(500));
        let mut watch = Watch::new(Arc::clone(&monitor), Readiness::default(), half, start);
        monitor.alive();
        let notification = watch.look(at(0));
        assert!(
            !notification.ready && !notification.alive && notification.status.is_some(),
            "{notification:?}"
        );
        predict(&monitor);
        let notification = watch.look(at(100));
        assert!(
            notification.ready && notification.alive && notification.status.is_some(),
            "{notification:?}"
        );
        predict(&monitor);
        assert_eq!(watch.look(at(200)), Notification::default(), "too early");
        assert_eq!(watch.look(at(600)), Notification { alive: true, ..Notification::default() });
        assert_eq!(watch.look(at(4000)), Notification::default(), "a run that hangs");
        monitor.alive();
        assert!(watch.look(at(4100)).alive, "a run that waits for its source in order");
    }

    #[test]
    fn the_state_is_one_line_whatever_a_class_is_called() {
        let monitor = Monitor::default();
        monitor.set_source("camera0");
        assert_eq!(status(&monitor.snapshot()), "waiting for the first frame of camera0");
        predict(&monitor);
        let line = status(&monitor.snapshot());
        assert_eq!(line, "two?READY=1 97 %, 0.0 predictions a second from camera0");
        monitor.interrupted("it was unplugged");
        assert!(status(&monitor.snapshot()).starts_with("no frames from camera0 for 0 s: it was unplugged"));
    }
}
