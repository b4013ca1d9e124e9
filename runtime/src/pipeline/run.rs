//! A run: frames in, results out, until one of several ends.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use comet_engine::prediction::FrameResult;

use super::control::{RunControl, RunOptions};
use super::error::{PredictError, RunError};
use super::inference::Inference;
use super::intake::{Capture, Intake, skipped};
use super::notice::{Notice, Throttle};
use super::pacing::Pacing;
use super::timer::Timer;
use crate::monitor::{AlarmChange, Predicted};
use crate::sink::{Sink, SinkError};
use crate::slot::{LatestSlot, Taken};
use crate::source::{Frame, Source};

/// The longest time between two looks at the stop flag.
const POLL: Duration = Duration::from_millis(100);
/// Between two messages about damaged frames of a live source.
const SKIP_SPACING: Duration = Duration::from_secs(1);
/// Between two messages about results of a live source that cannot be written.
const SINK_SPACING: Duration = Duration::from_secs(60);

/// Predicts the frames of `source` and gives the results to `sinks`, in this order.
///
/// Ends with the source, with [`RunOptions::frames`] or [`RunOptions::duration`], or when
/// [`RunControl::stop`] is set. A pipe whose reader was closed ends it too; that is not an error.
///
/// # Errors
/// The source is lost, the model fails, or a result cannot be written ([`RunOptions::keep_going`]).
pub fn run(
    source: Box<dyn Source>,
    inference: &mut Inference,
    sinks: &mut [Box<dyn Sink + '_>],
    options: &RunOptions,
    control: &RunControl,
) -> Result<(), RunError> {
    let live = source.is_live();
    // Every damaged file is named; the messages about a camera could fill a disk.
    let spacing = |of_live: Duration| if live { of_live } else { Duration::ZERO };
    let skips = Arc::new(Throttle::new(spacing(SKIP_SPACING)));
    let intake = Intake::new(source, options, control, &skips);
    let mut run = Run {
        inference,
        sinks,
        options,
        control,
        live,
        skips,
        sink_faults: Throttle::new(spacing(SINK_SPACING)),
        pacing: Pacing::new(options.max_fps),
        predicted: 0,
    };
    run.announce_model();
    let timer = Timer::start(options.duration, &control.stop).map_err(RunError::Thread)?;
    let ended = if live { run.follow(intake) } else { run.pull(intake) };
    control.stop.store(true, Ordering::Relaxed);
    timer.finish();
    let mut faults: Vec<RunError> = ended.err().into_iter().collect();
    faults.extend(run.finish_sinks());
    let closed_pipe = |fault: &RunError| matches!(fault, RunError::Sink(sink) if sink.is_broken_pipe());
    match faults.into_iter().find(|fault| !closed_pipe(fault)) {
        Some(fault) => Err(fault),
        None => Ok(()),
    }
}

struct Run<'a, 's> {
    inference: &'a mut Inference,
    sinks: &'a mut [Box<dyn Sink + 's>],
    options: &'a RunOptions,
    control: &'a RunControl,
    live: bool,
    skips: Arc<Throttle>,
    sink_faults: Throttle,
    pacing: Pacing,
    predicted: u64,
}

