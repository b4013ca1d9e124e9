//! The last messages of a program: its standard error is read to the end, and little of it is kept.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use super::address::redacted;
use crate::deadline::join_within;

/// Lines that are kept.
const LINES: usize = 2;
/// The rest of a longer line is dropped, in bytes.
const LONGEST_LINE: usize = 400;
/// How long the pipe may stay open after the program has ended: something that it started may hold it.
const ENDING: Duration = Duration::from_millis(50);

/// Reads a program's messages, so that a full pipe never stops it.
pub(super) struct Messages {
    lines: Arc<Mutex<VecDeque<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Messages {
    /// Starts to read.
    pub(super) fn read(pipe: impl Read + Send + 'static) -> io::Result<Self> {
        let lines: Arc<Mutex<VecDeque<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        let thread = Builder::new().name("child-messages".into()).spawn(move || collect(pipe, &kept))?;
        Ok(Self { lines, thread: Some(thread) })
    }

    /// The last lines of a program that has ended, without secrets; empty if it said nothing.
    pub(super) fn last(&mut self) -> String {
        self.finish();
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().cloned().collect::<Vec<_>>().join("; ")
    }

    fn finish(&mut self) {
        self.thread = self.thread.take().and_then(|thread| join_within(thread, ENDING).err());
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.finish();
    }
}

fn collect(pipe: impl Read, kept: &Mutex<VecDeque<String>>) {
    let mut reader = BufReader::new(pipe);
    let mut goes_on = false;
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(LONGEST_LINE as u64).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            return;
        }
        let is_cut = !line.ends_with(b"\n") && line.len() >= LONGEST_LINE;
        if !std::mem::replace(&mut goes_on, is_cut) {
            keep(&line, is_cut, kept);
        }
    }
}

fn keep(line: &[u8], is_cut: bool, kept: &Mutex<VecDeque<String>>) {
    let text = String::from_utf8_lossy(line);
    // The cut may have gone through an address, whose secrets would no longer be recognised.
    let whole: &str = match is_cut {
        true => text.rsplit_once(char::is_whitespace).map(|(words, _)| words).unwrap_or_default(),
        false => &text,
    };
    // A terminal would obey control characters.
    let plain: String = redacted(whole.trim()).chars().filter(|letter| !letter.is_control()).collect();
    if plain.is_empty() {
        return;
    }
    let mut lines = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() >= LINES {
        lines.pop_front();
    }
    lines.push_back(plain);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last_of(text: String) -> String {
        Messages::read(io::Cursor::new(text.into_bytes())).unwrap().last()
    }

    #[test]
    fn the_last_lines_are_kept_without_secrets_and_control_characters() {
        let text = "first\n\x1b[31mcannot open rtsp://u:secret@a/1\x1b[0m\n\n  the end";
        assert_eq!(last_of(text.into()), "[31mcannot open rtsp://u:***@a/1[0m; the end");
        assert_eq!(last_of(String::new()), "");
    }

    #[test]
    fn a_line_without_end_is_cut_between_words_and_shows_no_part_of_a_secret() {
        let word = "x".repeat(LONGEST_LINE - 20);
        let text = format!("{word} rtsp://user:secretsecret@host {} secret", "y".repeat(100_000));
        assert_eq!(last_of(text), word);
        assert_eq!(last_of("z".repeat(100_000)), "");
    }
}
