//! One line of JSON a frame.

use std::io::Write;

use comet_engine::prediction::FrameResult;

use super::interface::{Sink, SinkError};

/// Writes each [`Record`](comet_engine::prediction::Record) as one line; it is out before the next frame is taken.
pub struct JsonLines<W> {
    name: String,
    writer: W,
    line: Vec<u8>,
    /// The last line may have been cut off by a full disk.
    torn: bool,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `writer`; `name` is for messages.
    pub fn new(name: impl Into<String>, writer: W) -> Self {
        Self { name: name.into(), writer, line: Vec::new(), torn: false }
    }
}

impl<W: Write> Sink for JsonLines<W> {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        self.line.clear();
        if self.torn {
            // Half a line must not take the next one with it.
            self.line.push(b'\n');
        }
        let written = serde_json::to_writer(&mut self.line, &result.record)
            .map_err(std::io::Error::from)
            // One write, so that a full disk costs whole lines.
            .and_then(|()| {
                self.line.push(b'\n');
                self.writer.write_all(&self.line)
            })
            .and_then(|()| self.writer.flush());
        self.torn = written.is_err();
        written.map_err(|fault| SinkError::new(&self.name, fault))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::sample::result;

    #[test]
    fn each_result_is_a_line_of_its_own() {
        let mut text = Vec::new();
        let mut sink = JsonLines::new("test", &mut text);
        sink.accept(&mut result("a\n\"b\".jpg", 0, [1.0, 0.0, 0.0])).unwrap();
        sink.accept(&mut result("c.jpg", 1, [1.0, 0.0, f32::NAN])).unwrap();
        let lines: Vec<serde_json::Value> = text
            .split(|&b| b == b'\n')
            .filter(|l| !l.is_empty())
            .map(|l| serde_json::from_slice(l).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["source"], "a\n\"b\".jpg");
        assert!(lines[1]["scores"][0].is_null());
    }
}
