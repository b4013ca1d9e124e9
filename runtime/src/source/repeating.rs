//! A file's frames again and again (`--loop`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::{Recovery, SourceError};
use super::frame::Frame;
use super::reader::{Opened, Source};

/// Opens a source again whenever it has ended. One that gave nothing is not opened again.
pub(super) struct Repeating<O> {
    open: O,
    source: Box<dyn Source>,
    stop: Arc<AtomicBool>,
    number: u64,
    gave: bool,
}

impl<O: FnMut() -> Opened + Send> Repeating<O> {
    /// Opens the source for the first time.
    pub(super) fn open(mut open: O, stop: Arc<AtomicBool>) -> Result<Self, SourceError> {
        let source = open()?;
        Ok(Self { open, source, stop, number: 0, gave: false })
    }
}

impl<O: FnMut() -> Opened + Send> Source for Repeating<O> {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        loop {
            match self.source.next() {
                Ok(Some(mut frame)) => {
                    frame.number = self.number;
                    self.number += 1;
                    self.gave = true;
                    return Ok(Some(frame));
                }
                Ok(None) if self.gave && !self.stop.load(Ordering::Relaxed) => {
                    self.gave = false;
                    self.source = (self.open)()?;
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.number += u64::from(error.recovery() == Recovery::NextFrame);
                    return Err(error);
                }
            }
        }
    }

    fn is_live(&self) -> bool {
        self.source.is_live()
    }

    fn name(&self) -> &str {
        self.source.name()
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::StreamSource;
    use super::*;

    #[test]
    fn the_numbers_go_on_and_an_empty_file_is_not_repeated() {
        let stop = Arc::new(AtomicBool::new(false));
        let clip: &[u8] = b"YUV4MPEG2 W1 H1 Cmono\nFRAME\n\x80FRAME\n\x10";
        let open = move || -> Opened { Ok(Box::new(StreamSource::new("clip", clip, false))) };
        let mut source = Repeating::open(open, Arc::clone(&stop)).unwrap();
        for number in 0..5 {
            assert_eq!(source.next().unwrap().unwrap().number, number);
        }
        stop.store(true, Ordering::Relaxed);
        assert!(source.next().unwrap().is_some());
        assert!(source.next().unwrap().is_none());

        let open = || -> Opened { Ok(Box::new(StreamSource::mjpeg("clip", &b""[..], false))) };
        let mut source = Repeating::open(open, Arc::default()).unwrap();
        assert!(source.next().unwrap().is_none());
    }
}
