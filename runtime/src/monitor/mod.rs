//! What a run knows about itself: counters, times, the state of source and model, and the trust of the last checks.
//!
//! One [`Monitor`] is shared by all threads of a run; pages, metrics and watchdogs read a [`Snapshot`] of it.

mod counters;
mod prometheus;
mod snapshot;
mod thermal;
mod trust;
mod window;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use counters::{Counters, Counts};
pub use prometheus::prometheus;
pub use snapshot::{Last, ModelState, Quantiles, Snapshot, SourceState, ThermalState, TrustSummary};
pub use thermal::{ThermalLimits, ThermalWatch};
#[cfg(feature = "cli")]
pub(crate) use thermal::{hottest, throttled};

use crate::explain::Checks;
use trust::RollingTrust;
use window::{Pace, Window};

/// What one answer tells the monitor.
#[derive(Clone, Debug)]
pub struct Answered<'a> {
    /// Number of the frame.
    pub frame: u64,
    /// The class, if there is one.
    pub class: Option<&'a str>,
    /// Its probability.
    pub probability: Option<f32>,
    /// Milliseconds in the network.
    pub inference_ms: f64,
    /// Milliseconds from capture to answer.
    pub latency_ms: f64,
    /// The checks of this frame, if it had some.
    pub checks: Option<&'a Checks>,
}

/// The shared state of a run.
#[derive(Debug)]
pub struct Monitor {
    /// What happened to frames.
    pub counters: Arc<Counters>,
    started: Instant,
    state: Mutex<State>,
    evidence: AtomicBool,
    progress: AtomicU64,
}

#[derive(Debug)]
struct State {
    source: String,
    outage: Option<(Instant, String)>,
    model: ModelState,
    inference: Window,
    latency: Window,
    pace: Pace,
    last: Option<(Instant, u64, Option<String>, Option<f32>)>,
    trust: RollingTrust,
    thermal: Option<ThermalState>,
    check_every: u64,
    smoothing: Option<f32>,
}

impl Default for Monitor {
    fn default() -> Self {
        let state = State {
            source: String::new(),
            outage: None,
            model: ModelState::default(),
            inference: Window::default(),
            latency: Window::default(),
            pace: Pace::default(),
            last: None,
            trust: RollingTrust::default(),
            thermal: None,
            check_every: 0,
            smoothing: None,
        };
        Self {
            counters: Arc::default(),
            started: Instant::now(),
            state: Mutex::new(state),
            evidence: AtomicBool::new(false),
            progress: AtomicU64::new(0),
        }
    }
}

impl Monitor {
    /// Names the source; it counts as giving frames.
    pub fn set_source(&self, name: &str) {
        let mut state = self.lock();
        state.source = name.to_owned();
        state.outage = None;
    }

    /// The source stalled or broke off.
    pub fn interrupted(&self, fault: &str) {
        let mut state = self.lock();
        // Another fault before the next frame belongs to the same outage.
        let since = state.outage.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        state.outage = Some((since, fault.to_owned()));
    }

    /// The source gives frames again.
    pub fn resumed(&self) {
        self.lock().outage = None;
    }

    /// Describes the model that answers from now on. How often it was exchanged is counted here.
    pub fn set_model(&self, model: ModelState) {
        let mut state = self.lock();
        let known = !state.model.sha256.is_empty();
        let reloads = state.model.reloads + u64::from(known);
        if known {
            // What was measured of the old model says nothing about this one.
            state.trust.forget();
            state.inference = Window::default();
        }
        state.model = ModelState { reloads, reload_fault: None, ..model };
    }

    /// A new model was refused; the old one serves on.
    pub fn reload_failed(&self, fault: &str) {
        self.lock().model.reload_fault = Some(fault.to_owned());
    }

    /// How the run was set up: every how many frames the checks run (0 for never), the weight of the newest frame in
    /// smoothed answers, and the share of checks that must hold.
    pub fn set_up(&self, check_every: u64, smoothing: Option<f32>, min_share: f64) {
        let mut state = self.lock();
        state.check_every = check_every;
        state.smoothing = smoothing;
        state.trust.min_share = min_share;
    }

    /// Takes note of an answer; `true` if it brought a new alarm.
    pub fn answered(&self, answer: &Answered<'_>) -> bool {
        self.progress.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        let now = Instant::now();
        state.inference.add(answer.inference_ms);
        state.latency.add(answer.latency_ms);
        state.pace.tick(now);
        state.last = Some((now, answer.frame, answer.class.map(str::to_owned), answer.probability));
        let Some(checks) = answer.checks else {
            return false;
        };
        self.counters.checks.add_one();
        let alarmed = state.trust.add(checks);
        if alarmed {
            self.counters.alarms.add_one();
        }
        alarmed
    }

