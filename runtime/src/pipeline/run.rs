//! A run: frames in, results out, until one of several ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::exchange::Exchange;
use super::inference::{AnswerError, Inference};
use super::intake::{Capture, Intake, skipped};
use super::notice::{Notice, Throttle};
use super::pacing::Pacing;
use super::timer::Timer;
use crate::model::ModelError;
use crate::monitor::{Answered, Counters, Monitor};
use crate::sink::{FrameResult, Sink, SinkError};
use crate::slot::{LatestSlot, Taken};
use crate::source::{Frame, Source, SourceError};

/// How long the stop flag may go unseen.
const POLL: Duration = Duration::from_millis(100);
/// Between two messages about damaged frames of a live source.
const SKIP_SPACING: Duration = Duration::from_secs(1);
/// Between two messages about results that cannot be written.
const SINK_SPACING: Duration = Duration::from_secs(60);

/// The hands on a run from outside: a flag that ends it, its counters and state, and a place for a new model. Clones
/// share all of it.
#[derive(Clone, Debug)]
pub struct RunControl {
    /// Ends the run within half a second once it is set. A run sets it itself when it ends, so that the
    /// threads of its source end too: make a new control for the next run.
    pub stop: Arc<AtomicBool>,
    /// What happened so far.
    pub counters: Arc<Counters>,
    /// What the run knows about itself; the counters are a part of it.
    pub monitor: Arc<Monitor>,
    /// Takes a model that answers from the next frame on.
    pub exchange: Exchange,
}

impl Default for RunControl {
    fn default() -> Self {
        let monitor = Arc::new(Monitor::default());
        Self {
            stop: Arc::default(),
            counters: Arc::clone(&monitor.counters),
            monitor,
            exchange: Exchange::default(),
        }
    }
}

/// How long a run goes on, and what it does about faults.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Ends after this many answers.
    pub frames: Option<u64>,
    /// Ends after this time.
    pub duration: Option<Duration>,
    /// Answers every N-th frame of the source.
    pub every: u64,
    /// Answers at most this many frames a second.
    pub max_fps: Option<f64>,
    /// Goes on when a result cannot be written (a full disk), and tells it once a minute.
    pub keep_going: bool,
    /// Hears about faults that do not end the run. It is called from two threads.
    pub report: fn(&Notice),
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { frames: None, duration: None, every: 1, max_fps: None, keep_going: false, report: |_| {} }
    }
}

/// Why a run ended before its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The source is lost.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The model failed on a picture.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A result could not be written.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The source panicked.
    #[error("the source {0} panicked")]
    Panicked(String),
    /// A thread could not be started.
    #[error("a thread cannot be started ({0})")]
    Thread(std::io::Error),
}

