//! A sink of your own: says something only when the class changes, and ignores predictions that are not valid.
//!
//! cargo run -p comet-examples --example custom_sink -- [SOURCE] [MODEL]
//!
//! SOURCE is whatever `comet-edge run --source` takes; without one, ten frames of a drawn scene are predicted.

use std::io::{Stdout, Write};
use std::sync::Arc;

use comet_edge::pipeline::{Inference, RunControl, RunOptions, run};
use comet_edge::sink::{FrameResult, Sink, SinkError};
use comet_edge::source::{OpenOptions, SourceSpec};
use comet_engine::model::ModelFile;

/// Seen from the repository's root, where `cargo run` is typed.
const MODEL: &str = "models/hands.int8.onnx";

/// Remembers the last class.
struct Changes {
    stdout: Stdout,
    last: Option<String>,
    count: u64,
}

impl Changes {
    fn say(&mut self, line: &str) -> Result<(), SinkError> {
        writeln!(self.stdout, "{line}").map_err(|fault| SinkError::new("stdout", fault))
    }
}

impl Sink for Changes {
    fn accept(&mut self, result: &mut FrameResult) -> Result<(), SinkError> {
        let record = &result.record;
        // No class: the map or the logits were broken. The last known class stays.
        let Some(class) = record.class.clone() else {
            return Ok(());
        };
        if self.last.as_ref() == Some(&class) {
            return Ok(());
        }
        let line = format!(
            "{} frame {}: now {class}, seen in {:.0} % of the image",
            record.source,
            record.frame,
            100.0 * record.mask.area
        );
        self.last = Some(class);
        self.count += 1;
        self.say(&line)
    }

    fn finish(&mut self) -> Result<(), SinkError> {
        let line = format!("{} changes", self.count);
        self.say(&line)
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let source = arguments.next().unwrap_or_else(|| "synthetic:320x240,0,1,10".into());
    let model = arguments.next().unwrap_or_else(|| MODEL.to_owned());
    let mut inference = Inference::new(&ModelFile::read(model.as_ref())?, 1)?;

    let control = RunControl::default();
    let open = OpenOptions { stop: Arc::clone(&control.stop), ..OpenOptions::default() };
    let source = source.parse::<SourceSpec>()?.open(&open)?;
    let changes = Changes { stdout: std::io::stdout(), last: None, count: 0 };
    let mut sinks: [Box<dyn Sink>; 1] = [Box::new(changes)];
    let options = RunOptions::default();
    run(source, &mut inference, &mut sinks, &options, &control)?;
    Ok(())
}
