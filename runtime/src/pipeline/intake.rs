//! Getting frames out of a source, past faults that cost one frame only.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::control::{RunControl, RunOptions};
use super::error::RunError;
use super::notice::{Notice, Throttle};
use crate::deadline::join_within;
use crate::slot::{LatestSlot, Put};
use crate::source::{Frame, Recovery, Source, SourceError};

/// How long a source may take to end before its thread is detached: a program that it reads from may have to be killed
/// first.
const ENDING: Duration = Duration::from_millis(800);

/// A source, with counting, reporting and skipping of frames.
pub(super) struct Intake {
    source: Box<dyn Source>,
    control: RunControl,
    report: fn(&Notice),
    every: u64,
    skips: Arc<Throttle>,
    interrupted: bool,
}

impl Intake {
    pub(super) fn new(
        source: Box<dyn Source>,
        options: &RunOptions,
        control: &RunControl,
        skips: &Arc<Throttle>,
    ) -> Self {
        control.monitor.set_source(source.name());
        Self {
            source,
            control: control.clone(),
            report: options.report,
            every: options.every.max(1),
            skips: Arc::clone(skips),
            interrupted: false,
        }
    }

    /// The next frame to predict; `None` at the end, or when the run was asked to stop.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        let counters = Arc::clone(&self.control.counters);
        while !self.control.stop.load(Ordering::Relaxed) {
            match self.source.next() {
                Ok(Some(frame)) => {
                    counters.captured.add_one();
                    if std::mem::take(&mut self.interrupted) {
                        counters.reconnects.add_one();
                        self.control.monitor.resumed();
                        let source = self.source.name().to_owned();
                        (self.report)(&Notice::Resumed { source });
                    }
                    if frame.number.is_multiple_of(self.every) {
                        return Ok(Some(frame));
                    }
                    counters.passed_over.add_one();
                }
                Ok(None) => return Ok(None),
                Err(error) => self.fault(error)?,
            }
        }
        Ok(None)
    }

    /// Counts and reports a fault that costs one frame or a reconnect; returns one that ends the source.
    fn fault(&mut self, error: SourceError) -> Result<(), SourceError> {
        // What breaks because the program ends is not a fault.
        if self.control.stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let (source, reason) = (error.name.clone(), error.kind.to_string());
        match error.recovery() {
            Recovery::Lost => return Err(error),
            Recovery::NextFrame => {
                self.control.counters.captured.add_one();
                skipped(&self.control, &self.skips, self.report, source, reason);
            }
            Recovery::Reconnecting => {
                if !std::mem::replace(&mut self.interrupted, true) {
                    self.control.counters.stalls.add_one();
                }
                self.control.monitor.interrupted(&reason);
                (self.report)(&Notice::Interrupted { source, reason });
            }
        }
        Ok(())
    }
}

/// Counts and reports a frame that could not be read.
pub(super) fn skipped(
    control: &RunControl,
    throttle: &Throttle,
    report: fn(&Notice),
    source: String,
    reason: String,
) {
    control.counters.corrupt.add_one();
    if let Some(suppressed) = throttle.pass() {
        report(&Notice::Skipped { source, reason, suppressed });
    }
}

/// A live source on its thread.
pub(super) struct Capture {
    name: String,
    report: fn(&Notice),
    thread: JoinHandle<Result<(), SourceError>>,
}

impl Capture {
    /// Starts to put the frames of `intake` into `slot`; closes it at the end.
    pub(super) fn start(mut intake: Intake, slot: &Arc<LatestSlot<Frame>>) -> Result<Self, RunError> {
        let name = intake.source.name().to_owned();
        let report = intake.report;
        let guard = CloseWhenDropped(Arc::clone(slot));
        let capture = move || -> Result<(), SourceError> {
            let counters = Arc::clone(&intake.control.counters);
            while let Some(frame) = intake.next()? {
                match guard.0.put(frame) {
                    Put::Stored => {}
                    Put::Replaced => counters.dropped.add_one(),
                    Put::Closed => break,
                }
            }
            Ok(())
        };
        let thread = Builder::new().name("capture".into()).spawn(capture).map_err(RunError::Thread)?;
        Ok(Self { name, report, thread })
    }

