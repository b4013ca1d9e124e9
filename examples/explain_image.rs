//! Explains one image: class, numbers about the map, and an image with the map drawn in.
//!
//! cargo run -p comet-examples --example explain_image -- [IMAGE] [MODEL]
//!
//! Without an image, a drawn scene is explained, so that the example runs anywhere.

use std::io::Write;

use anyhow::Context;
use comet_edge::source::SyntheticScene;
use comet_engine::explain::MaskStatistics;
use comet_engine::image::{OverlayStyle, draw_overlay, read_rgb};
use comet_engine::model::ModelFile;
use comet_engine::run::Session;

/// Seen from the repository's root, where `cargo run` is typed.
const MODEL: &str = "models/hands.int8.onnx";

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let image = match arguments.next() {
        Some(path) => read_rgb(path.as_ref())?,
        None => SyntheticScene::default().draw(0),
    };
    let model = ModelFile::read(arguments.next().as_deref().unwrap_or(MODEL).as_ref())?;
    let mut session = Session::new(&model)?;

    let prediction = session.explain(&image)?;
    anyhow::ensure!(prediction.is_valid(), "the model's prediction is not valid");
    let class = model.manifest().classes.get(prediction.top()).context("the model has no such class")?;
    let probability = prediction.probabilities().into_iter().fold(0.0, f32::max);
    let map = MaskStatistics::of(&prediction.mask);

    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{class}: {:.1} %", 100.0 * probability)?;
    writeln!(stdout, "decided on {:.1} % of the image", 100.0 * map.mean)?;
    writeln!(stdout, "{:.1} % of the map is above 0.5, entropy {:.2} bit", 100.0 * map.area, map.entropy)?;

    // The model sees a region of its own shape; the overlay darkens the rest.
    let preprocess = session.preprocess();
    let size = (preprocess.width, preprocess.height);
    let region = preprocess.fit.region(image.dimensions(), size);
    let file = std::env::temp_dir().join("comet-explained.png");
    draw_overlay(&image, &prediction.mask, region, &OverlayStyle::default()).save(&file)?;
    writeln!(stdout, "drawn in {}", file.display())?;
    Ok(())
}
