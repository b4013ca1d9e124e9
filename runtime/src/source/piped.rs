//! Frames out of a program's standard output.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::commands::CommandLine;
use super::error::{Recovery, SourceError, SourceErrorKind};
use super::frame::Frame;
use super::interruptible::InterruptibleReader;
use super::program::Program;
use super::reader::{Opened, Source};
use super::stream::StreamSource;
use crate::deadline::Deadline;

/// A program that gives frames, and how they are read.
pub(super) struct Pipe {
    /// The source's name, for messages.
    pub(super) name: String,
    pub(super) line: CommandLine,
    /// Whether the output is MJPEG for sure, so that words before the first image can be passed over.
    pub(super) is_mjpeg: bool,
    pub(super) live: bool,
    /// Whether the end of the output is a fault.
    pub(super) is_endless: bool,
    pub(super) stop: Arc<AtomicBool>,
}

impl Pipe {
    /// Starts the program. Its source times out when `deadline` has passed.
    pub(super) fn open(&self, deadline: &Deadline) -> Opened {
        let (program, output) = Program::start(&self.line).map_err(|error| self.fault(&error))?;
        let reader = InterruptibleReader::new("child-output", output, Arc::clone(&self.stop));
        let reader = reader.map_err(|error| self.fault(&error))?.until(deadline);
        let stream = match self.is_mjpeg {
            true => StreamSource::mjpeg(&self.name, reader, self.live),
            false => StreamSource::new(&self.name, reader, self.live),
        };
        Ok(Box::new(PipedSource {
            program,
            stream,
            stop: Arc::clone(&self.stop),
            is_endless: self.is_endless,
            gave: false,
            is_over: false,
        }))
    }

    fn fault(&self, error: &io::Error) -> SourceError {
        let program = self.line.name();
        let fault = match error.kind() {
            io::ErrorKind::NotFound => format!("{program} is not installed, or not in a folder of PATH"),
            _ => format!("{program} cannot be started: {error}"),
        };
        SourceError::new(&self.name, SourceErrorKind::NotOpened(fault))
    }
}

/// What a running program gives.
struct PipedSource {
    /// Dropped before the stream, whose thread ends with the program.
    program: Program,
    stream: StreamSource<InterruptibleReader>,
    stop: Arc<AtomicBool>,
    is_endless: bool,
    gave: bool,
    is_over: bool,
}

impl PipedSource {
    /// What the end of the output, or a fault that ends it, means.
    fn end(&mut self, ended: Result<Option<Frame>, SourceError>) -> Result<Option<Frame>, SourceError> {
        self.is_over = true;
        let kind = match (self.program.finish(), self.is_endless, self.gave) {
            (None, true, _) if ended.is_ok() => {
                SourceErrorKind::Disconnected(format!("{} ended", self.program.name()))
            }
            (None, ..) => return ended,
            (Some(fault), true, _) => SourceErrorKind::Disconnected(fault),
            // The frames that came are good: the file is cut or damaged behind them.
            (Some(fault), false, true) => SourceErrorKind::Damaged(fault),
            (Some(fault), false, false) => SourceErrorKind::NotOpened(fault),
        };
        Err(SourceError::new(self.stream.name(), kind))
    }
}

impl Source for PipedSource {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        let given = self.stream.next();
        match &given {
            _ if self.stop.load(Ordering::Relaxed) => Ok(None),
            Ok(Some(_)) => {
                self.gave = true;
                given
            }
            Err(error) if error.recovery() == Recovery::NextFrame || error.is_timeout() => given,
            _ if self.is_over => Ok(None),
            _ => self.end(given),
        }
    }

    fn is_live(&self) -> bool {
        self.stream.is_live()
    }

    fn name(&self) -> &str {
        self.stream.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    const FRAME: &str = r"printf 'YUV4MPEG2 W1 H1 Cmono\nFRAME\n\200'";

    fn pipe(script: &str, is_endless: bool) -> Pipe {
        let line = CommandLine { program: "sh".into(), arguments: vec!["-c".into(), script.into()] };
        let (name, stop) = ("clip".into(), Arc::default());
        Pipe { name, line, is_mjpeg: false, live: is_endless, is_endless, stop }
    }

    /// What comes of a script, call by call: numbers of frames, and faults.
    fn outcomes(script: &str, is_endless: bool) -> Vec<String> {
        let mut source = pipe(script, is_endless).open(&Deadline::default()).unwrap();
        let mut outcomes = Vec::new();
        loop {
            match source.next() {
                Ok(Some(frame)) => outcomes.push(frame.number.to_string()),
                Ok(None) => return outcomes,
                Err(error) => outcomes.push(error.to_string()),
            }
        }
    }

    #[test]
    fn an_end_is_an_end_or_a_fault_by_what_was_read() {
        assert_eq!(outcomes(FRAME, false), ["0"]);
        assert_eq!(outcomes(FRAME, true), ["0", "clip: disconnected (sh ended)"]);
        let failing = format!("{FRAME}; echo cut >&2; exit 1");
        let fault = "(sh ended with exit status: 1: cut)";
        assert_eq!(outcomes(&failing, false), ["0".into(), format!("clip: is damaged {fault}")]);
        assert_eq!(outcomes(&failing, true), ["0".into(), format!("clip: disconnected {fault}")]);
        let refused = outcomes("echo no such file >&2; exit 1", false);
        assert_eq!(refused, ["clip: cannot be opened (sh ended with exit status: 1: no such file)"]);
        assert!(outcomes("echo hello", true)[0].contains("it begins with 'hello"));
    }

    #[test]
    fn a_missing_program_is_named() {
        let mut missing = pipe("", false);
        missing.line.program = "no-such-program".into();
        let error = missing.open(&Deadline::default()).err().unwrap();
        assert!(error.to_string().contains("no-such-program is not installed"), "{error}");
    }

    #[test]
    fn a_silent_program_holds_up_neither_the_end_of_a_run_nor_a_deadline() {
        let silent = pipe("exec sleep 60", true);
        let deadline = Deadline::default();
        deadline.set(Instant::now() + Duration::from_millis(100));
        let mut source = silent.open(&deadline).unwrap();
        assert!(source.next().unwrap_err().is_timeout());
        silent.stop.store(true, Ordering::Relaxed);
        assert!(source.next().unwrap().is_none());
    }
}
