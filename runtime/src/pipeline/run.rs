//! A run: frames in, results out, until one of several ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::counters::Counters;
use super::inference::{AnswerError, Inference};
use super::intake::{Capture, Intake, skipped};
use super::notice::{Notice, Throttle};
use super::slot::{LatestSlot, Taken};
use super::timer::Timer;
use crate::model::ModelError;
use crate::sink::{Sink, SinkError};
use crate::source::{Frame, Source, SourceError};

/// How long the stop flag may go unseen.
const POLL: Duration = Duration::from_millis(100);
/// Between two messages about damaged frames of a live source.
const SKIP_SPACING: Duration = Duration::from_secs(1);
/// Between two messages about results that cannot be written.
const SINK_SPACING: Duration = Duration::from_secs(60);

/// The hands on a run from outside: a flag that ends it, and its counters. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct RunControl {
    /// Ends the run within half a second once it is set. A run sets it itself when it ends, so that the
    /// threads of its source end too: make a new control for the next run.
    pub stop: Arc<AtomicBool>,
    /// What happened so far.
    pub counters: Arc<Counters>,
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
    /// Goes on when a result cannot be written (a full disk), and tells it once a minute.
    pub keep_going: bool,
    /// Hears about faults that do not end the run. It is called from two threads.
    pub report: fn(&Notice),
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { frames: None, duration: None, every: 1, keep_going: false, report: |_| {} }
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
        answered: 0,
    };
    let timer = Timer::start(options.duration, &control.stop).map_err(RunError::Thread)?;
    let ended = if live { run.follow(intake) } else { run.pull(intake) };
    control.stop.store(true, Ordering::Relaxed);
    timer.finish();
    let finished = run.sinks.iter_mut().map(|sink| sink.finish().map_err(RunError::Sink));
    // Every sink is finished, whatever the others say; the first fault is the one to tell.
    let faults: Vec<RunError> = [ended].into_iter().chain(finished).filter_map(Result::err).collect();
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
    answered: u64,
}

impl Run<'_, '_> {
    /// Files: one frame at a time, none is dropped.
    fn pull(&mut self, mut intake: Intake) -> Result<(), RunError> {
        while !self.is_over() {
            match intake.next()? {
                Some(frame) => self.answer(&frame)?,
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
                Taken::Value(frame) => self.answer(&frame)?,
                Taken::TimedOut => {}
                Taken::Closed => break,
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.control.stop.load(Ordering::Relaxed)
            || self.options.frames.is_some_and(|frames| self.answered >= frames)
    }

    fn answer(&mut self, frame: &Frame) -> Result<(), RunError> {
        let mut result = match self.inference.answer(frame) {
            Ok(result) => result,
            Err(AnswerError::Picture(error)) => {
                let (source, reason) = (error.name, error.kind.to_string());
                skipped(self.control, &self.skips, self.options.report, source, reason);
                return Ok(());
            }
            Err(AnswerError::Model(error)) => return Err(error.into()),
        };
        self.answered += 1;
        self.control.counters.inferred.add_one();
        if result.record.flag.is_some() {
            self.control.counters.invalid.add_one();
        }
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
        Ok(())
    }
}