impl Run<'_, '_> {
    /// Files: one frame at a time, none is dropped.
    fn pull(&mut self, mut intake: Intake) -> Result<(), RunError> {
        while !self.is_over() {
            match intake.next()? {
                Some(frame) => self.process(frame)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Live sources: the newest frame, whenever the last prediction is finished.
    fn follow(&mut self, intake: Intake) -> Result<(), RunError> {
        let slot = Arc::new(LatestSlot::new());
        let capture = Capture::start(intake, &slot)?;
        let processed = self.process_newest(&slot);
        self.control.stop.store(true, Ordering::Relaxed);
        slot.close();
        let captured = capture.finish();
        processed.and(captured)
    }

    fn process_newest(&mut self, slot: &LatestSlot<Frame>) -> Result<(), RunError> {
        while !self.is_over() {
            match slot.take(POLL) {
                Taken::Value(frame) => self.process(frame)?,
                // Waiting for a source is not a hang; a source that hangs is detected where it is read.
                Taken::TimedOut => self.control.monitor.alive(),
                Taken::Closed => break,
            }
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.control.stop.load(Ordering::Relaxed)
            || self.options.frames.is_some_and(|frames| self.predicted >= frames)
    }

    /// Describes the model to the monitor. What alarms there were about the one before end with it.
    fn announce_model(&self) {
        let options = self.inference.options();
        let min_share = options.limits.min_share;
        self.control.monitor.set_up(options.check_every, options.smoothing, min_share);
        let ended = self.control.monitor.set_model(self.inference.model_state().clone());
        self.report_alarms(ended);
    }

    /// Changes to a new model, if one was offered.
    fn exchange(&mut self) {
        if let Some(inference) = self.control.exchange.take() {
            *self.inference = *inference;
            self.announce_model();
            let model = self.inference.model_state();
            let (name, sha256) = (model.name.clone(), model.sha256.clone());
            (self.options.report)(&Notice::NewModel { name, sha256 });
        }
    }

    /// Takes one frame all the way to the sinks, and then keeps the pace.
    fn process(&mut self, frame: Frame) -> Result<(), RunError> {
        self.exchange();
        self.pacing.begin(self.control.monitor.thermal_step());
        self.control.monitor.prediction_started();
        let passed = self.predict_and_pass_on(frame);
        self.control.monitor.prediction_ended();
        passed?;
        if !self.is_over() {
            let monitor = &self.control.monitor;
            self.pacing.wait(monitor.thermal_step(), &self.control.stop, || monitor.alive());
        }
        Ok(())
    }

    fn predict_and_pass_on(&mut self, frame: Frame) -> Result<(), RunError> {
        let mut result = match self.inference.predict(frame) {
            Ok(result) => result,
            Err(PredictError::Image(error)) => {
                let (source, reason) = (error.name, error.kind.to_string());
                skipped(self.control, &self.skips, self.options.report, source, reason);
                // A camera that gives damaged frames only is not a hang either.
                self.control.monitor.alive();
                return Ok(());
            }
            Err(PredictError::Model(error)) => return Err(error.into()),
        };
        self.predicted += 1;
        self.count(&result);
        for sink in self.sinks.iter_mut() {
            if let Err(fault) = sink.accept(&mut result) {
                if !goes_on_after(&fault, self.options.keep_going, self.live) {
                    return Err(fault.into());
                }
                self.control.counters.sink_failures.add_one();
                if let Some(suppressed) = self.sink_faults.pass() {
                    (self.options.report)(&Notice::NotWritten { reason: fault.to_string(), suppressed });
                }
            }
        }
        Ok(())
    }

    /// Finishes every sink, whatever becomes of the others; gives the faults that end a run.
    fn finish_sinks(&mut self) -> Vec<RunError> {
        let mut faults = Vec::new();
        for sink in self.sinks.iter_mut() {
            sink.begin_finish();
        }
        for sink in self.sinks.iter_mut() {
            match sink.finish() {
                Ok(()) => {}
                // What may be lost on the way may be lost at the end, too.
                Err(fault) if goes_on_after(&fault, self.options.keep_going, self.live) => {
                    self.control.counters.sink_failures.add_one();
                    (self.options.report)(&Notice::NotWritten { reason: fault.to_string(), suppressed: 0 });
                }
                Err(fault) => faults.push(fault.into()),
            }
        }
        faults
    }

    /// Counts a prediction, and reports the alarms that begin or end with it.
    fn count(&self, result: &FrameResult) {
        let record = &result.record;
        self.control.counters.inferred.add_one();
        if record.is_invalid() {
            self.control.counters.invalid.add_one();
        }
        let changes = self.control.monitor.predicted(&Predicted {
            frame: record.frame,
            class: record.class.as_deref(),
            probability: record.probability,
            inference_ms: record.ms.inference,
            latency_ms: record.ms.total,
            checks: record.checks.as_ref(),
        });
        self.report_alarms(changes);
    }

    fn report_alarms(&self, changes: Vec<AlarmChange>) {
        for AlarmChange { alarm, active } in changes {
            let notice = if active { Notice::Alarm { alarm } } else { Notice::AlarmEnded { alarm } };
            (self.options.report)(&notice);
        }
    }
}

/// Whether a run goes on although this could not be written.
fn goes_on_after(fault: &SinkError, keep_going: bool, live: bool) -> bool {
    let is_full = matches!(fault.fault.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded);
    keep_going && !fault.is_broken_pipe() && (live || !is_full)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{SyntheticScene, SyntheticSource};
    use comet_engine::model::ModelFile;

    /// Fails on the frame of this number.
    struct Faulty {
        frame: u64,
        kind: ErrorKind,
        accepted: u64,
    }

    impl Sink for Faulty {
        fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
            if result.record.frame == self.frame {
                return Err(SinkError::new("out", self.kind.into()));
            }
            self.accepted += 1;
            Ok(())
        }
    }

    /// How a run over four drawn frames ends: its outcome, frames predicted, frames accepted, failures counted.
    fn run_with(kind: ErrorKind, keep_going: bool) -> (Result<(), RunError>, u64, u64, u64) {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/hands.int8.onnx");
        let model = ModelFile::read(file.as_ref()).unwrap();
        let mut inference = Inference::new(&model, 1).unwrap();
        let control = RunControl::default();
        let scene: SyntheticScene = "64x64,0,1,4".parse().unwrap();
        let source = SyntheticSource::new(scene, false, Arc::clone(&control.stop));
        let mut sink = Faulty { frame: 1, kind, accepted: 0 };
        let options = RunOptions { keep_going, ..RunOptions::default() };
        let ended = {
            let mut sinks: [Box<dyn Sink + '_>; 1] = [Box::new(Borrowed(&mut sink))];
            run(Box::new(source), &mut inference, &mut sinks, &options, &control)
        };
        let counts = control.counters.snapshot();
        (ended, counts.inferred, sink.accepted, counts.sink_failures)
    }

    struct Borrowed<'a>(&'a mut Faulty);

    impl Sink for Borrowed<'_> {
        fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
            self.0.accept(result)
        }
    }

    #[test]
    fn a_result_that_cannot_be_written_costs_itself_only_if_the_run_is_to_go_on() {
        let (ended, predicted, accepted, failures) = run_with(ErrorKind::InvalidFilename, true);
        assert!(ended.is_ok());
        assert_eq!((predicted, accepted, failures), (4, 3, 1));
        let (ended, predicted, ..) = run_with(ErrorKind::InvalidFilename, false);
        assert!(matches!(ended, Err(RunError::Sink(_))) && predicted == 2);
    }

    #[test]
    fn a_full_disk_ends_a_run_over_files_and_a_closed_pipe_ends_it_without_an_error() {
        let (ended, predicted, ..) = run_with(ErrorKind::StorageFull, true);
        assert!(matches!(ended, Err(RunError::Sink(_))) && predicted == 2);
        let (ended, predicted, ..) = run_with(ErrorKind::BrokenPipe, true);
        assert!(ended.is_ok() && predicted == 2);
    }

    #[test]
    fn one_file_that_cannot_be_written_does_not_end_a_run_and_a_full_disk_ends_one_over_files() {
        let fault = |kind: ErrorKind| SinkError::new("out/a.overlay.jpg", kind.into());
        for live in [false, true] {
            assert!(goes_on_after(&fault(ErrorKind::InvalidFilename), true, live));
            assert!(goes_on_after(&fault(ErrorKind::PermissionDenied), true, live));
            assert!(!goes_on_after(&fault(ErrorKind::PermissionDenied), false, live));
            assert!(!goes_on_after(&fault(ErrorKind::BrokenPipe), true, live));
            assert_eq!(goes_on_after(&fault(ErrorKind::StorageFull), true, live), live);
        }
    }
}
