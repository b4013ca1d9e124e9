//! The state that all threads of a run share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use comet_engine::explain::Checks;

use super::counters::Counters;
use super::health::limit_s;
use super::snapshot::{Last, ModelState, PredictionState, Snapshot, SourceState, ThermalState};
use super::trust::{AlarmChange, RollingTrust};
use super::window::{Pace, Window};

/// One prediction, as the monitor counts it.
#[derive(Clone, Debug)]
pub struct Predicted<'a> {
    /// Number of the frame.
    pub frame: u64,
    /// The class, if there is one.
    pub class: Option<&'a str>,
    /// Its probability.
    pub probability: Option<f32>,
    /// Milliseconds in the network.
    pub inference_ms: f64,
    /// Milliseconds from capture to prediction.
    pub latency_ms: f64,
    /// The checks of this frame, if it was checked.
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
    last: Option<LastPrediction>,
    /// When the prediction that is under way started.
    started: Option<Instant>,
    trust: RollingTrust,
    thermal: Option<ThermalState>,
    check_every: u64,
    smoothing: Option<f32>,
}

#[derive(Debug)]
struct LastPrediction {
    at: Instant,
    frame: u64,
    class: Option<String>,
    probability: Option<f32>,
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
            started: None,
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

    /// Describes the model that is used from now on; how often it was exchanged is counted here. Alarms about the one
    /// before are over, and are returned.
    pub fn set_model(&self, model: ModelState) -> Vec<AlarmChange> {
        let mut state = self.lock();
        let known = !state.model.sha256.is_empty();
        let reloads = state.model.reloads + u64::from(known);
        let mut ended = Vec::new();
        if known {
            // What was measured of the old model says nothing about this one.
            ended = state.trust.forget();
            state.inference = Window::default();
            state.latency = Window::default();
        }
        state.model = ModelState { reloads, reload_fault: None, ..model };
        ended
    }

    /// A new model was refused; the old one stays in use.
    pub fn reload_failed(&self, fault: &str) {
        self.lock().model.reload_fault = Some(fault.to_owned());
    }

    /// How the run was set up: every how many frames the checks run (0 for never), the weight of the newest frame in
    /// smoothed predictions, and the share of checks that must hold.
    pub fn set_up(&self, check_every: u64, smoothing: Option<f32>, min_share: f64) {
        let mut state = self.lock();
        state.check_every = check_every;
        state.smoothing = smoothing;
        state.trust.min_share = min_share;
    }

    /// A frame is being predicted. Until [`prediction_ended`](Self::prediction_ended) the time counts towards a hang.
    pub fn prediction_started(&self) {
        self.lock().started = Some(Instant::now());
    }

    /// The frame was predicted and its result written, or it could not be.
    pub fn prediction_ended(&self) {
        self.lock().started = None;
    }

    /// Takes note of a prediction, and returns the alarms that begin or end with it.
    pub fn predicted(&self, prediction: &Predicted<'_>) -> Vec<AlarmChange> {
        self.progress.fetch_add(1, Ordering::Relaxed);
        let mut state = self.lock();
        let now = Instant::now();
        state.inference.add(prediction.inference_ms);
        state.latency.add(prediction.latency_ms);
        state.pace.tick(now);
        state.last = Some(LastPrediction {
            at: now,
            frame: prediction.frame,
            class: prediction.class.map(str::to_owned),
            probability: prediction.probability,
        });
        let Some(checks) = prediction.checks else {
            return Vec::new();
        };
        self.counters.checks.add_one();
        let changes = state.trust.add(checks);
        for _ in changes.iter().filter(|change| change.active) {
            self.counters.alarms.add_one();
        }
        changes
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

    /// Asks for an evidence bundle of the next prediction.
    pub fn request_evidence(&self) {
        self.evidence.store(true, Ordering::Relaxed);
    }

    /// Whether a bundle was asked for; the request is taken by this.
    pub fn take_evidence_request(&self) -> bool {
        self.evidence.swap(false, Ordering::Relaxed)
    }

    /// Rises with every prediction, and while the run waits for a source that is in order: when it stands still, the run
    /// hangs.
    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// The run is alive although no frame was predicted.
    pub fn alive(&self) {
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything, now.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let seconds = |since: Instant| since.elapsed().as_secs_f64();
        let outage = state.outage.as_ref();
        let latency = state.latency.quantiles();
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
            latency_ms: latency,
            last: state.last.as_ref().map(|last| Last {
                frame: last.frame,
                class: last.class.clone(),
                probability: last.probability,
                age_s: seconds(last.at),
            }),
            trust: state.trust.summary(),
            thermal: state.thermal.clone(),
            check_every: state.check_every,
            smoothing: state.smoothing,
            prediction: PredictionState {
                running_s: state.started.map(seconds),
                limit_s: limit_s(latency.p95, latency.n),
            },
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

    fn prediction(frame: u64, ms: f64) -> Predicted<'static> {
        Predicted {
            frame,
            class: Some("two"),
            probability: Some(0.9),
            inference_ms: ms,
            latency_ms: 2.0 * ms,
            checks: None,
        }
    }

    #[test]
    fn a_snapshot_has_the_last_prediction_and_the_usual_times() {
        let monitor = Monitor::default();
        assert!(monitor.snapshot().last.is_none());
        for (frame, ms) in [10.0, 30.0, 20.0].into_iter().enumerate() {
            monitor.predicted(&prediction(frame as u64, ms));
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
    fn a_second_model_is_a_reload_and_a_refused_one_is_reported() {
        let monitor = Monitor::default();
        let model = |sha: &str| ModelState { sha256: sha.into(), ..ModelState::default() };
        monitor.set_model(model("a"));
        assert_eq!(monitor.snapshot().model.reloads, 0);
        monitor.reload_failed("its checksum is wrong");
        assert_eq!(monitor.snapshot().model.reload_fault.as_deref(), Some("its checksum is wrong"));
        monitor.set_model(model("b"));
        let model = monitor.snapshot().model;
        assert_eq!((model.reloads, model.reload_fault), (1, None));
    }

    #[test]
    fn a_prediction_that_never_ends_is_seen_in_the_health_of_the_run() {
        let monitor = Monitor::default();
        monitor.prediction_started();
        let mut snapshot = monitor.snapshot();
        assert!(snapshot.prediction.running_s.is_some() && snapshot.health().ok, "it has only started");
        snapshot.prediction.running_s = Some(snapshot.prediction.limit_s + 1.0);
        assert!(!snapshot.health().ok);
        monitor.prediction_ended();
        assert!(monitor.snapshot().prediction.running_s.is_none());
    }

    #[test]
    fn a_request_for_evidence_is_taken_once() {
        let monitor = Monitor::default();
        monitor.request_evidence();
        assert!(monitor.take_evidence_request() && !monitor.take_evidence_request());
    }
}
