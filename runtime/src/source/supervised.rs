//! A live source that breaks off is opened again: programs and servers end, hang, and come back.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::error::{Recovery, SourceError, SourceErrorKind};
use super::stdin::Deadline;
use super::synthetic::SplitMix;
use super::{Frame, Opened, Source};

const POLL: Duration = Duration::from_millis(100);
/// How long the first frame may take: programs start, cameras find their exposure, streams wait for a key frame.
const FIRST_FRAME: Duration = Duration::from_secs(10);
/// How long each further one may take.
const NEXT_FRAME: Duration = Duration::from_secs(2);
const LONGEST_PATIENCE: Duration = Duration::from_secs(60);
/// The pause between two attempts to open doubles from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// What is done about a source that breaks off.
pub(super) struct Rules {
    /// How long to try to open it again; zero gives up at once.
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
    /// When the open source's last frame was captured, and the time between its last two.
    last: Option<Instant>,
    interval: Option<Duration>,
    /// Whether any source has given a frame.
    gave: bool,
    outage: Option<Outage>,
    backoff: Backoff,
    number: u64,
}

/// Since when there is no picture, and when to try again.
struct Outage {
    since: Instant,
    next_try: Instant,
    fault: String,
}

impl<O: FnMut(&Deadline) -> Opened + Send> Supervised<O> {
    /// Opens the source for the first time. It must give up with [`io::ErrorKind::TimedOut`] at the deadline
    /// that `open` is given, and its `Ok(None)` must be an end for good.
    ///
    /// # Errors
    /// Those of `open`.
    pub(super) fn open(name: impl Into<String>, mut open: O, rules: Rules) -> Result<Self, SourceError> {
        let deadline = Deadline::default();
        let source = Some(open(&deadline)?);
        Ok(Self {
            name: name.into(),
            open,
            rules,
            deadline,
            source,
            last: None,
            interval: None,
            gave: false,
            outage: None,
            backoff: Backoff::new(RandomState::new().build_hasher().finish()),
            number: 0,
        })
    }

    fn is_stopped(&self) -> bool {
        self.rules.stop.load(Ordering::Relaxed)
    }

    /// How long the next frame may take: two seconds, or five frames of a slow source.
    fn patience(&self) -> Duration {
        // One frame tells no pace.
        let five_frames = self.interval.map(|interval| interval.saturating_mul(5));
        five_frames.map_or(FIRST_FRAME, |time| time.clamp(NEXT_FRAME, LONGEST_PATIENCE))
    }

    fn accept(&mut self, mut frame: Frame) -> Frame {
        // Only a picture ends an outage: a source may open and stay silent.
        self.outage = None;
        self.backoff.reset();
        self.gave = true;
        if let Some(last) = self.last.replace(frame.captured) {
            self.interval = Some(frame.captured.saturating_duration_since(last));
        }
        frame.number = self.number;
        self.number += 1;
        frame
    }

