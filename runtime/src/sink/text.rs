//! One line a frame for people.

use std::fmt::Write as _;
use std::io::Write;

use super::record::Record;
use super::{FrameResult, Sink, SinkError};

/// Writes lines such as `hand.jpg  three  98.2 %  map 12 %`.
pub struct TextLines<W> {
    writer: W,
    numbered: bool,
}

impl<W: Write> TextLines<W> {
    /// Writes to `writer`, which is called `stdout` in messages.
    pub fn new(writer: W) -> Self {
        Self { writer, numbered: false }
    }

    /// Puts the frame's number behind the source: for sources that give many frames of one name.
    pub fn numbered(mut self, numbered: bool) -> Self {
        self.numbered = numbered;
        self
    }
}

impl<W: Write> Sink for TextLines<W> {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let mut line = line(&result.record, self.numbered);
        line.push('\n');
        self.writer
            .write_all(line.as_bytes())
            .and_then(|()| self.writer.flush())
            .map_err(|fault| SinkError::new("stdout", fault))
    }
}

fn line(record: &Record, numbered: bool) -> String {
    let mut line = printable(&record.source);
    // Writing to a String cannot fail.
    if numbered {
        let _ = write!(line, " {}", record.frame);
    }
    match (&record.class, record.probability) {
        (Some(class), Some(probability)) => {
            let _ = write!(line, "  {}  {:.1} %", printable(class), 100.0 * probability);
            let _ = write!(line, "  map {:.0} %", 100.0 * record.mask.mean);
        }
        _ => {
            let _ = write!(line, "  -");
        }
    }
    for flag in &record.flags {
        let _ = write!(line, "  {flag}");
    }
    for score in record.top.iter().skip(1) {
        let _ = write!(line, "  ({} {:.1} %)", printable(&score.class), 100.0 * score.probability);
    }
    line
}

/// Names come from files and models: a control character must not reach a terminal.
fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::record::sample::result;

    #[test]
    fn a_line_says_source_class_probability_and_area() {
        let mut text = Vec::new();
        let mut sink = TextLines::new(&mut text);
        sink.accept(&mut result("hand.jpg", 0, [0.0, 0.0, 4.0])).unwrap();
        sink.accept(&mut result("\u{1b}[2J.jpg", 0, [0.0, 0.0, f32::INFINITY])).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text, "hand.jpg  three  96.5 %  map 50 %\n?[2J.jpg  -  invalid_explanation\n");
    }
}
