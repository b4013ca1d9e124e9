//! Telling a service manager (systemd) how the run does: ready, alive, its state, reloading, ending.
//!
//! The keep-alive follows the answers, not a timer: a run that hangs goes quiet, and is started again.

use std::env;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use sd_notify::NotifyState;

use crate::monitor::{Monitor, Snapshot};

/// How long a change may go unseen.
const POLL: Duration = Duration::from_millis(100);
/// Between two lines about the state.
const STATUS: Duration = Duration::from_secs(5);

/// Whether the service manager knows that the service is ready. Clones share it; it stays `false` without a manager.
#[derive(Clone, Debug, Default)]
pub(super) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    fn told(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The service has begun to exchange its model. Says nothing before the service was ready.
    pub(super) fn reloading(&self) {
        if self.told() {
            match NotifyState::monotonic_usec_now() {
                Ok(now) => tell(&[NotifyState::Reloading, now]),
                // Without the time the manager would wait for the end of a reload that it cannot place.
                Err(_) => tell(&[NotifyState::Status("reloading")]),
            }
        }
    }

    /// The exchange is over, with the new model or the old one.
    pub(super) fn reloaded(&self) {
        if self.told() {
            tell(&[NotifyState::Ready]);
        }
    }
}

/// The thread that tells the service manager. When it ends, it tells that the service is stopping.
#[derive(Debug)]
pub(super) struct Notifier {
    thread: Option<JoinHandle<()>>,
    ended: Arc<AtomicBool>,
}

impl Notifier {
    /// Starts to tell, until `stop` is set or this value is dropped. `None` where nobody listens: `NOTIFY_SOCKET` is
    /// not set.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn from_env(
        monitor: &Arc<Monitor>,
        stop: &Arc<AtomicBool>,
        ready: &Readiness,
    ) -> io::Result<Option<Self>> {
        if env::var_os("NOTIFY_SOCKET").is_none() {
            return Ok(None);
        }
        let ended = Arc::<AtomicBool>::default();
        let flags = [Arc::clone(stop), Arc::clone(&ended)];
        let mut watch = Watch::new(Arc::clone(monitor), ready.clone(), keep_alive(), Instant::now());
        let work = move || {
            while !flags.iter().any(|flag| flag.load(Ordering::Relaxed)) {
                watch.look(Instant::now()).send();
                sleep(POLL.min(watch.keep_alive.unwrap_or(POLL)));
            }
            tell(&[NotifyState::Stopping]);
        };
        let thread = Builder::new().name("notify".into()).spawn(work)?;
        Ok(Some(Self { thread: Some(thread), ended }))
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there has been told on stderr, and the manager misses the keep-alive.
            let _ = thread.join();
        }
    }
}

/// A manager that cannot be reached finds out by itself.
fn tell(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// Half of the time after which the manager gives the service up, if it watches this very process.
fn keep_alive() -> Option<Duration> {
    let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
    let own = match env::var_os("WATCHDOG_PID") {
        Some(_) => number("WATCHDOG_PID") == Some(u64::from(std::process::id())),
        None => true,
    };
    number("WATCHDOG_USEC").filter(|usec| own && *usec > 1).map(|usec| Duration::from_micros(usec / 2))
}

/// When to tell what.
struct Watch {
    monitor: Arc<Monitor>,
    ready: Readiness,
    keep_alive: Option<Duration>,
    /// [`Monitor::progress`] at the last sign of life.
    progress: u64,
    alive_due: Instant,
    status_due: Instant,
}

/// What is to be told now.
#[derive(Debug, Default, PartialEq)]
struct Told {
    ready: bool,
    alive: bool,
    status: Option<String>,
}

impl Watch {
    fn new(monitor: Arc<Monitor>, ready: Readiness, keep_alive: Option<Duration>, now: Instant) -> Self {
        Self { monitor, ready, keep_alive, progress: 0, alive_due: now, status_due: now }
    }

    fn look(&mut self, now: Instant) -> Told {
        let mut told = Told::default();
        if !self.ready.told() && self.monitor.snapshot().last.is_some() {
            self.ready.0.store(true, Ordering::Relaxed);
            told.ready = true;
            self.status_due = now;
        }
        let progress = self.monitor.progress();
        if let Some(spacing) = self.keep_alive
            && self.ready.told()
            && now >= self.alive_due
            && progress != self.progress
        {
            told.alive = true;
            (self.progress, self.alive_due) = (progress, now + spacing);
        }
        if now >= self.status_due {
            told.status = Some(status(&self.monitor.snapshot()));
            self.status_due = now + STATUS;
        }
        told
    }
}

impl Told {
    fn send(&self) {
        let states = [
            self.ready.then_some(NotifyState::Ready),
            self.alive.then_some(NotifyState::Watchdog),
            self.status.as_deref().map(NotifyState::Status),
        ];
        let states: Vec<NotifyState<'_>> = states.into_iter().flatten().collect();
        if !states.is_empty() {
            tell(&states);
        }
    }
}

/// One line: whether frames come, the last answer, and how many there are a second.
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
            format!("{class}{percent}, {:.1} answers a second from {}{alarms}", snapshot.fps, source.name)
        }
    };
    // A line end would begin another message, and classes come from model files.
    line.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::Answered;

    fn answer(monitor: &Monitor) {
        monitor.answered(&Answered {
            frame: 0,
            class: Some("two\nREADY=1"),
            probability: Some(0.97),
            inference_ms: 10.0,
            latency_ms: 20.0,
            checks: None,
        });
    }

    #[test]
    fn ready_is_told_once_after_an_answer_and_life_only_with_progress() {
        let monitor = Arc::new(Monitor::default());
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let half = Some(Duration::from_millis(500));
        let mut watch = Watch::new(Arc::clone(&monitor), Readiness::default(), half, start);
        monitor.alive();
        let told = watch.look(at(0));
        assert!(!told.ready && !told.alive && told.status.is_some(), "{told:?}");
        answer(&monitor);
        let told = watch.look(at(100));
        assert!(told.ready && told.alive && told.status.is_some(), "{told:?}");
        answer(&monitor);
        assert_eq!(watch.look(at(200)), Told::default(), "too early");
        assert_eq!(watch.look(at(600)), Told { alive: true, ..Told::default() });
        assert_eq!(watch.look(at(4000)), Told::default(), "a run that hangs");
        monitor.alive();
        assert!(watch.look(at(4100)).alive, "a run that waits for its source in order");
    }

    #[test]
    fn the_state_is_one_line_whatever_a_class_is_called() {
        let monitor = Monitor::default();
        monitor.set_source("camera0");
        assert_eq!(status(&monitor.snapshot()), "waiting for the first frame of camera0");
        answer(&monitor);
        let line = status(&monitor.snapshot());
        assert_eq!(line, "two?READY=1 97 %, 0.0 answers a second from camera0");
        monitor.interrupted("it was unplugged");
        assert!(status(&monitor.snapshot()).starts_with("no frames from camera0 for 0 s: it was unplugged"));
    }
}