    /// Gives the open source up. What to tell about it: everything that ends the run, and the first fault of
    /// an outage.
    fn give_up(&mut self, error: SourceError) -> Option<SourceError> {
        self.source = None;
        let waited = self.patience();
        (self.last, self.interval) = (None, None);
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
        let now = Instant::now();
        let next_try = now + self.backoff.pause();
        match &mut self.outage {
            Some(outage) => {
                outage.next_try = next_try;
                outage.fault = fault;
                None
            }
            None => {
                self.outage = Some(Outage { since: now, next_try, fault });
                Some(self.error(kind))
            }
        }
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
    fn reconnect(&mut self) -> Result<(), SourceError> {
        let now = Instant::now();
        let closed = || Outage { since: now, next_try: now, fault: "it was closed".into() };
        let outage = self.outage.get_or_insert_with(closed);
        let tried = now - outage.since;
        if tried >= self.rules.reconnect {
            let fault = outage.fault.clone();
            return Err(self.error(SourceErrorKind::Lost { after: tried, fault }));
        }
        if now < outage.next_try {
            sleep((outage.next_try - now).min(POLL));
            return Ok(());
        }
        match (self.open)(&self.deadline) {
            Ok(source) => {
                self.source = Some(source);
                Ok(())
            }
            Err(error) => self.give_up(error).map_or(Ok(()), Err),
        }
    }

    fn error(&self, kind: SourceErrorKind) -> SourceError {
        SourceError::new(&self.name, kind)
    }
}

impl<O: FnMut(&Deadline) -> Opened + Send> Source for Supervised<O> {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        while !self.is_stopped() {
            let patience = self.patience();
            let Some(source) = &mut self.source else {
                self.reconnect()?;
                continue;
            };
            self.deadline.set(Instant::now() + patience);
            match source.next() {
                Ok(Some(frame)) => return Ok(Some(self.accept(frame))),
                Ok(None) => return Ok(None),
                // What breaks because the program ends is no fault.
                Err(_) if self.is_stopped() => {}
                Err(error) if error.recovery() == Recovery::NextFrame => {
                    self.number += 1;
                    return Err(error);
                }
                Err(error) => {
                    if let Some(told) = self.give_up(error) {
                        return Err(told);
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

/// Pauses that double, each up to a fifth longer or shorter: many devices that lost one server shall not
/// all come back at once.
struct Backoff {
    next: Duration,
    draws: SplitMix,
}

impl Backoff {
    fn new(seed: u64) -> Self {
        Self { next: PAUSES.0, draws: SplitMix(seed) }
    }

    fn pause(&mut self) -> Duration {
        let percent = 80 + u32::try_from(self.draws.roll() % 41).unwrap_or_default();
        let pause = self.next * percent / 100;
        self.next = (self.next * 2).min(PAUSES.1);
        pause
    }

    fn reset(&mut self) {
        self.next = PAUSES.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Pixels;
    use std::collections::VecDeque;

    /// What a source does, call by call; behind the last one it ends for good.
    struct Scripted(VecDeque<Result<u64, SourceErrorKind>>);

    impl Source for Scripted {
        fn next(&mut self) -> Result<Option<Frame>, SourceError> {
            let frame = |number| Frame {
                source: "camera".into(),
                number,
                picture: Pixels::Encoded(Vec::new()),
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
    fn told(scripts: Vec<Script>, reconnect: Duration, is_remote: bool) -> Vec<String> {
        let mut scripts = VecDeque::from(scripts);
        let open = move |_: &Deadline| -> Opened {
            let script = scripts.pop_front().ok_or_else(|| {
                SourceError::new("camera", SourceErrorKind::NotOpened("nobody is there".into()))
            })?;
            Ok(Box::new(Scripted(script.into())))
        };
        let rules = Rules { reconnect, is_remote, stop: Arc::default() };
        let mut source = Supervised::open("camera", open, rules).unwrap();
        let mut told = Vec::new();
        loop {
            match source.next() {
                Ok(Some(frame)) => told.push(frame.number.to_string()),
                Ok(None) => return told,
                Err(error) => {
                    told.push(error.to_string());
                    if error.recovery() == Recovery::Lost {
                        return told;
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
    fn an_outage_is_told_once_and_the_numbers_go_on() {
        let damaged = || Err(SourceErrorKind::Damaged("x".into()));
        let scripts =
            vec![vec![Ok(0), damaged(), Ok(2), off()], vec![silent()], vec![Ok(0), Ok(1), silent()]];
        let told = told(scripts, Duration::from_secs(2), false);
        let expected = [
            "0",
            "camera: is damaged (x)",
            "2",
            "camera: broke off (cut)",
            "3",
            "4",
            "camera: gave no frame for 2.0 s",
        ];
        assert_eq!(told[..7], expected);
        assert!(told[7].contains("is lost") && told[7].contains("nobody is there"), "{told:?}");
        assert_eq!(told.len(), 8);
    }

    #[test]
    fn what_never_worked_is_tried_again_only_if_it_may_be_starting() {
        let first = |kind: SourceErrorKind, is_remote| {
            told(vec![vec![Err(kind)], vec![Ok(0)]], Duration::from_secs(2), is_remote)
        };
        let cut = || SourceErrorKind::Disconnected("cut".into());
        let refused = || SourceErrorKind::Io(io::Error::new(io::ErrorKind::Unsupported, "404"));
        assert_eq!(first(cut(), false), ["camera: cannot be opened (cut)"]);
        assert_eq!(first(cut(), true), ["camera: broke off (cut)", "0"]);
        assert_eq!(first(refused(), true), ["camera: cannot be opened (404)"]);
        let lost = told(vec![vec![Ok(0), off()]], Duration::ZERO, true);
        assert!(lost.len() == 3 && lost[2].contains("is lost"), "{lost:?}");
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_differ_by_seed() {
        let pauses = |seed| {
            let mut backoff = Backoff::new(seed);
            (0..9).map(|_| backoff.pause()).collect::<Vec<_>>()
        };
        assert_eq!(pauses(1), pauses(1));
        assert_ne!(pauses(1), pauses(2));
        let mut centre = PAUSES.0;
        for pause in pauses(3) {
            assert!(pause >= centre * 4 / 5 && pause <= centre * 6 / 5, "{pause:?} about {centre:?}");
            centre = (centre * 2).min(PAUSES.1);
        }
    }
}
