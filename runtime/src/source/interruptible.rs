//! Reading standard input, a pipe or a socket without being held by it.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use crate::deadline::{Deadline, join_within};

const CHUNK: usize = 64 << 10;
/// Chunks in flight; more would only be latency.
const CHUNKS: usize = 4;
/// How long the stop flag and the deadline may go unseen.
const POLL: Duration = Duration::from_millis(50);
/// How long the thread may take to end: that of a pipe that was just closed is about to.
const LEAVING: Duration = Duration::from_millis(50);

/// Reads from a pipe on a thread of its own, and ends when the program is asked to stop.
///
/// A read from a pipe cannot be interrupted. If one is under way when this value is dropped, its thread
/// stays behind until the next byte, the end of the input or the end of the program.
pub struct InterruptibleReader {
    chunks: Option<Receiver<io::Result<Vec<u8>>>>,
    chunk: io::Cursor<Vec<u8>>,
    stop: Arc<AtomicBool>,
    deadline: Deadline,
    thread: Option<JoinHandle<()>>,
}

impl InterruptibleReader {
    /// Starts to read from `reader` on a thread with this name; once `stop` is set, the input counts as ended.
    ///
    /// # Errors
    /// The thread could not be started.
    pub fn new(
        thread: &'static str,
        reader: impl Read + Send + 'static,
        stop: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let (sender, chunks) = sync_channel(CHUNKS);
        let thread = Builder::new().name(thread.into()).spawn(move || forward(reader, &sender))?;
        Ok(Self {
            chunks: Some(chunks),
            chunk: io::Cursor::default(),
            stop,
            deadline: Deadline::default(),
            thread: Some(thread),
        })
    }

    /// Fails with [`io::ErrorKind::TimedOut`] when `deadline` has passed.
    pub(super) fn until(mut self, deadline: &Deadline) -> Self {
        self.deadline = deadline.clone();
        self
    }
}

fn forward(mut reader: impl Read, chunks: &SyncSender<io::Result<Vec<u8>>>) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let message = match reader.read(&mut chunk) {
            Ok(0) => return,
            Ok(read) => Ok(chunk.get(..read).unwrap_or_default().to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let last = message.is_err();
        // Waiting here is what slows the writer of the pipe down; it ends when the receiver is dropped.
        if chunks.send(message).is_err() || last {
            return;
        }
    }
}

impl Read for InterruptibleReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.chunk.read(buffer)?;
            if read > 0 || buffer.is_empty() || self.stop.load(Ordering::Relaxed) {
                return Ok(read);
            }
            if self.deadline.has_passed() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came in time"));
            }
            let Some(chunks) = &self.chunks else {
                return Ok(0);
            };
            match chunks.recv_timeout(POLL) {
                Ok(chunk) => self.chunk = io::Cursor::new(chunk?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
    }
}

impl Drop for InterruptibleReader {
    fn drop(&mut self) {
        self.chunks = None;
        if let Some(thread) = self.thread.take() {
            // One that does not end is left behind; a panic has ended its stream already.
            let _ = join_within(thread, LEAVING);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;
    use std::time::Instant;

    /// An input on which nothing ever comes.
    struct Silent;

    impl Read for Silent {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            sleep(Duration::from_secs(60));
            Ok(0)
        }
    }

    #[test]
    fn bytes_come_through_in_order() {
        let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let mut reader = InterruptibleReader::new("test", io::Cursor::new(bytes.clone()), stop).unwrap();
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read == bytes);
    }

    #[test]
    fn a_silent_input_does_not_hold_a_program_that_was_asked_to_stop() {
        let stop = Arc::new(AtomicBool::new(false));
        let mut reader = InterruptibleReader::new("test", Silent, Arc::clone(&stop)).unwrap();
        let begun = Instant::now();
        let asker = std::thread::spawn(move || {
            sleep(Duration::from_millis(50));
            stop.store(true, Ordering::Relaxed);
        });
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 0);
        drop(reader);
        assert!(begun.elapsed() < Duration::from_millis(500));
        asker.join().unwrap();
    }

    /// An input on which a byte comes every now and then.
    struct Trickle;

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            sleep(Duration::from_millis(5));
            Ok(buffer.len().min(1))
        }
    }

    #[test]
    fn a_deadline_ends_the_wait_for_silence_and_for_a_trickle() {
        let deadline = Deadline::default();
        for reader in [Box::new(Silent) as Box<dyn Read + Send>, Box::new(Trickle)] {
            let reader = InterruptibleReader::new("test", reader, Arc::default()).unwrap();
            deadline.set(Instant::now() + Duration::from_millis(100));
            let begun = Instant::now();
            let error = reader.until(&deadline).read_to_end(&mut Vec::new()).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        }
    }
}