    /// Temperature, and how far the run was slowed down for it.
    pub fn set_thermal(&self, thermal: ThermalState) {
        self.lock().thermal = Some(thermal);
    }

    /// By how many steps the run is slowed down because the board is hot.
    pub fn thermal_step(&self) -> u8 {
        self.lock().thermal.as_ref().map_or(0, |thermal| thermal.step)
    }

    /// A preview client was dropped: it read too slowly, or too many wanted to watch.
    pub fn count_client_drop(&self) {
        self.counters.client_drops.add_one();
    }

    /// Asks for an evidence bundle of the next answer.
    pub fn request_evidence(&self) {
        self.evidence.store(true, Ordering::Relaxed);
    }

    /// Whether a bundle was asked for; the request is taken by this.
    pub fn take_evidence_request(&self) -> bool {
        self.evidence.swap(false, Ordering::Relaxed)
    }

    /// Rises with every answer, and while the run waits for its source in order: a watchdog that sees it stand still
    /// sees a hang.
    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// The run is alive although no frame was answered.
    pub fn alive(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything, now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let seconds = |since: Instant| since.elapsed().as_secs_f64();
        let outage = state.outage.as_ref();
        Snapshot {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: seconds(self.started),
            source: SourceState {
                name: state.source.clone(),
                signal: outage.is_none(),
                fault: outage.map(|(_, fault)| fault.clone()),
                since_s: outage.map_or(0.0, |(since, _)| seconds(*since)),
            },
            model: state.model.clone(),
            counts: self.counters.snapshot(),
            fps: state.pace.rate(Instant::now()),
            inference_ms: state.inference.quantiles(),
            latency_ms: state.latency.quantiles(),
            last: state.last.as_ref().map(|(at, frame, class, probability)| Last {
                frame: *frame,
                class: class.clone(),
                probability: *probability,
                age_s: seconds(*at),
            }),
            trust: state.trust.summary(),
            thermal: state.thermal.clone(),
            check_every: state.check_every,
            smoothing: state.smoothing,
        }
    }

    /// A thread that panicked while it held the lock has left whole values.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(frame: u64, ms: f64) -> Answered<'static> {
        Answered {
            frame,
            class: Some("two"),
            probability: Some(0.9),
            inference_ms: ms,
            latency_ms: 2.0 * ms,
            checks: None,
        }
    }

    #[test]
    fn a_snapshot_tells_the_last_answer_and_the_usual_times() {
        let monitor = Monitor::default();
        assert!(monitor.snapshot().last.is_none());
        for (frame, ms) in [10.0, 30.0, 20.0].into_iter().enumerate() {
            monitor.answered(&answer(frame as u64, ms));
        }
        let snapshot = monitor.snapshot();
        assert_eq!((snapshot.inference_ms.p50, snapshot.latency_ms.p50), (20.0, 40.0));
        assert_eq!(snapshot.last.map(|last| last.frame), Some(2));
        assert_eq!(monitor.progress(), 3);
    }

    #[test]
    fn an_outage_is_seen_until_the_source_is_back() {
        let monitor = Monitor::default();
        monitor.set_source("camera0");
        assert!(monitor.snapshot().source.signal);
        monitor.interrupted("it was unplugged");
        let source = monitor.snapshot().source;
        assert!(!source.signal && source.fault.as_deref() == Some("it was unplugged"));
        monitor.resumed();
        assert!(monitor.snapshot().source.signal);
    }

    #[test]
    fn a_second_model_is_a_reload_and_a_refused_one_is_told() {
        let monitor = Monitor::default();
        let model = |sha: &str| ModelState { sha256: sha.into(), ..ModelState::default() };
        monitor.set_model(model("a"));
        assert_eq!(monitor.snapshot().model.reloads, 0);
        monitor.reload_failed("its seal is broken");
        assert_eq!(monitor.snapshot().model.reload_fault.as_deref(), Some("its seal is broken"));
        monitor.set_model(model("b"));
        let model = monitor.snapshot().model;
        assert_eq!((model.reloads, model.reload_fault), (1, None));
    }

    #[test]
    fn a_request_for_evidence_is_taken_once() {
        let monitor = Monitor::default();
        monitor.request_evidence();
        assert!(monitor.take_evidence_request() && !monitor.take_evidence_request());
    }
}
