//! One line a frame for people.

use std::fmt::Write as _;
use std::io::Write;

use comet_engine::prediction::{FrameResult, Record};

use super::interface::{Sink, SinkError};
use super::printable::printable;

/// Writes lines such as `hand.jpg  three  98.2 %  map 12 % of the image  11 ms`.
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
            let _ = write!(line, "  map {:.0} % of the image", 100.0 * record.mask.mean);
        }
        _ => {
            let _ = write!(line, "  -");
        }
    }
    let _ = write!(line, "  {:.0} ms", record.ms.total);
    for flag in &record.flags {
        let _ = write!(line, "  {flag}");
    }
    for score in record.top.iter().skip(1) {
        let _ = write!(line, "  ({} {:.1} %)", printable(&score.class), 100.0 * score.probability);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;

    fn line_of(result: &mut FrameResult) -> String {
        let mut text = Vec::new();
        TextLines::new(&mut text).accept(result).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn a_line_has_source_class_probability_area_and_time() {
        let mut result = result("hand.jpg", 0, [0.0, 0.0, 4.0]);
        result.record.ms.total = 11.4;
        assert_eq!(line_of(&mut result), "hand.jpg  three  96.5 %  map 50 % of the image  11 ms\n");
        result.record.class = None;
        assert_eq!(line_of(&mut result), "hand.jpg  -  11 ms\n");
    }

    #[test]
    fn names_with_control_characters_neither_break_a_line_nor_steer_the_terminal() {
        let mut result = result("\u{1b}[2J\n.jpg", 0, [0.0, 0.0, 4.0]);
        result.record.class = Some("two\nlines".into());
        let line = line_of(&mut result);
        assert!(line.starts_with("\\u{1b}[2J\\n.jpg  two\\nlines  96.5 %"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }
}
