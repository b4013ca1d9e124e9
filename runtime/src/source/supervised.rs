//! A live source that disconnects is opened again: programs and servers end, hang, and come back.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::error::{Recovery, SourceError, SourceErrorKind};
use super::frame::Frame;
use super::patience::Patience;
use super::reader::{Opened, Source};
use super::reconnect::{Reconnect, Step};
use crate::backoff::Backoff;
use crate::deadline::Deadline;

const POLL: Duration = Duration::from_millis(100);
/// Shortest and longest pause before an attempt to open the source again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// What is done about a source that disconnects.
pub(super) struct Rules {
    /// How long to try to open it again; zero does not try.
    pub(super) reconnect: Duration,
    /// Whether it may only be starting when it fails before its first frame, as a camera in the network.
    pub(super) is_remote: bool,
    pub(super) stop: Arc<AtomicBool>,
}

/// Gives the frames of one source after the other, and counts them through.
pub(super) struct Supervised<O> {
    name: String,
    open: O,
    rules: Rules,
    /// The open source reads until then.
    deadline: Deadline,
    source: Option<Box<dyn Source>>,
    patience: Patience,
    /// Whether any source has given a frame.
    gave: bool,
    reconnect: Reconnect,
    number: u64,
}

impl<O: FnMut(&Deadline) -> Opened + Send> Supervised<O> {
    /// Opens the source for the first time. It must fail with [`io::ErrorKind::TimedOut`] at the deadline
    /// that `open` is given, and its `Ok(None)` must be an end for good.
    ///
    /// # Errors
    /// Those of `open`.
    pub(super) fn open(name: impl Into<String>, mut open: O, rules: Rules) -> Result<Self, SourceError> {
        let deadline = Deadline::default();
        let source = Some(open(&deadline)?);
        let backoff =
            Backoff::new(PAUSES.0, PAUSES.1).with_jitter(RandomState::new().build_hasher().finish());
        Ok(Self {
            name: name.into(),
            open,
            reconnect: Reconnect::new(rules.reconnect, backoff),
            rules,
            deadline,
            source,
            patience: Patience::default(),
            gave: false,
            number: 0,
        })
    }

    fn is_stopped(&self) -> bool {
        self.rules.stop.load(Ordering::Relaxed)
    }

    fn accept(&mut self, mut frame: Frame) -> Frame {
        self.reconnect.recovered();
        self.patience.frame(frame.captured);
        self.gave = true;
        frame.number = self.number;
        self.number += 1;
        frame
    }

    /// Closes the source. What to report about it: everything that ends the run, and the first fault of an
    /// outage.
    fn close(&mut self, error: SourceError) -> Option<SourceError> {
        self.source = None;
        let waited = self.patience.limit();
        match error.is_timeout() {
            true => self.patience.stalled(waited),
            false => self.patience.closed(),
        }
        let error = match self.as_final(error) {
            Ok(last) => return Some(last),
            Err(error) => error,
        };
        let (fault, kind) = if error.is_timeout() {
            ("no frame came".to_owned(), SourceErrorKind::Stalled { waited, stuck: false })
        } else {
            let fault = match error.kind {
                SourceErrorKind::Disconnected(fault) | SourceErrorKind::NotOpened(fault) => fault,
                SourceErrorKind::Io(fault) => fault.to_string(),
                other => other.to_string(),
            };
            (fault.clone(), SourceErrorKind::Disconnected(fault))
        };
        self.reconnect.failed(&fault, Instant::now()).then(|| self.error(kind))
    }

    /// `Ok` if trying again is of no use: nothing came yet, and what was named is wrong or is not there.
    fn as_final(&self, error: SourceError) -> Result<SourceError, SourceError> {
        if self.gave {
            return Err(error);
        }
        let local = !self.rules.is_remote;
        match error.kind {
            SourceErrorKind::Io(fault) if fault.kind() == io::ErrorKind::Unsupported => {
                Ok(self.error(SourceErrorKind::NotOpened(fault.to_string())))
            }
            SourceErrorKind::Disconnected(fault) if local => {
                Ok(self.error(SourceErrorKind::NotOpened(fault)))
            }
            SourceErrorKind::NotOpened(_) | SourceErrorKind::NotAStream(_) | SourceErrorKind::Header(_)
                if local =>
            {
                Ok(error)
            }
            _ => Err(error),
        }
    }

    /// One step towards a source that works again: a short wait, or an attempt to open it.
    fn try_again(&mut self) -> Result<(), SourceError> {
        let now = Instant::now();
        match self.reconnect.step(now) {
            Step::GiveUp => return Err(self.error(self.reconnect.lost(now))),
            Step::Wait(pause) => sleep(pause.min(POLL)),
            Step::Open => match (self.open)(&self.deadline) {
                Ok(source) => self.source = Some(source),
                Err(error) => return self.close(error).map_or(Ok(()), Err),
            },
        }
        Ok(())
    }

