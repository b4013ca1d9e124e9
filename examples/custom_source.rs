//! A source of your own: here, one image seen through a window that slides across it.
//!
//! cargo run -p comet-examples --example custom_source -- [MODEL]

use std::time::Instant;

use comet_edge::pipeline::{Inference, RunControl, RunOptions, run};
use comet_edge::sink::{JsonLines, Sink};
use comet_edge::source::{Frame, Pixels, Source, SourceError, SyntheticScene};
use comet_engine::model::ModelFile;
use image::RgbImage;
use image::imageops::crop_imm;

/// Seen from the repository's root, where `cargo run` is typed.
const MODEL: &str = "models/hands.int8.onnx";
const WINDOW: u32 = 240;
const STEP: u32 = 80;

/// Windows of one image, from left to right.
struct SlidingWindow {
    image: RgbImage,
    left: u32,
}

impl Source for SlidingWindow {
    fn next(&mut self) -> Result<Option<Frame>, SourceError> {
        if self.left + WINDOW > self.image.width() {
            return Ok(None);
        }
        let height = WINDOW.min(self.image.height());
        let window = crop_imm(&self.image, self.left, 0, WINDOW, height).to_image();
        let frame = Frame {
            source: "window".into(),
            number: u64::from(self.left / STEP),
            // A source that has compressed images hands them over as Pixels::Encoded instead:
            // they are decoded only if they are predicted.
            image: Pixels::Rgb(window),
            captured: Instant::now(),
        };
        self.left += STEP;
        Ok(Some(frame))
    }

    /// `true` would run this source on its own thread and drop frames that come too late.
    fn is_live(&self) -> bool {
        false
    }

    fn name(&self) -> &str {
        "window"
    }
}

fn main() -> anyhow::Result<()> {
    let model = std::env::args().nth(1).unwrap_or_else(|| MODEL.to_owned());
    let mut inference = Inference::new(&ModelFile::read(model.as_ref())?, 1)?;
    let source = SlidingWindow { image: SyntheticScene::default().draw(0), left: 0 };
    let mut sinks: [Box<dyn Sink>; 1] = [Box::new(JsonLines::new("stdout", std::io::stdout()))];
    let control = RunControl::default();
    run(Box::new(source), &mut inference, &mut sinks, &RunOptions::default(), &control)?;

    let counts = control.counters.snapshot();
    anyhow::ensure!(counts.inferred == counts.captured, "frames were lost: {counts}");
    Ok(())
}