    /// Waits for the end of the thread, which has been asked to stop, and gives its error.
    pub(super) fn finish(self) -> Result<(), RunError> {
        match join_within(self.thread, ENDING) {
            Ok(Ok(ended)) => ended.map_err(RunError::Source),
            Ok(Err(_)) => Err(RunError::Panicked(self.name)),
            Err(_) => {
                (self.report)(&Notice::Detached { source: self.name });
                Ok(())
            }
        }
    }
}

/// Wakes the reader of the slot however the thread ends, by a panic too.
struct CloseWhenDropped(Arc<LatestSlot<Frame>>);

impl Drop for CloseWhenDropped {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Pixels, SourceErrorKind};
    use std::collections::VecDeque;
    use std::time::Instant;

    /// What a source does, call by call.
    enum Act {
        Give(u64),
        Fail(SourceErrorKind),
        Panic,
    }

    struct Scripted(VecDeque<Act>);

    impl Source for Scripted {
        fn next(&mut self) -> Result<Option<Frame>, SourceError> {
            match self.0.pop_front() {
                None => Ok(None),
                Some(Act::Give(number)) => Ok(Some(Frame {
                    source: "script".into(),
                    number,
                    image: Pixels::Encoded(Vec::new()),
                    captured: Instant::now(),
                })),
                Some(Act::Fail(kind)) => Err(SourceError::new("script", kind)),
                Some(Act::Panic) => std::panic::resume_unwind(Box::new("scripted")),
            }
        }

        fn is_live(&self) -> bool {
            true
        }

        fn name(&self) -> &str {
            "script"
        }
    }

    fn intake(acts: impl IntoIterator<Item = Act>, every: u64) -> (Intake, RunControl) {
        let source = Box::new(Scripted(acts.into_iter().collect()));
        let options = RunOptions { every, ..RunOptions::default() };
        let control = RunControl::default();
        let skips = Arc::new(Throttle::new(Duration::ZERO));
        (Intake::new(source, &options, &control, &skips), control)
    }

    fn lost() -> SourceErrorKind {
        SourceErrorKind::Lost { after: Duration::from_secs(1), fault: "unplugged".into() }
    }

    #[test]
    fn faults_that_cost_one_frame_are_counted_and_do_not_end_the_source() {
        let broken = Act::Fail(SourceErrorKind::Damaged("x".into()));
        let off = Act::Fail(SourceErrorKind::Disconnected("x".into()));
        let acts = [Act::Give(0), broken, Act::Give(2), Act::Give(3), off, Act::Give(4), Act::Fail(lost())];
        let (mut intake, control) = intake(acts, 2);
        let mut numbers = Vec::new();
        let error = loop {
            match intake.next() {
                Ok(Some(frame)) => numbers.push(frame.number),
                Ok(None) => unreachable!("the script ends with an error"),
                Err(error) => break error,
            }
        };
        assert_eq!(numbers, [0, 2, 4]);
        assert_eq!(error.recovery(), Recovery::Lost);
        let counts = control.counters.snapshot();
        assert_eq!((counts.captured, counts.corrupt, counts.passed_over), (5, 1, 1));
        assert_eq!((counts.stalls, counts.reconnects), (1, 1));
    }

    #[test]
    fn a_stopped_run_takes_no_frame_and_reports_no_fault() {
        let (mut intake, control) = intake([Act::Give(0), Act::Fail(lost())], 1);
        control.stop.store(true, Ordering::Relaxed);
        assert!(intake.next().unwrap().is_none());
    }

    #[test]
    fn a_capture_thread_ends_with_its_sources_fault_or_panic() {
        for (last, word) in [(Act::Fail(lost()), "unplugged"), (Act::Panic, "panicked")] {
            let (intake, _) = intake([Act::Give(0), last], 1);
            let slot = Arc::new(LatestSlot::new());
            let capture = Capture::start(intake, &slot).unwrap();
            let error = capture.finish().unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
            assert_eq!(slot.put(intake_frame()), Put::Closed);
        }
    }

    fn intake_frame() -> Frame {
        Frame {
            source: "script".into(),
            number: 9,
            image: Pixels::Encoded(Vec::new()),
            captured: Instant::now(),
        }
    }
}