    fn error(&self, kind: SourceErrorKind) -> SourceError {
        SourceError::new(&self.name, kind)
    }
}

impl<O: FnMut(&Deadline) -> Opened + Send> Source for Supervised<O> {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        while !self.is_stopped() {
            let Some(source) = &mut self.source else {
                self.try_again()?;
                continue;
            };
            self.deadline.set(Instant::now() + self.patience.limit());
            match source.next() {
                Ok(Some(frame)) => return Ok(Some(self.accept(frame))),
                Ok(None) => return Ok(None),
                // What breaks because the program ends is not a fault.
                Err(_) if self.is_stopped() => {}
                Err(error) if error.recovery() == Recovery::NextFrame => {
                    self.number += 1;
                    return Err(error);
                }
                Err(error) => {
                    if let Some(error) = self.close(error) {
                        return Err(error);
                    }
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

#[cfg(test)]
mod tests {
    use super::super::frame::Pixels;
    use super::*;
    use std::collections::VecDeque;

    /// What a source does, call by call; behind the last one it ends for good.
    struct Scripted(VecDeque<Result<u64, SourceErrorKind>>);

    impl Source for Scripted {
        fn next(&mut self) -> Result<Option<Frame>, SourceError> {
            let frame = |number| Frame {
                source: "camera".into(),
                number,
                image: Pixels::Encoded(Vec::new()),
                captured: Instant::now(),
            };
            let given = self.0.pop_front().transpose();
            given.map(|number| number.map(frame)).map_err(|kind| SourceError::new("camera", kind))
        }

        fn is_live(&self) -> bool {
            true
        }

        fn name(&self) -> &str {
            "camera"
        }
    }

    type Script = Vec<Result<u64, SourceErrorKind>>;

    /// What comes of sources that are opened one after the other, until the end or the loss.
    fn outcomes(scripts: Vec<Script>, reconnect: Duration, is_remote: bool) -> Vec<String> {
        let mut scripts = VecDeque::from(scripts);
        let open = move |_: &Deadline| -> Opened {
            let script = scripts.pop_front().ok_or_else(|| {
                SourceError::new("camera", SourceErrorKind::NotOpened("no device is there".into()))
            })?;
            Ok(Box::new(Scripted(script.into())))
        };
        let rules = Rules { reconnect, is_remote, stop: Arc::default() };
        let mut source = Supervised::open("camera", open, rules).unwrap();
        let mut outcomes = Vec::new();
        loop {
            match source.next() {
                Ok(Some(frame)) => outcomes.push(frame.number.to_string()),
                Ok(None) => return outcomes,
                Err(error) => {
                    outcomes.push(error.to_string());
                    if error.recovery() == Recovery::Lost {
                        return outcomes;
                    }
                }
            }
        }
    }

    fn off() -> Result<u64, SourceErrorKind> {
        Err(SourceErrorKind::Disconnected("cut".into()))
    }

    fn silent() -> Result<u64, SourceErrorKind> {
        Err(SourceErrorKind::Io(io::ErrorKind::TimedOut.into()))
    }

    #[test]
    fn an_outage_is_reported_once_and_the_numbers_go_on() {
        let damaged = || Err(SourceErrorKind::Damaged("x".into()));
        let scripts =
            vec![vec![Ok(0), damaged(), Ok(2), off()], vec![silent()], vec![Ok(0), Ok(1), silent()]];
        let outcomes = outcomes(scripts, Duration::from_secs(2), false);
        let expected = [
            "0",
            "camera: is damaged (x)",
            "2",
            "camera: disconnected (cut)",
            "3",
            "4",
            "camera: gave no frame for 10.0 s",
        ];
        assert_eq!(outcomes[..7], expected);
        assert!(
            outcomes[7].contains("is lost") && outcomes[7].contains("no device is there"),
            "{outcomes:?}"
        );
        assert_eq!(outcomes.len(), 8);
    }

    #[test]
    fn what_never_worked_is_tried_again_only_if_it_may_be_starting() {
        let first = |kind: SourceErrorKind, is_remote| {
            outcomes(vec![vec![Err(kind)], vec![Ok(0)]], Duration::from_secs(2), is_remote)
        };
        let cut = || SourceErrorKind::Disconnected("cut".into());
        let refused = || SourceErrorKind::Io(io::Error::new(io::ErrorKind::Unsupported, "404"));
        assert_eq!(first(cut(), false), ["camera: cannot be opened (cut)"]);
        assert_eq!(first(cut(), true), ["camera: disconnected (cut)", "0"]);
        assert_eq!(first(refused(), true), ["camera: cannot be opened (404)"]);
        let lost = outcomes(vec![vec![Ok(0), off()]], Duration::ZERO, true);
        assert!(lost.len() == 3 && lost[2].contains("is lost"), "{lost:?}");
    }
}