/// Answers the frames of `source` and gives the results to `sinks`, in this order.
///
/// Ends with the source, with [`RunOptions::frames`] or [`RunOptions::duration`], or when
/// [`RunControl::stop`] is set. A reader of a pipe that has gone away ends it too; that is no error.
///
/// # Errors
/// The source is lost, the model fails, or a result cannot be written.
pub fn run(
    source: Box<dyn Source>,
    inference: &mut Inference,
    sinks: &mut [Box<dyn Sink + '_>],
    options: &RunOptions,
    control: &RunControl,
) -> Result<(), RunError> {
    let live = source.is_live();
    // Every damaged file is named; a camera could fill a disk with its complaints.
    let spacing = if live { SKIP_SPACING } else { Duration::ZERO };
    let skips = Arc::new(Throttle::new(spacing));
    let intake = Intake::new(source, options, control, &skips);
    let mut run = Run {
        inference,
        sinks,
        options,
        control,
        skips,
        sink_faults: Throttle::new(SINK_SPACING),
        pacing: Pacing::new(options.max_fps),
        answered: 0,
    };
    run.announce();
    let timer = Timer::start(options.duration, &control.stop).map_err(RunError::Thread)?;
    let ended = if live { run.follow(intake) } else { run.pull(intake) };
    control.stop.store(true, Ordering::Relaxed);
    timer.finish();
    // Every sink is finished, whatever the others say; the first fault is the one to tell.
    let mut faults: Vec<RunError> = ended.err().into_iter().collect();
    for sink in run.sinks.iter_mut() {
        match sink.finish() {
            Ok(()) => {}
            // What may be lost on the way may be lost at the end, too.
            Err(fault) if options.keep_going && !fault.is_broken_pipe() => {
                control.counters.sink_failures.add_one();
                (options.report)(&Notice::NotWritten { reason: fault.to_string(), unsaid: 0 });
            }
            Err(fault) => faults.push(fault.into()),
        }
    }
    let broken_pipe = |fault: &RunError| matches!(fault, RunError::Sink(sink) if sink.is_broken_pipe());
    match faults.into_iter().find(|fault| !broken_pipe(fault)) {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

struct Run<'a, 's> {
    inference: &'a mut Inference,
    sinks: &'a mut [Box<dyn Sink + 's>],
    options: &'a RunOptions,
    control: &'a RunControl,
    skips: Arc<Throttle>,
    sink_faults: Throttle,
    pacing: Pacing,
    answered: u64,
}

impl Run<'_, '_> {
    /// Files: one frame at a time, none is dropped.
    fn pull(&mut self, mut intake: Intake) -> Result<(), RunError> {
        while !self.is_over() {
            match intake.next()? {
                Some(frame) => self.answer(frame)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Live sources: the newest frame, whenever the last one is answered.
    fn follow(&mut self, intake: Intake) -> Result<(), RunError> {
        let slot = Arc::new(LatestSlot::new());
        let capture = Capture::start(intake, &slot)?;
        let answered = self.answer_newest(&slot);
        self.control.stop.store(true, Ordering::Relaxed);
        slot.close();
        let captured = capture.finish();
        answered.and(captured)
    }

    fn answer_newest(&mut self, slot: &LatestSlot<Frame>) -> Result<(), RunError> {
        while !self.is_over() {
            match slot.take(POLL) {
                Taken::Value(frame) => self.answer(frame)?,
                // Waiting for a source is no hang; a source that hangs is watched where it is read.
                Taken::TimedOut => self.control.monitor.alive(),
                Taken::Closed => break,
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.control.stop.load(Ordering::Relaxed)
            || self.options.frames.is_some_and(|frames| self.answered >= frames)
    }

    /// Tells the monitor which model answers.
    fn announce(&self) {
        let options = self.inference.options();
        let min_share = options.limits.min_share;
        self.control.monitor.set_up(options.check_every, options.smoothing, min_share);
        self.control.monitor.set_model(self.inference.model_state().clone());
    }

    /// A new model, if one was offered.
    fn exchange(&mut self) {
        if let Some(inference) = self.control.exchange.take() {
            *self.inference = *inference;
            self.announce();
            let model = self.inference.model_state();
            let (name, sha256) = (model.name.clone(), model.sha256.clone());
            (self.options.report)(&Notice::NewModel { name, sha256 });
        }
    }

    fn answer(&mut self, frame: Frame) -> Result<(), RunError> {
        self.exchange();
        self.pacing.begin(self.control.monitor.thermal_step());
        let mut result = match self.inference.answer(frame) {
            Ok(result) => result,
            Err(AnswerError::Picture(error)) => {
                let (source, reason) = (error.name, error.kind.to_string());
                skipped(self.control, &self.skips, self.options.report, source, reason);
                // A camera that gives damaged frames only is no hang either.
                self.control.monitor.alive();
                return Ok(());
            }
            Err(AnswerError::Model(error)) => return Err(error.into()),
        };
        self.answered += 1;
        self.note(&result);
        for sink in self.sinks.iter_mut() {
            match sink.accept(&mut result) {
                Ok(()) => {}
                Err(fault) if self.options.keep_going && !fault.is_broken_pipe() => {
                    self.control.counters.sink_failures.add_one();
                    if let Some(unsaid) = self.sink_faults.pass() {
                        let reason = fault.to_string();
                        (self.options.report)(&Notice::NotWritten { reason, unsaid });
                    }
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        if !self.is_over() {
            let monitor = &self.control.monitor;
            self.pacing.wait(monitor.thermal_step(), &self.control.stop, || monitor.alive());
        }
        Ok(())
    }

    /// Counts an answer, and tells an alarm that it brought.
    fn note(&self, result: &FrameResult) {
        let record = &result.record;
        self.control.counters.inferred.add_one();
        if record.is_invalid() {
            self.control.counters.invalid.add_one();
        }
        let alarmed = self.control.monitor.answered(&Answered {
            frame: record.frame,
            class: record.class.as_deref(),
            probability: record.probability,
            inference_ms: record.ms.inference,
            latency_ms: record.ms.total,
            checks: record.checks.as_ref(),
        });
        if alarmed {
            for alarm in self.control.monitor.snapshot().trust.alarms {
                (self.options.report)(&Notice::Alarm { alarm });
            }
        }
    }
}
